"""``DvcStore``: snapshots of data by content, in a DVC repository."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trimtab.adapters.dvc import layout as layouts
from trimtab.adapters.dvc import pointer
from trimtab.adapters.dvc.objects import Hashes, Objects
from trimtab.core.domain.errors import DataError, ExternalError, IntegrityError, NotFoundError
from trimtab.ports import DataVersion

_DIR = ".dir"


class DvcStore:
    """The ``DataStore`` port over DVC's cache and ``.dvc`` pointers, in a git repository and without one.

    Needs no dvc installed; remotes are dvc's (``dvc remote add``, ``dvc push``, ``dvc pull``).
    """

    def __init__(self, root: Path) -> None:
        """``root``: the project's directory; the DVC repository is there or above."""
        self._root = root.absolute()

    def ensure_initialised(self) -> None:
        """Do what ``dvc init`` does, unless the project is in a DVC repository.

        Raises:
            ExternalError: the disk refused.
        """
        with _disk(self._root):
            if layouts.find(self._root) is None:
                layouts.initialise(self._root)

    def snapshot(self, path: Path) -> DataVersion:
        """Put a file or directory into the cache and write its pointer beside it.

        Unchanged content is recognised by inode, time and size and is not read again. Where a pointer of a directory
        above, or a pipeline, already tracks the path, that one is named and no second one is written: DVC refuses
        overlaps.

        Args:
            path: absolute, or relative to the project's root.

        Raises:
            NotFoundError: there is nothing at ``path``.
            DataError: it is outside the repository, empty, being written to, or holds what has a pointer of its own.
            ExternalError: the disk refused.
        """
        data = Path(os.path.normpath(self._root / path))
        with _disk(data):
            layout = self._layout()
            self._check(data, layout)
            objects, hashes = Objects(layout.cache, layout.links), Hashes.load(layout.state)
            before = dict(hashes.known)
            if data.is_dir():
                md5, size, files = self._put_directory(data, layout, objects, hashes)
            else:
                known = objects.put(data, hashes)
                md5, size, files = known.md5, known.size, None
            if hashes.known != before:
                hashes.save()
            tracked = pointer.tracked_by(data, layout.root)
            if tracked is None:
                pointer.write(data, md5, size, files)
                tracked = pointer.pointer_of(data)
                if layout.git:
                    layouts.git_ignore(data)
        return DataVersion(md5, size, files or 1, os.path.relpath(tracked, self._root))

    def restore(self, version: DataVersion, to: Path) -> None:
        """Write the content of a version to ``to``, replacing what stands there at once.

        Raises:
            NotFoundError: the cache does not hold it.
            IntegrityError: the stored content does not have the recorded hash.
            ExternalError: the disk refused.
        """
        with _disk(to):
            layout = self._layout()
            objects = Objects(layout.cache, layout.links)
            to.parent.mkdir(parents=True, exist_ok=True)
            aside = Path(tempfile.mkdtemp(prefix=f".{to.name}.", dir=to.parent))
            try:
                copy = aside / "new"
                if version.digest.endswith(_DIR):
                    self._copy_directory(objects, version.digest, copy)
                else:
                    objects.copy(version.digest, copy)
                if to.exists():
                    to.rename(aside / "old")
                copy.rename(to)
            finally:
                shutil.rmtree(aside, ignore_errors=True)

    def _layout(self) -> layouts.Layout:
        layout = layouts.find(self._root)
        if layout is None:
            self.ensure_initialised()
            layout = layouts.find(self._root)
        if layout is None:
            raise ExternalError(f"{self._root / '.dvc'} could not be made")
        return layout

    @staticmethod
    def _check(data: Path, layout: layouts.Layout) -> None:
        if not data.exists():
            raise NotFoundError(f"{data} does not exist; is it the path meant, and was it pulled ('dvc pull')?")
        if not data.is_relative_to(layout.root) or data == layout.root:
            raise DataError(
                f"{data} is outside the project {layout.root}; DVC tracks what is inside: copy it there, "
                "or bring it with 'dvc import-url'"
            )

    @staticmethod
    def _put_directory(data: Path, layout: layouts.Layout, objects: Objects, hashes: Hashes) -> tuple[str, int, int]:
        ignored = layouts.ignored(layout, data)
        listing, size = [], 0
        paths = sorted(path for path in _files(data) if not ignored(path))
        for path in paths:
            if path.suffix == ".dvc":
                raise DataError(
                    f"{data} cannot be one snapshot: {path} inside it tracks a part by itself; snapshot that part"
                )
            known = objects.put(path, hashes)
            size += known.size
            listing.append({"md5": known.md5, "relpath": path.relative_to(data).as_posix()})
        if not listing:
            raise DataError(f"{data} has no files to make a snapshot of")
        for gone in [name for name in hashes.known if Path(name).is_relative_to(data) and not Path(name).exists()]:
            del hashes.known[gone]
        listing.sort(key=lambda entry: entry["relpath"])
        return objects.put_bytes(json.dumps(listing).encode(), _DIR), size, len(listing)

    @staticmethod
    def _copy_directory(objects: Objects, digest: str, to: Path) -> None:
        for entry in json.loads(objects.read(digest)):
            target = to / entry["relpath"]
            if ".." in target.relative_to(to).parts or not target.is_relative_to(to):
                raise IntegrityError(f"the listing {digest} names {entry['relpath']}, which lies outside it")
            target.parent.mkdir(parents=True, exist_ok=True)
            objects.copy(entry["md5"], target)


def _files(directory: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(directory):
        yield from (Path(folder, name) for name in names)


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExternalError(f"{error.filename or path}: {error.strerror or error}") from error
