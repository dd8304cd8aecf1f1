"""Whatever library a table comes from, the core sees the same columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from trimtab.core.domain.errors import DataError
from trimtab.core.profiles import Categorical
from trimtab.frames import columns_of


def levels(column: object) -> list[str | None]:
    assert isinstance(column, Categorical)
    return [None if code < 0 else column.levels[code] for code in column.codes]


def test_pandas_with_every_kind_of_column() -> None:
    """A data scientist's frame holds numbers, gaps, truth values, times, text and categories side by side."""
    frame = pd.DataFrame(
        {
            "n": [1.5, None, 3.0],
            "i": pd.array([1, None, 3], dtype="Int64"),
            "b": [True, False, True],
            "t": pd.to_datetime(["1970-01-01", "1970-01-02", None]),
            "z": pd.to_datetime(["1970-01-01", "1970-01-02", None]).tz_localize("America/New_York"),
            "s": ["x", None, "y"],
            "c": pd.Categorical(["u", "v", None], categories=["v", "u", "never"]),
        }
    )
    columns = columns_of(frame)
    np.testing.assert_array_equal(columns["n"], [1.5, np.nan, 3.0])
    np.testing.assert_array_equal(columns["i"], [1.0, np.nan, 3.0])
    np.testing.assert_array_equal(columns["b"], [1.0, 0.0, 1.0])
    np.testing.assert_array_equal(columns["t"], [0.0, 86400.0, np.nan])
    np.testing.assert_array_equal(columns["z"], [18000.0, 104400.0, np.nan])
    assert levels(columns["s"]) == ["x", None, "y"]
    assert levels(columns["c"]) == ["u", "v", None]


def test_arrow_of_many_types_and_pieces() -> None:
    """Logs come back from Parquet in several pieces, with small integers, dates, decimals and shared dictionaries."""
    dictionary = pa.chunked_array([pa.array(["a", None]).dictionary_encode(), pa.array(["b", "a"]).dictionary_encode()])
    table = pa.table(
        {
            "d": dictionary,
            "i8": pa.chunked_array([pa.array([1, None], pa.int8()), pa.array([3, 4], pa.int8())]),
            "day": pa.array([0, 1, None, 3], pa.date32()),
            "money": pa.array([None, 1, 2, 3], pa.decimal128(5, 2)),
            "gap": pa.nulls(4),
        }
    )
    columns = columns_of(table)
    assert levels(columns["d"]) == ["a", None, "b", "a"]
    np.testing.assert_array_equal(columns["i8"], [1, np.nan, 3, 4])
    np.testing.assert_array_equal(columns["day"], [0, 86400, np.nan, 3 * 86400])
    np.testing.assert_array_equal(columns["money"], [np.nan, 1, 2, 3])
    assert np.isnan(columns["gap"]).all()  # type: ignore[arg-type]


def test_the_schema_decides_the_kind() -> None:
    """A code such as 044 is a category although one file holds it as a number; an empty column keeps the kind it
    should have.
    """
    table = pa.table({"code": [1, 2, None], "amount": ["1.5", None, "2"], "empty": pa.nulls(3)})
    columns = columns_of(table, {"code": "string", "amount": "float64", "empty": "string"})
    assert levels(columns["code"]) == ["1", "2", None]
    np.testing.assert_array_equal(columns["amount"], [1.5, np.nan, 2.0])
    assert levels(columns["empty"]) == [None, None, None]


@pytest.mark.parametrize(
    ("frame", "schema", "match"),
    [
        (pa.table({"amount": [1.0]}), {"amout": "float64"}, "did you mean 'amount'"),
        (pa.table({"amount": ["1", "twelve"]}), {"amount": "float64"}, "found the text 'twelve'"),
        (pa.table({"pair": [[1, 2]]}), None, "a column is a number"),
        (pa.table({"a": [1]}), {"a": "complex"}, "unknown column type 'complex'"),
        ({"a": np.zeros(2), "b": np.zeros(3)}, None, "3 rows"),
        (42, None, "found int"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), None, "stands twice"),
    ],
)
def test_bad_input_is_named(frame: object, schema: dict[str, str] | None, match: str) -> None:
    """A renamed column, text in a number, a nested column: the message names it and hints."""
    with pytest.raises(DataError, match=match):
        columns_of(frame, schema)


def test_mixed_objects_become_text() -> None:
    """A column of an old export holds numbers and words."""
    columns = columns_of(pd.DataFrame({"m": pd.Series([1, "two", None], dtype=object)}))
    assert levels(columns["m"]) == ["1", "two", None]
