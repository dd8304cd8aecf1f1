"""Files that are read anew when they change: tokens, certificates."""

from __future__ import annotations

from pathlib import Path

Stamp = tuple[tuple[int, int, int] | None, ...]


def stamp(paths: tuple[Path, ...]) -> Stamp:
    """What tells one content of the files from the next; a link that was moved to another file counts as a change."""
    return tuple(_stamp(path) for path in paths)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino, stat.st_size
