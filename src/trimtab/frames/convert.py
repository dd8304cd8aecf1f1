"""A table of any library, or a mapping of arrays, as core columns. Everything goes through Arrow; pandas and polars
are never imported here."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.core.domain.errors import DataError
from trimtab.core.profiles.columns import Categorical, Column, Numbers, check_column, rows_of

if TYPE_CHECKING:
    import pyarrow as pa

NUMBER_TYPES = frozenset({"float64", "int64", "bool", "datetime", "number"})
CATEGORY_TYPES = frozenset({"string", "category"})


def columns_of(frame: Any, schema: Mapping[str, str | None] | None = None) -> dict[str, Column]:
    """The columns of a table: numbers as float64 (NaN missing), text as categories.

    Args:
        frame: a pandas or polars DataFrame, an Arrow table or record batch, or a mapping of names to arrays, lists or
            core columns.
        schema: name to type of the columns that are wanted, in the words of a signature: ``float64``, ``int64``,
            ``bool``, ``datetime``,
            ``number`` | ``string``, ``category``. Text is then parsed as a number, or numbers written as text, where
            the schema says so.
            Without it every column is taken by its own type.

    Raises:
        DataError: not a table, a column that the schema names is not there, a value that does not fit its type, a
            type that is no column
            (lists, structs, bytes).
    """
    if isinstance(frame, Mapping) and all(isinstance(v, Categorical | np.ndarray) for v in frame.values()):
        core = _core_columns(frame)
        if core is not None:
            return _picked(core, schema)
    table = arrow_table(frame)
    wanted = list(schema) if schema is not None else table.column_names
    out = {}
    for name in wanted:
        if name not in table.column_names:
            raise DataError(missing_text(name, table.column_names))
        out[name] = column_of(name, table.column(name), schema.get(name) if schema else None)
    rows_of(out)
    return out


def kind_of(kind: str) -> str:
    """``number`` or ``category`` for a signature's type.

    Raises:
        DataError: an unknown type.
    """
    if kind in NUMBER_TYPES:
        return "number"
    if kind in CATEGORY_TYPES:
        return "category"
    raise DataError(f"unknown column type '{kind}'; there are {', '.join(sorted(NUMBER_TYPES | CATEGORY_TYPES))}")


def missing_text(name: str, names: list[str]) -> str:
    """``column 'amout' is not in the table; did you mean 'amount'?``"""
    close = difflib.get_close_matches(name, names, n=1)
    hint = (
        f"did you mean '{close[0]}'?" if close else f"it has {', '.join(names[:12])}{' …' if len(names) > 12 else ''}"
    )
    return f"column '{name}' is not in the table; {hint}"


def arrow_table(frame: Any) -> pa.Table:
    """Any table as an Arrow table, without copying where the library allows it.

    Raises:
        DataError: not a table.
    """
    import pyarrow as pa

    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, pa.RecordBatch):
        return pa.Table.from_batches([frame])
    try:
        if hasattr(frame, "to_arrow"):  # polars
            return frame.to_arrow()
        if hasattr(frame, "iloc") and hasattr(frame, "columns"):  # pandas
            return _from_pandas(frame)
        if isinstance(frame, Mapping):
            return pa.table({name: _arrow_array(values) for name, values in frame.items()})
        if hasattr(frame, "__arrow_c_stream__"):
            return pa.table(frame)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise DataError(f"the table cannot be read: {error}") from error
    raise DataError(
        f"expected a pandas or polars DataFrame, an Arrow table or a mapping of arrays, found {type(frame).__name__}"
    )


def column_of(name: str, values: pa.ChunkedArray | pa.Array, kind: str | None = None) -> Column:
    """One Arrow column as a core column of the wanted kind (``None``: by its own type).

    Raises:
        DataError: a type that is no column, or text where a number is wanted.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(array, pa.ChunkedArray):  # more than one chunk is left where offsets would overflow
        array = pa.concat_arrays(array.chunks)
    own = _own_kind(name, array.type)
    want = kind_of(kind) if kind is not None else own
    if want == "category":
        return _category(array if own == "category" else pc.cast(array, pa.string()))
    if own == "category":
        return _parsed(name, array)
    return _number(array)


