"""Labels and tables put together, checked against the plain definition."""

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.core.domain.errors import DataError
from trimtab.logs import TIME, concatenate, first_labels, reading_order

START = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["true", "false"]), st.integers(0, 5)), max_size=12))
def test_the_first_label_by_arrival_counts(rows: list[tuple[str, str, int]]) -> None:
    """Repeats, contradictions and ties in any order."""
    times = [START + dt.timedelta(seconds=second) for _, _, second in rows]
    table = pa.table(
        {
            "prediction_id": pa.array([row[0] for row in rows], pa.string()),
            "label": pa.array([row[1] for row in rows], pa.string()),
            "time": pa.array(times, TIME),
        }
    )
    first: dict[str, str] = {}
    for name, label, _ in sorted(rows, key=lambda row: row[2]):
        first.setdefault(name, label)
    found, conflicting = first_labels(table)
    assert dict(zip(found["prediction_id"].to_pylist(), found["label"].to_pylist(), strict=True)) == first
    assert found.num_rows == len(first)
    assert found.column_names == table.column_names
    assert conflicting == sum(label != first[name] for name, label, _ in rows)


def test_types_that_have_no_text_are_named() -> None:
    """A nested column against a plain one: not something that the data plane writes."""
    with pytest.raises(DataError, match=r"column 'x\.tags'"):
        concatenate([pa.table({"x.tags": [["a"]]}), pa.table({"x.tags": [{"k": 1}]})])


def test_reading_order_is_by_partition_then_kind_then_name() -> None:
    """Two workers, two hours, predictions and labels."""
    names = [
        "labels/date=2026-11-22/hour=05/a-1.parquet",
        "predictions/date=2026-11-22/hour=06/a-1.parquet",
        "predictions/date=2026-11-22/hour=05/b-1.parquet",
        "predictions/date=2026-11-22/hour=05/a-2.parquet",
    ]
    assert reading_order(names) == [names[3], names[2], names[0], names[1]]


def test_a_file_that_no_server_wrote_is_named(tmp_path: Path) -> None:
    """Somebody copies an export of theirs into the log directory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from trimtab.adapters.files.logs import ParquetLogReader
    from trimtab.core.domain.errors import ExternalError

    (tmp_path / "predictions").mkdir()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "predictions" / "mine.parquet")
    with pytest.raises(ExternalError, match=r"mine\.parquet has no column 'prediction_id'"):
        ParquetLogReader(tmp_path).read(frozenset())
