"""Content in DVC's cache, ``files/md5/<2 hex>/<30 hex>``: put there once, and found again without reading the file."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from trimtab.adapters.atomic import write_aside
from trimtab.core.domain.errors import DataError, IntegrityError, NotFoundError

_FICLONE = 0x40049409
_PIECE = 1 << 20
_ATTEMPTS = 3


class Known(msgspec.Struct, frozen=True, array_like=True):
    """A file as it was when it was hashed."""

    inode: int
    mtime_ns: int
    size: int
    md5: str

    @classmethod
    def of(cls, path: Path, md5: str = "") -> Known:
        stat = path.stat()
        return cls(stat.st_ino, stat.st_mtime_ns, stat.st_size, md5)

    def same_file(self, other: Known) -> bool:
        return (self.inode, self.mtime_ns, self.size) == (other.inode, other.mtime_ns, other.size)


@dataclass(slots=True)
class Hashes:
    """Remembered hashes by path; a file whose inode, time and size are as before is not read again."""

    file: Path
    known: dict[str, Known] = field(default_factory=dict)

    @classmethod
    def load(cls, file: Path) -> Hashes:
        """What was remembered; nothing where the file is missing or damaged, since it is only a short cut."""
        try:
            return cls(file, msgspec.json.decode(file.read_bytes(), type=dict[str, Known]))
        except (FileNotFoundError, msgspec.DecodeError):
            return cls(file)

    def save(self) -> None:
        write_aside(self.file, msgspec.json.encode(self.known))

    def get(self, path: Path) -> str | None:
        known = self.known.get(str(path))
        return known.md5 if known is not None and known.same_file(Known.of(path)) else None


@dataclass(frozen=True, slots=True)
class Objects:
    """The cache's directory of contents by md5."""

    cache: Path
    links: tuple[str, ...]

    def path(self, md5: str) -> Path:
        """Where the content of a hash stands; a directory's hash ends in ``.dir``."""
        return self.cache / "files" / "md5" / md5[:2] / md5[2:]

    def put(self, path: Path, hashes: Hashes) -> Known:
        """Store a file's content and return its hash; reads the file only where it is new or changed.

        Raises:
            DataError: the file is being written to.
        """
        md5 = hashes.get(path)
        if md5 is not None and self.path(md5).exists():
            return hashes.known[str(path)]
        for _ in range(_ATTEMPTS):
            before = Known.of(path)
            known = Known(before.inode, before.mtime_ns, before.size, self._store(path))
            if known.same_file(Known.of(path)):
                hashes.known[str(path)] = known
                return known
        raise DataError(f"{path} changes while it is being read; make a snapshot when its writer is done")

    def put_bytes(self, content: bytes, suffix: str = "") -> str:
        """Store a content and return its hash."""
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest() + suffix
        if not self.path(md5).exists():
            aside = self._aside()
            aside.write_bytes(content)
            self._settle(aside, md5)
        return md5

    def read(self, md5: str) -> bytes:
        """A content, verified.

        Raises:
            NotFoundError: the cache does not hold it.
            IntegrityError: it does not have the hash that it is stored by.
        """
        path = self.path(md5)
        if not path.exists():
            raise _absent(path, md5)
        content = path.read_bytes()
        _check(path, md5, hashlib.md5(content, usedforsecurity=False).hexdigest())
        return content

    def copy(self, md5: str, to: Path) -> None:
        """Write a content to the new file ``to``, verified, and writable as its owner's files are.

        Raises:
            NotFoundError: the cache does not hold it.
            IntegrityError: it does not have the hash that it is stored by.
        """
        path = self.path(md5)
        if not path.exists():
            raise _absent(path, md5)
        if not _reflink(path, to):
            shutil.copyfile(path, to)
        _check(path, md5, _md5(to))

    def _store(self, path: Path) -> str:
        """Bring the content in by the first way that the cache's settings and the file system allow."""
        aside = self._aside()
        try:
            for kind in self.links:
                if kind == "reflink" and _reflink(path, aside):
                    return self._settle(aside, _md5(aside))
                if kind == "hardlink":
                    md5 = _md5(path)
                    if self.path(md5).exists() or _hardlink(path, aside):
                        return self._settle(aside, md5)
                if kind == "copy":
                    break
            return self._settle(aside, _copy(path, aside))
        finally:
            aside.unlink(missing_ok=True)

    def _settle(self, aside: Path, md5: str) -> str:
        place = self.path(md5)
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            with aside.open("rb") as file:
                os.fsync(file.fileno())
            aside.chmod(0o444)
            aside.replace(place)
        return md5

    def _aside(self) -> Path:
        folder = self.cache / "files" / "md5"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f".trimtab-{secrets.token_hex(8)}"


def _absent(path: Path, md5: str) -> NotFoundError:
    return NotFoundError(f"the data version {md5} is not in the cache ({path}); fetch it with 'dvc pull'")


def _check(path: Path, md5: str, found: str) -> None:
    if found != md5.removesuffix(".dir"):
        raise IntegrityError(
            f"{path} has md5 {found}, it is stored as {md5}: the cache is damaged; delete it and 'dvc pull'"
        )


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _copy(source: Path, target: Path) -> str:
    """Copy and hash in one reading."""
    digest = hashlib.md5(usedforsecurity=False)
    with source.open("rb") as reader, target.open("xb") as writer:
        while piece := reader.read(_PIECE):
            digest.update(piece)
            writer.write(piece)
    return digest.hexdigest()


def _reflink(source: Path, target: Path) -> bool:
    """Share the blocks (Btrfs, XFS); False where the file system cannot."""
    try:
        import fcntl

        with source.open("rb") as reader, target.open("xb") as writer:
            fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
    except (ImportError, OSError):
        target.unlink(missing_ok=True)
        return False
    return True


def _hardlink(source: Path, target: Path) -> bool:
    """One file under two names, so it becomes read-only: only where the cache's settings ask for it, as dvc does."""
    try:
        target.hardlink_to(source.resolve())
    except OSError:
        return False
    return True
