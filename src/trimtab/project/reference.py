"""Writes docs/trimtab-yaml.md and docs/trimtab.schema.json from the settings.

Run ``python -m trimtab.project.reference`` after each change of the settings; a test compares.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from trimtab.core.domain.times import duration_text
from trimtab.project.fields import DURATION_PATTERN
from trimtab.project.settings import Project

MARKDOWN = "trimtab-yaml.md"
SCHEMA = "trimtab.schema.json"

_INTRODUCTION = """\
# trimtab.yaml

The project file: one endpoint, its data, and how it is kept healthy. `trimtab init DATA --target COLUMN` writes one
with what it found in the data. Five settings are required (`name`, `task`, `data.files`, `data.time`, `data.target`
make a whole file); every other has a default that suits.

- Durations are written `90s`, `5m`, `12h`, `7d`, `2w` or as a sum such as `1d12h`; a bare number is an error.
- Unknown settings are errors, and so are settings that would have no effect beside another one. All problems are
  reported at once, each with its line.
- `${NAME}` is replaced by an environment variable in `notification.urls`, and nowhere else.
- Editors check and complete the file by its schema, with this first line:
  `# yaml-language-server: $schema=docs/trimtab.schema.json` (or wherever you keep a copy of it).

This page is generated from the code: `python -m trimtab.project.reference`.
"""


def sections(model: type[BaseModel] = Project, path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Every section with its dotted path, in the order of the file; the first is the whole file."""
    yield path, model
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from sections(inner, f"{path}.{name}" if path else name)


def markdown() -> str:
    """The reference page."""
    parts = [_INTRODUCTION]
    for path, model in sections():
        title = f"## `{path}`" if path else "## The file"
        rows = [_row(path, name, field) for name, field in model.model_fields.items()]
        head = "| setting | type | default | |\n|---|---|---|---|"
        parts.append("\n".join([title, "", _flat(model.__doc__ or ""), "", head, *rows, ""]))
    return "\n".join(parts)


def plain() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Each section's path with its settings as (name and default, type and description), for a terminal."""
    for path, model in sections():
        lines = []
        for name, field in model.model_fields.items():
            if not _is_section(field):
                default = _default(field).strip("*")
                kind = _type(field).replace("\\|", "|")
                lines.append((name, f"{kind}{f' [{default}]' if default else ''}: {_flat(field.description or '')}"))
        yield path, [(name, text.replace("`", "")) for name, text in lines]


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) for editors; what crosses fields is checked when the file is read."""
    body = Project.model_json_schema()
    _polish(body)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "trimtab.yaml",
        **{key: value for key, value in body.items() if key != "title"},
    }


def _polish(node: Any) -> None:
    """Defaults of durations as text (the schema must accept its own defaults), descriptions in one line."""
    if isinstance(node, dict):
        if isinstance(node.get("description"), str):
            node["description"] = " ".join(node["description"].split())
        if node.get("pattern") == DURATION_PATTERN and isinstance(node.get("default"), (int, float)):
            node["default"] = duration_text(node["default"])
        for value in node.values():
            _polish(value)
    elif isinstance(node, list):
        for value in node:
            _polish(value)


def _row(path: str, name: str, field: FieldInfo) -> str:
    inner = field.annotation
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        full = f"{path}.{name}" if path else name
        anchor = full.replace(".", "")
        return f"| [`{name}`](#{anchor}) | section | {_default(field)} | {_flat(inner.__doc__ or '')} |"
    return f"| `{name}` | {_type(field)} | {_default(field)} | {_flat(field.description or '')} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.default
    if value is None or isinstance(value, BaseModel) or value in ((), {}):
        return ""
    if isinstance(value, float) and _is_duration(field):
        return f"`{duration_text(value)}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _is_duration(field: FieldInfo) -> bool:
    return any(getattr(part, "json_schema", {}) and part.json_schema.get("pattern") for part in _extras(field))


def _extras(field: FieldInfo) -> list[Any]:
    """What annotates the field's type, also below ``| None``."""
    nested = [extra for part in get_args(field.annotation) for extra in getattr(part, "__metadata__", ())]
    return [part for part in (*field.metadata, *nested) if hasattr(part, "json_schema")]


def _type(field: FieldInfo) -> str:
    if _is_duration(field):
        return "duration"
    choices = _choices(field.annotation)
    if choices:
        many = get_origin(field.annotation) is tuple
        return ("list of " if many else "") + " \\| ".join(f"`{choice}`" for choice in choices)
    name = str(field.annotation)
    if "tuple[int" in name:
        return "list of whole numbers"
    if "tuple[" in name:
        return "text or list"
    for kind, words in (("dict", "mapping"), ("bool | ", "class"), ("bool", "true \\| false"), ("float", "number")):
        if kind in name or (kind == "bool | " and "str | int" in name):
            return words + _bounds(field)
    return ("whole number" if "int" in name else "text") + _bounds(field)


def _choices(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return next((found for part in get_args(annotation) if (found := _choices(part))), ())


def _bounds(field: FieldInfo) -> str:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    found = [
        f"{sign} {getattr(part, key)}" for part in field.metadata for key, sign in signs.items() if hasattr(part, key)
    ]
    return f" {', '.join(found)}" if found else ""


def _flat(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(folder: Path) -> None:
    """Writes both files into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKDOWN).write_text(markdown(), encoding="utf-8")
    (folder / SCHEMA).write_text(json.dumps(schema(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
