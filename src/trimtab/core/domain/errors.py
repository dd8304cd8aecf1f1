"""The one tree of exceptions. The type says whose fault it is; the edge turns it into an exit code or a status code.

TrimtabError
├── UserError                 the caller can mend it                       exit 2, HTTP 4xx
│   ├── ConfigError           trimtab.yaml: all problems at once, each with its place
│   ├── DataError             a table, a column, a row, a label
│   ├── EstimatorError        the user's own estimator code cannot be imported or called
│   ├── NotFoundError         a version, rollout, decision or file that is not there
│   └── RefusedError          a command that is not legal now (state, role and reason are named)
├── ExternalError             a thing outside failed: disk, registry, server   exit 1, HTTP 503
│   └── IntegrityError        content does not match its recorded hash
├── ConflictError             somebody else appended to the journal first: look again
└── InvariantError            our own defect; nothing was changed               exit 1
"""

from __future__ import annotations

from dataclasses import dataclass


class TrimtabError(Exception):
    """Base of every error that Trimtab raises on purpose. The text is one clear line (or one line per problem)."""


class UserError(TrimtabError):
    """The caller's mistake: what was wrong, where, what was found, a hint."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a file that a person wrote."""

    file: str
    line: int | None
    """1-based line, None where no line can be named."""
    path: str
    """Where in the document, e.g. ``rollout.steps[1]``."""
    message: str
    """What was wrong and what was found."""
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line is not None else self.file
        where = f"{place} {self.path}".rstrip()
        return f"{where}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class ConfigError(UserError):
    """The project file is wrong. Carries every problem, not the first."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class DataError(UserError):
    """A table, column, row or label is not what it must be."""


class EstimatorError(UserError):
    """The user's estimator function cannot be imported, called or fitted."""


class NotFoundError(UserError):
    """What was asked for does not exist; the text lists what does."""


class RefusedError(UserError):
    """The command is not legal in the present state; nothing was changed."""


class ExternalError(TrimtabError):
    """Something outside the process failed: disk, registry, server, job."""


class IntegrityError(ExternalError):
    """Content does not match the hash recorded for it."""


class ConflictError(TrimtabError):
    """The journal moved on since it was read: another controller or person appended first. Look again."""


class InvariantError(TrimtabError):
    """A rule that must always hold would be broken: a defect of ours. Nothing was changed."""
