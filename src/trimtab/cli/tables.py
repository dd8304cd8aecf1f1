"""Options of the commands that look at two tables, outside of a project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from trimtab.core.domain.errors import NotFoundError, UserError

Reference = Annotated[Path, Parameter(help="What stands for normal: Parquet or CSV, or a folder of Parquet files.")]
Current = Annotated[Path, Parameter(help="The rows to look at, likewise.")]
Ignore = Annotated[str, Parameter(help="Columns that are no features: a,b,c.")]
Html = Annotated[Path | None, Parameter(help="Write a page with pictures to this file.")]
Alpha = Annotated[float, Parameter(help="Probability of a false alarm of the whole look.")]


def listed(text: str) -> tuple[str, ...]:
    """The names in ``a,b, c``.

    >>> listed("a, b,,c")
    ('a', 'b', 'c')
    """
    return tuple(name for each in text.split(",") if (name := each.strip()))


def probability(alpha: float) -> float:
    """Raises UserError unless it lies between 0 and 1."""
    if not 0 < alpha < 1:
        raise UserError(f"--alpha must lie between 0 and 1, found {alpha:g}; usual is 0.01")
    return alpha


def output_path(path: Path | None, option: str) -> Path | None:
    """Where something is to be written; asked before the work begins.

    Raises:
        NotFoundError: the folder is not there.
        UserError: it is a folder.
    """
    if path is not None and path.is_dir():
        raise UserError(f"{option}: {path} is a folder; name a file in it")
    if path is not None and not path.absolute().parent.is_dir():
        raise NotFoundError(f"{option}: there is no folder {path.absolute().parent} to write {path.name} into")
    return path
