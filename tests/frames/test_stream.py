"""Files larger than memory come in batches, in order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from trimtab.core.domain.errors import DataError
from trimtab.core.profiles import Baseline, Categorical
from trimtab.frames import batches, columns_of


@pytest.fixture
def table() -> pa.Table:
    rng = np.random.default_rng(3)
    number = rng.normal(size=1000)
    return pa.table({"x": pa.array(number, mask=number > 2), "c": pa.array(rng.choice(["a", "b", "ü"], 1000))})


@pytest.mark.parametrize("suffix", ["parquet", "csv", "csv.gz"])
def test_batches_of_a_file_add_up_to_the_file(tmp_path: Path, table: pa.Table, suffix: str) -> None:
    """A month of logs is profiled without ever being in memory as a whole."""
    path = tmp_path / f"data.{suffix}"
    if suffix == "parquet":
        pq.write_table(table, path, row_group_size=300)
    elif suffix == "csv":
        pyarrow.csv.write_csv(table, path)
    else:
        with pa.CompressedOutputStream(str(path), "gzip") as out:
            pyarrow.csv.write_csv(table, out)
    baseline = Baseline.fit(columns_of(table))
    total = baseline.empty()
    for batch in batches(path, ["x", "c"], batch_rows=128):
        total = total + baseline.profile(batch)
    whole = baseline.profile(columns_of(table))
    assert total.rows == 1000
    np.testing.assert_array_equal(total.counts, whole.counts)


def test_a_folder_is_read_by_name(tmp_path: Path, table: pa.Table) -> None:
    """The log directory holds a file per hour; one that is being written begins with a dot."""
    for hour, part in enumerate((table.slice(0, 400), table.slice(400))):
        (tmp_path / f"hour={hour}").mkdir()
        pq.write_table(part, tmp_path / f"hour={hour}" / "0-1.parquet")
    (tmp_path / "hour=1" / ".half.parquet").write_bytes(b"PAR1")
    read = np.concatenate([batch["x"] for batch in batches(tmp_path, ["x"])])  # type: ignore[arg-type]
    np.testing.assert_array_equal(read, columns_of(table)["x"])


def test_tables_and_iterators(table: pa.Table) -> None:
    """A notebook hands over a frame, or a generator of frames."""
    sizes = [len(batch["x"]) for batch in batches(table, None, 300)]
    assert sizes == [300, 300, 300, 100]
    assert [len(batch["c"]) for batch in batches(iter([table, table.to_pandas()]), {"c": "string"})] == [1000, 1000]
    assert all(isinstance(batch["c"], Categorical) for batch in batches(table))


def test_bad_files_are_named(tmp_path: Path, table: pa.Table) -> None:
    """A path mistyped, a file cut short by a full disk, a column renamed upstream."""
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 and no more")
    good = tmp_path / "good.parquet"
    pq.write_table(table, good)
    for source, names, match in (
        (tmp_path / "none.parquet", None, "there is no file"),
        (broken, None, "broken.parquet cannot be read"),
        (good, ["y"], "column 'y' is not in the table"),
        (tmp_path / "good.xlsx", None, "no file"),
    ):
        with pytest.raises(DataError, match=match):
            list(batches(source, names))
