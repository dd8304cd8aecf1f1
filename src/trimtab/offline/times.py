"""Columns of event times."""

from __future__ import annotations

import numpy as np

from trimtab.core.domain.errors import DataError
from trimtab.core.profiles import Categorical, Column, Numbers
from trimtab.frames.convert import missing_text


def times_in(columns: dict[str, Column], name: str, *, gaps: bool = False) -> Numbers:
    """A column of times in seconds since the epoch; text is read as dates.

    Raises:
        DataError: it is not there, is no time, or (unless ``gaps``) has rows without one.
    """
    if name not in columns:
        raise DataError(missing_text(name, list(columns)))
    column = columns[name]
    if isinstance(column, Categorical):
        column = _dates(name, column)
    if not gaps and not np.isfinite(column).all():
        raise DataError(f"column '{name}': {int((~np.isfinite(column)).sum())} of {len(column)} times are missing")
    return column


def _dates(name: str, column: Categorical) -> Numbers:
    """CSV files hold dates in many forms; without a zone they are UTC."""
    import pandas as pd

    try:
        parsed = pd.to_datetime(pd.Series(list(column.levels), dtype=object), utc=True, format="mixed")
    except (ValueError, TypeError) as error:
        example = column.levels[:1]
        raise DataError(f"column '{name}' must hold times, found text such as {example}") from error
    seconds = (parsed - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy(dtype=np.float64)
    table = np.append(seconds, np.nan)
    found: Numbers = table[column.codes]
    return found
