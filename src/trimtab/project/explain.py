"""From pydantic's errors to problems that a person can mend: place, line, what was found, a hint."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from trimtab.core.domain.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel, ValidationError

    from trimtab.project.rules import Finding

Path = tuple[str | int, ...]


def problems_of(
    error: ValidationError, findings: Sequence[Finding], document: dict[str, Any], file: str
) -> list[Problem]:
    """All problems: those of single fields, and the contradictions among fields."""
    problems = [
        _problem(detail, document, file)
        for detail in error.errors(include_url=False)
        if detail["type"] != "contradiction"
    ]
    return problems + [
        Problem(file, line_of(document, finding.path), dotted(finding.path), finding.message, finding.hint)
        for finding in findings
    ]


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """A hint with the nearest known name, or with all of them where none is near.

    >>> did_you_mean("amout", ["amount", "time"])
    "did you mean 'amount'?"
    """
    folded = {text.casefold().replace("-", "_"): text for text in known}
    near = difflib.get_close_matches(name.casefold().replace("-", "_"), list(folded), n=1, cutoff=0.6)
    if near:
        return f"did you mean '{folded[near[0]]}'?"
    shown = list(known)[:12]
    return f"there is {', '.join(shown)}" + (f" and {len(known) - 12} more" if len(known) > 12 else "") if known else ""


def dotted(path: Path) -> str:
    """``("rollout", "steps", 1)`` as ``rollout.steps[1]``."""
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out


def line_of(document: Any, path: Path, default: int | None = 1) -> int | None:
    """1-based line of the key or item; of the nearest section that is there, for one that is missing."""
    line: int | None = None
    node = document
    for part in path:
        try:
            line = (node.lc.item(part) if isinstance(part, int) else node.lc.key(part))[0] + 1
            node = node[part]
        except (AttributeError, KeyError, IndexError, TypeError):
            break
    return line if line is not None else default


def _problem(detail: Any, document: dict[str, Any], file: str) -> Problem:
    path: Path = detail["loc"]
    message, hint = _words(detail, path)
    return Problem(file, line_of(document, path), dotted(path), message, hint)


def _words(detail: Any, path: Path) -> tuple[str, str]:
    """Message and hint of one of pydantic's errors."""
    kind, found, limits = detail["type"], detail.get("input"), detail.get("ctx", {})
    if kind in _MUST_BE:
        return f"must be {_MUST_BE[kind]}, found {_shown(found)}", _quoting(kind, found)
    match kind:
        case "missing":
            return "is missing", _EXAMPLES.get(dotted(path), "")
        case "extra_forbidden":
            return "there is no such setting", did_you_mean(str(path[-1]), _siblings(path))
        case "literal_error":
            names = str(limits["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
            return f"{_shown(found)} is not one of {', '.join(names)}", _near(found, names)
        case "duration" | "scalar":
            return str(detail["msg"]), ""
        case "string_pattern_mismatch":
            return f"{_shown(found)} does not have the right form", _FORMS.get(dotted(path), "")
        case "string_too_short" | "too_short":
            return "is empty", ""
        case "less_than" if limits.get("lt") == 1 and isinstance(found, (int, float)):
            return f"must be less than 1, found {_shown(found)}", f"a share: {found / 100:g} is {found:g} %"
    text = str(detail["msg"]).replace("Input should be ", "must be ").replace("String should ", "must ")
    return f"{text}, found {_shown(found)}", ""


_MUST_BE = {
    "model_type": "a section of 'key: value' lines",
    "model_attributes_type": "a section of 'key: value' lines",
    "dict_type": "a section of 'key: value' lines",
    "string_type": "text",
    "tuple_type": "a list",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
}


def _quoting(kind: str, found: Any) -> str:
    if kind == "string_type" and isinstance(found, (int, float)):
        return "put it in quotes"
    return f"e.g. [{found}]" if kind == "tuple_type" and isinstance(found, (str, int)) else ""


def _shown(value: Any) -> str:
    """What was found, short: never a whole section."""
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, (list, tuple)):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return f"'{text[:60]}{'…' if len(text) > 60 else ''}'" if isinstance(value, str) else text


def _near(found: Any, names: list[str]) -> str:
    near = difflib.get_close_matches(found, names, n=1) if isinstance(found, str) else []
    return f"did you mean '{near[0]}'?" if near else ""


def _section_at(path: Path) -> type[BaseModel] | None:
    """The model that the parent of ``path`` is read into."""
    from pydantic import BaseModel

    from trimtab.project.settings import Project

    model: type[BaseModel] = Project
    for part in path[:-1]:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return None
        model = inner
    return model


def _siblings(path: Path) -> list[str]:
    model = _section_at(path)
    return list(model.model_fields) if model else []


_EXAMPLES = {
    "name": "e.g. name: flights",
    "task": "task: classification or task: regression",
    "data": "where the labelled history stands: files, time, target",
    "data.files": "e.g. files: data/*.parquet",
    "data.time": "the column with the time of each row",
    "data.target": "the column to predict",
}

_FORMS = {
    "name": "lower-case letters, digits and '-', a letter first, e.g. late-flights",
    "estimator.function": "module:function, e.g. model:build",
}
