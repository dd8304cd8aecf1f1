"""Where DVC keeps things: the repository's root, its settings, its ignore files (DVC 3, ``dvc init``)."""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trimtab.adapters.atomic import write_aside
from trimtab.core.domain.errors import UserError

_IGNORED = "/config.local\n/tmp\n/cache\n"
_DVCIGNORE = (
    "# Add patterns of files dvc should ignore, which could improve\n"
    "# the performance. Learn more at\n"
    "# https://dvc.org/doc/user-guide/dvcignore\n"
)
_INTERNAL = frozenset({".git", ".hg", ".svn", ".dvc"})


@dataclass(frozen=True, slots=True)
class Layout:
    """A DVC repository on disk."""

    root: Path
    """The directory that has ``.dvc``."""
    cache: Path
    """Holds ``files/md5``."""
    links: tuple[str, ...]
    """How content may get into the cache, first choice first: ``reflink``, ``hardlink``, ``symlink``, ``copy``."""
    git: bool
    """Whether ``.gitignore`` is DVC's to write."""

    @property
    def state(self) -> Path:
        """Hashes by inode, time and size; may be deleted at any time."""
        return self.root / ".dvc" / "tmp" / "trimtab-hashes.json"


def find(start: Path) -> Layout | None:
    """The repository that ``start`` is in; None where there is none.

    Raises:
        UserError: its settings cannot be read.
    """
    root = _above(start, ".dvc", directory=True)
    if root is None:
        return None
    settings = configparser.ConfigParser(interpolation=None, strict=False, comment_prefixes=("#", ";"))
    try:
        settings.read([root / ".dvc" / "config", root / ".dvc" / "config.local"])
        no_scm = settings.getboolean("core", "no_scm", fallback=False)
    except (configparser.Error, ValueError) as error:
        raise UserError(f"{root / '.dvc' / 'config'} cannot be read: {error}") from error
    # A relative folder is relative to the file that names it: .dvc/config.
    cache = Path(os.path.normpath(root / ".dvc" / settings.get("cache", "dir", fallback="cache")))
    links = tuple(re.findall(r"\w+", settings.get("cache", "type", fallback="reflink,copy")))
    return Layout(root, cache, links, git=not no_scm and _above(root, ".git") is not None)


def initialise(root: Path) -> None:
    """What ``dvc init`` makes: with git where there is a repository, else without."""
    home = root / ".dvc"
    git = _above(root, ".git") is not None
    if git:
        write_aside(home / ".gitignore", _IGNORED.encode())
    if not (root / ".dvcignore").exists():
        write_aside(root / ".dvcignore", _DVCIGNORE.encode())
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    write_aside(home / "config", b"" if git else b"[core]\n    no_scm = True\n")


def git_ignore(path: Path) -> None:
    """Add ``/<name>`` to the ``.gitignore`` beside ``path``, unless it stands there."""
    file = path.parent / ".gitignore"
    entry = "/" + re.sub(r"([\[\]!*#?\\])", r"\\\1", path.name)
    text = file.read_text() if file.exists() else ""
    if entry not in text.splitlines():
        write_aside(file, f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{entry}\n".encode())


def ignored(layout: Layout, directory: Path) -> Callable[[Path], bool]:
    """Which files of ``directory`` DVC leaves out: by ``.dvcignore`` from the root down, and version control's own."""
    specs = []
    for folder in _ignore_folders(layout.root, directory):
        lines = (folder / ".dvcignore").read_text().splitlines()
        if any(line.strip() and not line.startswith("#") for line in lines):
            specs.append((folder, _spec(lines)))

    def test(path: Path) -> bool:
        if not _INTERNAL.isdisjoint(path.relative_to(directory).parts):
            return True
        return any(path.is_relative_to(home) and spec(path.relative_to(home).as_posix()) for home, spec in specs)

    return test


def _spec(lines: list[str]) -> Callable[[str], bool]:
    try:
        from pathspec import GitIgnoreSpec
    except ImportError as error:
        raise UserError(
            "a .dvcignore has patterns; to follow them: pip install pathspec (it comes with dvc)"
        ) from error
    return GitIgnoreSpec.from_lines(lines).match_file


def _ignore_folders(root: Path, directory: Path) -> list[Path]:
    above = [folder for folder in (directory, *directory.parents) if folder.is_relative_to(root)]
    found = [folder for folder in above if (folder / ".dvcignore").is_file()]
    return found + [file.parent for file in directory.rglob(".dvcignore") if file.parent != directory]


def _above(start: Path, name: str, *, directory: bool = False) -> Path | None:
    for folder in (start, *start.parents):
        if (folder / name).is_dir() or (not directory and (folder / name).exists()):
            return folder
    return None
