"""What a run was made from, kept so that it can be made again: the user's modules, and digests of the data files."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from trimtab.core.domain.errors import DataError
from trimtab.training.read import expand, shown

_BYTES_MAX = 1_000_000
_PIECE = 1 << 20
_NOT_OURS = frozenset({"site-packages", "dist-packages"})


def user_modules(root: Path) -> dict[str, bytes]:
    """The modules of the project that are imported now, by their path in it, with their content.

    What stands in an environment inside the project is not the project's own; files over a megabyte are no code.
    """
    root, own = root.resolve(), Path(__file__).resolve().parents[1]
    found = {}
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not file.endswith(".py"):
            continue
        path = Path(file).resolve()
        if not path.is_relative_to(root) or path.is_relative_to(own) or _NOT_OURS & set(path.parts):
            continue
        if path.is_file() and path.stat().st_size <= _BYTES_MAX:
            found[path.relative_to(root).as_posix()] = path.read_bytes()
    return dict(sorted(found.items()))


def source_digests(root: Path, patterns: Sequence[str]) -> dict[str, str]:
    """md5 of each data file as DVC takes it, by its name; empty where a file is gone."""
    try:
        return {shown(path, root): file_md5(path) for path in expand(root, patterns)}
    except DataError:
        return {}


def file_md5(path: Path) -> str:
    """32 hex digits.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     file_md5(Path(file.name))
    'd41d8cd98f00b204e9800998ecf8427e'
    """
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
