"""Reads ``trimtab.yaml``: all problems at once, each with its line and path."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.core.domain.errors import ConfigError, NotFoundError, Problem
from trimtab.project.explain import line_of, problems_of
from trimtab.project.rules import contradictions
from trimtab.project.settings import Project

if TYPE_CHECKING:
    from ruamel.yaml.error import MarkedYAMLError

FILE_NAME = "trimtab.yaml"
VALUES_MAX = 10_000
"""More than any project holds; aliases of aliases get there quickly."""


def find_project(start: Path) -> Path:
    """The project file of the directory ``start`` or of the nearest one above it; ``start`` may be the file itself.

    Raises:
        NotFoundError: there is none.
    """
    start = start.absolute()
    if start.is_file():
        return start
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise NotFoundError(
        f"no {FILE_NAME} in {start} or above it; 'trimtab init DATA --target COLUMN' writes one, "
        "or go to the project's directory"
    )


def load(path: Path) -> Project:
    """The project of a file.

    Raises:
        ConfigError: with every problem of the file, in the order of its lines.
    """
    return parse(_text(path), path.name)


def parse(text: str, file: str = FILE_NAME) -> Project:
    """The project that a text describes; ``file`` names it in problems.

    Raises:
        ConfigError: with every problem of the text.
    """
    from pydantic import ValidationError

    document = _document(text, file)
    plain, problems = _plain(document, file)
    try:
        project = Project.model_validate_json(json.dumps(plain), strict=True)
    except ValidationError as error:
        known = {problem.path for problem in problems}
        found = problems_of(error, contradictions(plain), document, file)
        problems += [problem for problem in found if problem.path not in known]
        raise ConfigError(sorted(problems, key=lambda problem: problem.line or 0)) from None
    if problems:
        raise ConfigError(problems)
    return project


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        message = "there is no such file"
        raise ConfigError([Problem(str(path), None, "", message, "'trimtab init DATA' writes one")]) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        message = f"is not UTF-8: byte 0x{error.object[error.start]:02x}"
        raise ConfigError([Problem(path.name, line, "", message, "save it as UTF-8")]) from None
    except OSError as error:
        raise ConfigError([Problem(str(path), None, "", f"cannot be read: {error.strerror}")]) from None


def _document(text: str, file: str) -> dict[str, Any]:
    """The document as ruamel's mapping, which knows the lines of its keys and items."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        document = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        raise ConfigError([_syntax(error, file)]) from None
    except RecursionError:
        raise ConfigError([Problem(file, None, "", "is nested too deeply", "a project has four levels")]) from None
    except (YAMLError, ValueError) as error:  # characters that YAML does not allow; impossible dates
        raise ConfigError([Problem(file, None, "", f"is not YAML: {' '.join(str(error).split())}")]) from None
    if document is None:
        raise ConfigError([Problem(file, None, "", "is empty", "'trimtab init DATA --force' writes a new one")])
    if not isinstance(document, dict):
        found = "a list" if isinstance(document, list) else f"'{document}'"
        raise ConfigError([Problem(file, 1, "", f"must be 'key: value' lines, found {found}", "e.g. name: flights")])
    return document


def _syntax(error: MarkedYAMLError, file: str) -> Problem:
    """A syntax error or a key that stands twice, in one line."""
    from ruamel.yaml.constructor import DuplicateKeyError

    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else None
    if isinstance(error, DuplicateKeyError):
        first = error.context_mark.line + 1 if error.context_mark else None
        key = str(error.problem).partition('"')[2].partition('"')[0]
        return Problem(file, line, key, "stands twice", f"in the section that begins at line {first}" if first else "")
    words = [str(part).strip() for part in (error.context, error.problem) if part]
    return Problem(file, line, "", "is not YAML: " + ", ".join(words), "look at indentation, colons and quotes")


def _plain(document: Any, file: str) -> tuple[Any, list[Problem]]:
    """The document as plain JSON, and what JSON cannot hold: keys that are no text, infinity, tags, loops."""
    reader = _Reader(file)
    return reader.convert(document, "", None, ()), reader.problems


class _Reader:
    """Turns ruamel's nodes into plain values; keeps the place of everything that cannot be one."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.values = 0

    def convert(self, node: Any, path: str, line: int | None, above: tuple[int, ...]) -> Any:
        """The plain value of a node; ``above`` are the identities of the nodes that it lies in.

        Raises:
            ConfigError: aliases make the document refer to itself, or larger than any project.
        """
        self.values += 1
        if id(node) in above or self.values > VALUES_MAX:
            message = "refers to itself" if id(node) in above else f"holds more than {VALUES_MAX:,} values"
            raise ConfigError([Problem(self.file, line, path, message, "a project file needs no aliases")])
        tag = getattr(getattr(node, "tag", None), "value", None)
        if tag:
            self.problems.append(Problem(self.file, line, path, f"the tag {tag} cannot stand here", "write it plainly"))
            return None
        if isinstance(node, dict):
            return self._mapping(node, path, line, (*above, id(node)))
        if isinstance(node, (list, tuple, set)):
            inner = (*above, id(node))
            items = enumerate(node)
            return [self.convert(value, f"{path}[{i}]", _place(node, i, line), inner) for i, value in items]
        return self._scalar(node, path, line)

    def _mapping(self, node: dict[Any, Any], path: str, line: int | None, above: tuple[int, ...]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in node.items():
            at = _place(node, key, line)
            if not isinstance(key, str):
                message = f"the key {key!r} is not text"
                self.problems.append(Problem(self.file, at, path, message, "put it in quotes"))
            out[str(key)] = self.convert(value, f"{path}.{key}" if path else str(key), at, above)
        return out

    def _scalar(self, node: Any, path: str, line: int | None) -> Any:
        if node is None or isinstance(node, bool):
            return node
        if isinstance(node, str):
            return str(node)
        if isinstance(node, (datetime, date)):
            return node.isoformat()
        if isinstance(node, int):
            return int(node)
        if isinstance(node, float) and abs(node) < float("inf"):
            return float(node)
        self.problems.append(Problem(self.file, line, path, f"{node!r} is not a value that can stand here"))
        return None


def _place(node: Any, key: Any, line: int | None) -> int | None:
    """1-based line of a key or item; that of the section where the node does not know (merged or tagged ones)."""
    found = line_of(node, (key,), default=line)
    return line if found is None else found
