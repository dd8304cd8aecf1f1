"""``.dvc`` files: which content stands at a path."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.adapters.atomic import write_aside
from trimtab.core.domain.errors import DataError

if TYPE_CHECKING:
    from ruamel.yaml import YAML


def pointer_of(path: Path) -> Path:
    """The pointer beside a file or directory."""
    return path.with_name(path.name + ".dvc")


def write(path: Path, md5: str, size: int, files: int | None) -> None:
    """Write the pointer of ``path``; what people added to it (desc, meta, remote, comments) stays.

    Args:
        path: the data.
        md5: of the file, or of the listing with the suffix ``.dir``.
        size: bytes of content.
        files: their number for a directory, None for a file.

    Raises:
        DataError: the pointer that stands there belongs to an import or is not DVC's.
    """
    pointer = pointer_of(path)
    fields: dict[str, Any] = {"md5": md5, "size": size, "nfiles": files, "hash": "md5", "path": path.name}
    fields = {key: value for key, value in fields.items() if value is not None}
    if not pointer.exists():
        write_aside(pointer, _text({"outs": [fields]}))
        return
    document = _load(pointer)
    outs = document.get("outs") if isinstance(document, dict) else None
    if not outs or not isinstance(outs[0], dict):
        raise DataError(f"{pointer} is not a pointer of DVC's: it has no 'outs'; move it away")
    if all(outs[0].get(key) == value for key, value in fields.items()):
        return
    if "deps" in document:
        raise DataError(f"{path} was imported ({pointer.name} has 'deps') and was changed since; run 'dvc update'")
    outs[0].pop("nfiles", None)
    outs[0].update(fields)
    write_aside(pointer, _text(document))


def tracked_by(path: Path, root: Path) -> Path | None:
    """The file that already tracks ``path``: the pointer of a directory above it, or a pipeline's lock; else None.

    DVC refuses two that overlap.
    """
    for folder in path.parents:
        if not folder.is_relative_to(root):
            return None
        if pointer_of(folder).is_file():
            return pointer_of(folder)
        lock = folder / "dvc.lock"
        if lock.is_file() and path in _pipeline_outs(lock):
            return lock
    return None


def _pipeline_outs(lock: Path) -> list[Path]:
    document = _load(lock)
    stages = document.get("stages", {}) if isinstance(document, dict) else {}
    outs = [out["path"] for stage in stages.values() for out in stage.get("outs", [])]
    return [lock.parent / out for out in outs]


def _load(file: Path) -> Any:
    from ruamel.yaml.error import YAMLError

    try:
        return _yaml().load(file.read_text())
    except YAMLError as error:
        raise DataError(f"{file} is not YAML: {error}") from error


def _text(document: Any) -> bytes:
    text = io.StringIO()
    _yaml().dump(document, text)
    return text.getvalue().encode()


def _yaml() -> YAML:
    """Reads and writes as dvc does, keeping comments and order."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 10_000
    return yaml
