"""Files and directories that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path


def sync(path: Path) -> None:
    """Flush a file's content, or a directory's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_aside(path: Path, content: bytes) -> None:
    """Write ``path`` so that a reader, or the next start after a power cut, sees the old content or the new one.

    Raises:
        OSError: the disk refused; what stood at ``path`` still does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(path)
    try:
        with aside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def copy_aside(source: Path, name: Path) -> Path:
    """Copy a directory to a hidden sibling of ``name`` and flush it; ``settle`` then gives it its name."""
    name.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(name)
    try:
        shutil.copytree(source, aside, copy_function=shutil.copyfile)
        for folder, _, files in os.walk(aside):
            for file in files:
                sync(Path(folder, file))
            sync(Path(folder))
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return aside


def settle(aside: Path, name: Path) -> None:
    """Rename a finished directory to its name and flush the entry."""
    aside.rename(name)
    sync(name.parent)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}")