def _own_kind(name: str, kind: pa.DataType) -> str:
    import pyarrow.types as t

    if t.is_dictionary(kind):
        return _own_kind(name, kind.value_type)
    if t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind):
        return "category"
    numeric = t.is_integer(kind) or t.is_floating(kind) or t.is_boolean(kind) or t.is_decimal(kind) or t.is_null(kind)
    if numeric or t.is_timestamp(kind) or t.is_date(kind) or t.is_duration(kind) or t.is_time(kind):
        return "number"
    raise DataError(f"column '{name}' has the type {kind}; a column is a number, a truth value, a time or text")


def _number(array: pa.Array) -> Column:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    if t.is_dictionary(array.type):
        array = array.dictionary_decode()
    scale = 1.0
    if t.is_date(array.type):
        array = array.cast(pa.timestamp("ms"))
    if t.is_timestamp(array.type) or t.is_duration(array.type) or t.is_time(array.type):
        scale = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[array.type.unit]
        array = array.cast(pa.int64()) if array.type.bit_width == 64 else array.cast(pa.int32())
    if not t.is_float64(array.type):
        array = pc.cast(array, pa.float64(), safe=False)
    numbers_of = array.to_numpy(zero_copy_only=False)
    numbers: Numbers = numbers_of.astype(np.float64, copy=False)
    return numbers / scale if scale != 1.0 else numbers


def _category(array: pa.Array) -> Categorical:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    if not t.is_dictionary(array.type):
        array = array.dictionary_encode()
    levels = array.dictionary.to_pylist()
    codes = pc.fill_null(array.indices.cast(pa.int32()), -1).to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
    if None in levels or len(set(levels)) != len(levels):
        codes, levels = _distinct(codes, levels)
    return Categorical(codes, tuple(levels))


def _distinct(codes: np.ndarray[Any, Any], levels: list[str | None]) -> tuple[np.ndarray[Any, Any], list[str]]:
    """A dictionary may hold null or hold a value twice."""
    index: dict[str, int] = {}
    table = np.array(
        [-1 if level is None else index.setdefault(level, len(index)) for level in levels] + [-1], dtype=np.int32
    )
    return table[codes], list(index)


def _parsed(name: str, array: pa.Array) -> Column:
    """Text where the schema wants a number."""
    category = _category(array)
    table = np.full(len(category.levels) + 1, np.nan)
    for at, level in enumerate(category.levels):
        try:
            table[at] = float(level)
        except ValueError:
            raise DataError(f"column '{name}' must be a number, found the text '{level[:40]}'") from None
    return table[category.codes]


def _core_columns(frame: Mapping[str, Any]) -> dict[str, Column] | None:
    if all(isinstance(v, Categorical) or v.dtype == np.float64 for v in frame.values()):
        for name, column in frame.items():
            check_column(name, column)
        rows_of(frame)
        return dict(frame)
    return None


def _picked(core: dict[str, Column], schema: Mapping[str, str | None] | None) -> dict[str, Column]:
    if schema is None:
        return core
    for name in schema:
        if name not in core:
            raise DataError(missing_text(name, list(core)))
    return {name: core[name] for name in schema}


def _arrow_array(values: Any) -> Any:
    import pyarrow as pa

    if isinstance(values, Categorical):
        return pa.DictionaryArray.from_arrays(
            pa.array(values.codes, mask=values.codes < 0), pa.array(list(values.levels), type=pa.string())
        )
    if isinstance(values, np.ndarray) and values.dtype.kind == "O":
        return _mixed(list(values))
    return _mixed(values) if isinstance(values, list) else pa.array(values, from_pandas=True)


def _mixed(values: list[Any]) -> Any:
    """Python objects: numbers stay numbers; anything mixed becomes text, missing stays missing."""
    import pyarrow as pa

    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if _is_missing(value) else str(value) for value in values], type=pa.string())


def _is_missing(value: Any) -> bool:
    return (
        value is None or (isinstance(value, float) and np.isnan(value)) or type(value).__name__ in ("NAType", "NaTType")
    )


def _from_pandas(frame: Any) -> pa.Table:
    import pyarrow as pa

    arrays, names = [], []
    for position, name in enumerate(frame.columns):
        series = frame.iloc[:, position]
        mixed = series.dtype == object
        arrays.append(_mixed(series.tolist()) if mixed else pa.array(series, from_pandas=True))
        names.append(str(name))
    if len(set(names)) != len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise DataError(f"column '{double}' stands twice in the table")
    return pa.table(arrays, names=names)
