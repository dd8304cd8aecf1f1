"""Reading labelled history: Parquet and CSV files with the columns the project names, in a few plain types.

Every column comes out as ``bool``, ``int64``, ``float64``, ``string`` or ``timestamp[us, UTC]``. Times without a zone
are UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trimtab.core.domain.errors import DataError
from trimtab.project.tables import check_text, csv_hint, readable, separator_hint

TIMESTAMP = pa.timestamp("us", tz="UTC")
KINDS = (".parquet", ".pq", ".csv")
_LIKE_GLOB = set("*?[")


def expand(root: Path, patterns: Sequence[str]) -> list[Path]:
    """The files that the patterns name, each once, in a stable order.

    Raises:
        DataError: a pattern names nothing, or a file that is neither Parquet nor CSV.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        paths = _matches(root, pattern)
        if not paths:
            raise DataError(f"data.files: '{pattern}' names no file under {root}{_siblings(root, pattern)}")
        found.update(dict.fromkeys(paths))
    for path in found:
        if path.suffix.lower() not in KINDS:
            raise DataError(
                f"{shown(path, root)} is neither Parquet nor CSV; name files that end in {', '.join(KINDS)}"
            )
    return list(found)


def _matches(root: Path, pattern: str) -> list[Path]:
    if not _LIKE_GLOB & set(pattern):
        path = root / pattern
        return [path] if path.is_file() else []
    base = Path(Path(pattern).anchor) if Path(pattern).is_absolute() else root
    return sorted(path for path in base.glob(str(Path(pattern).relative_to(Path(pattern).anchor))) if path.is_file())


def _siblings(root: Path, pattern: str) -> str:
    folder = (root / pattern).parent
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    close = get_close_matches(Path(pattern).name, names, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def shown(path: Path, root: Path) -> str:
    """The path as people know it: relative to the project where it lies in it."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def read_file(path: Path, name: str) -> pa.Table:
    """One file with its columns in plain types. Columns of other types (lists, structs) are kept as they are.

    Raises:
        DataError: the file cannot be read, has no rows or names a column twice.
    """
    import pyarrow.csv
    import pyarrow.parquet

    try:
        if path.suffix.lower() == ".csv":
            table = pyarrow.csv.read_csv(path)
            check_text(table.schema, name)
        else:
            table = pyarrow.parquet.ParquetFile(path).read()
    except (pa.ArrowException, OSError) as error:
        first = readable(error)
        raise DataError(
            f"{name} cannot be read as {path.suffix.lstrip('.').upper()}: {first}{csv_hint(path)}"
        ) from error
    twice = sorted({column for column in table.column_names if table.column_names.count(column) > 1})
    if twice:
        raise DataError(f"{name} names column '{twice[0]}' twice")
    if table.num_rows == 0:
        raise DataError(f"{name} has no rows")
    return plain(table)


def plain(table: pa.Table) -> pa.Table:
    """The table with every column in its plain type."""
    arrays = [_plain(table.column(i)) for i in range(table.num_columns)]
    return pa.table(dict(zip(table.column_names, arrays, strict=True)))


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_timestamp(kind):
        return (column if kind.tz else pc.assume_timezone(column, "UTC")).cast(TIMESTAMP, safe=False)
    if pa.types.is_date(kind):
        return column.cast(pa.timestamp("us")).cast(TIMESTAMP)
    if pa.types.is_uint64(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return column.cast(pa.float64(), safe=False)
    if pa.types.is_integer(kind):
        return column.cast(pa.int64())
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    return column


def concat(parts: Sequence[tuple[str, pa.Table]]) -> pa.Table:
    """Files joined end to end; columns of the first, types widened where that loses nothing.

    Raises:
        DataError: a file lacks a column, has one more, or one of a type that does not go with the others'.
    """
    first_name, first = parts[0]
    for name, table in parts[1:]:
        _same_columns(first_name, first.column_names, name, table.column_names)
    fields = []
    for column in first.column_names:
        kind = first.schema.field(column).type
        for name, table in parts[1:]:
            kind = _wider(column, kind, first_name, table.schema.field(column).type, name)
        fields.append(pa.field(column, pa.float64() if pa.types.is_null(kind) else kind))
    schema = pa.schema(fields)
    return pa.concat_tables([table.select(first.column_names).cast(schema) for _, table in parts])


def _same_columns(first: str, known: list[str], name: str, found: list[str]) -> None:
    for column in known:
        if column not in found:
            raise DataError(f"column '{column}' of {first} is not in {name}{did_you_mean(column, found)}")
    for column in found:
        if column not in known:
            hint = "all files of data.files must have the same columns"
            raise DataError(f"column '{column}' of {name} is not in {first}; {hint}")


def _wider(column: str, a: pa.DataType, first: str, b: pa.DataType, name: str) -> pa.DataType:
    if a == b or pa.types.is_null(b):
        return a
    if pa.types.is_null(a):
        return b
    if {a, b} == {pa.int64(), pa.float64()}:
        return pa.float64()
    raise DataError(f"column '{column}' is {b} in {name} and {a} in {first}; write it in one type")


def require(table: pa.Table, columns: Iterable[tuple[str, str]], where: str) -> None:
    """Raise DataError when a column that a setting names is not there.

    Args:
        columns: (setting, column), e.g. ``("data.target", "late")``.
    """
    for setting, column in columns:
        if column not in table.column_names:
            raise DataError(
                f"column '{column}' ({setting}) is not in {where}{did_you_mean(column, table.column_names)}; "
                f"it has {', '.join(table.column_names[:12])}{', …' if table.num_columns > 12 else ''}"
                f"{separator_hint(table.column_names)}"
            )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for a misspelt name, or nothing."""
    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def seconds(column: pa.ChunkedArray, name: str, where: str, setting: str) -> npt.NDArray[np.float64]:
    """Times as seconds since the epoch, NaN where missing: timestamps, ISO 8601 text, or numbers that are such seconds.

    Raises:
        DataError: text that is no time; the first such row is named.
    """
    kind = column.type
    if pa.types.is_timestamp(kind):
        micros = column.cast(pa.int64()).cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return np.asarray(micros, dtype=np.float64) / 1e6
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
    if pa.types.is_string(kind):
        return _parsed(column, name, where, setting)
    raise DataError(
        f"column '{name}' ({setting}) of {where} is {kind}, not a time; use timestamps, ISO 8601 or seconds"
    )


def _parsed(column: pa.ChunkedArray, name: str, where: str, setting: str) -> npt.NDArray[np.float64]:
    import pandas as pd

    text: Any = column.to_pandas()
    times = pd.to_datetime(text, utc=True, format="ISO8601", errors="coerce")
    bad = np.flatnonzero((times.isna() & text.notna()).to_numpy())
    if len(bad):
        row = int(bad[0])
        found = f"row {row + 1} is '{text.iloc[row]}'"
        raise DataError(
            f"column '{name}' ({setting}) of {where}: {found}, not a time in ISO 8601 (2026-11-22T05:00:00)"
        )
    micros = times.dt.tz_localize(None).astype("datetime64[us]").to_numpy()
    out = micros.astype(np.int64) / 1e6
    return np.where(np.isnat(micros), np.nan, out)
