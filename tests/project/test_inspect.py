"""One pass over files of any size, and the figures of each column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.project.tables import events, write
from trimtab.core.domain.errors import DataError, NotFoundError
from trimtab.project import leaks
from trimtab.project.inspect import look
from trimtab.project.tables import batches, data_files


def test_figures_are_those_of_all_rows_whatever_the_sample(tmp_path: Path) -> None:
    table = events(5000)
    seen = look([write(table, tmp_path / "a.parquet")], sample_rows=300)
    assert seen.rows == 5000
    assert 150 <= seen.sample.num_rows <= 600
    column = seen.columns["distance"]
    assert column.low == pc.min(table["distance"]).as_py()
    assert column.high == pc.max(table["distance"]).as_py()
    assert seen.columns["wind"].nulls == table["wind"].null_count
    assert seen.columns["departed_at"].ascending
    assert not seen.columns["distance"].ascending


def test_the_sample_is_spread_over_all_rows(tmp_path: Path) -> None:
    """Rows are ordered by time: a sample of the first ones would know only January."""
    seen = look([write(events(20_000), tmp_path / "a.parquet")], sample_rows=500)
    numbers = np.asarray(seen.sample["number"])
    assert numbers[0] < 100
    assert numbers[-1] > 19_900
    assert np.all(np.diff(numbers) > 0)


def test_several_files_are_one_table(tmp_path: Path) -> None:
    table = events(1000)
    files = [write(table.slice(0, 400), tmp_path / "1.parquet"), write(table.slice(400), tmp_path / "2.parquet")]
    seen = look(files)
    assert seen.rows == 1000
    assert seen.columns["number"].ascending
    assert not look(files[::-1]).columns["number"].ascending


def test_csv_is_read_like_parquet(tmp_path: Path) -> None:
    from pyarrow import csv

    table = events(500).drop_columns(["legs"])
    csv.write_csv(table, tmp_path / "a.csv")
    seen = look([tmp_path / "a.csv"])
    assert seen.rows == 500
    assert pa.types.is_timestamp(seen.columns["departed_at"].type)
    assert pa.types.is_boolean(seen.columns["late"].type)


def test_files_with_other_columns_are_refused_by_name(tmp_path: Path) -> None:
    """In March the export got a column and lost one."""
    table = events(100)
    other = table.rename_columns(["wind_speed" if name == "wind" else name for name in table.column_names])
    files = [write(table, tmp_path / "feb.parquet"), write(other, tmp_path / "mar.parquet")]
    with pytest.raises(DataError, match=r"mar\.parquet lacks wind and has also wind_speed, compared with feb\.parquet"):
        look(files)


def test_a_column_of_another_type_is_refused_by_name(tmp_path: Path) -> None:
    table = events(100)
    other = table.set_column(table.schema.get_field_index("distance"), "distance", pa.array(["far"] * 100))
    files = [write(table, tmp_path / "1.parquet"), write(other, tmp_path / "2.parquet")]
    with pytest.raises(DataError, match=r"'distance' is string in 2\.parquet but double in 1\.parquet"):
        look(files)


@pytest.mark.parametrize("content", [b"", b"PAR1 not really", b"PAR1" + b"\0" * 64 + b"PAR1"])
def test_a_damaged_file_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    """A download that broke off."""
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet cannot be read"):
        look([tmp_path / "a.parquet"])


def test_a_broken_csv_names_what_was_found(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n3\n")
    with pytest.raises(DataError, match=r"a\.csv cannot be read: CSV parse error: Expected 2 columns, got 1: 3"):
        look([tmp_path / "a.csv"])


def test_no_rows_are_refused(tmp_path: Path) -> None:
    path = write(events(10).slice(0, 0), tmp_path / "a.parquet")
    assert next(batches(path)).num_rows == 0
    with pytest.raises(DataError, match="has no rows"):
        look([path])


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = pa.table([pa.array([1]), pa.array([2])], names=["x", "x"])
    with pytest.raises(DataError, match="two columns named 'x'"):
        look([write(table, tmp_path / "a.parquet")])


def test_patterns_give_files_once_and_in_order(tmp_path: Path) -> None:
    for name in ("b.parquet", "a.parquet", "note.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in data_files(["b.parquet", "*.parquet"], tmp_path)] == ["b.parquet", "a.parquet"]
    with pytest.raises(NotFoundError, match=r"no data file 'c\*'"):
        data_files(["c*"], tmp_path)
    with pytest.raises(DataError, match=r"note\.txt is neither Parquet nor CSV"):
        data_files(["note.txt"], tmp_path)


def skill(column: pa.ChunkedArray, classes: np.ndarray) -> float:  # type: ignore[type-arg]
    return leaks.column_facts("x", column, pa.chunked_array([classes]), classification=True).skill


def test_skill_is_that_of_chance_for_noise_and_full_for_a_copy() -> None:
    chance = np.random.default_rng(3)
    classes = chance.integers(0, 2, 4000)
    noise = pa.chunked_array([chance.normal(size=4000)])
    many = pa.chunked_array([[str(i) for i in range(4000)]])
    rare = pa.chunked_array([np.where(classes == 1, 0.0, 5.0) + 0.0])
    assert skill(noise, classes) < 0.6
    assert skill(many, classes) < 0.6
    assert skill(rare, classes) > 0.99


def test_a_rare_class_is_found_in_a_column_that_is_nearly_constant() -> None:
    """One percent fraud, and a column that is 0 for all honest rows."""
    classes = (np.arange(10_000) % 117 == 0).astype(np.int64)
    chance = np.random.default_rng(5)
    column = pa.chunked_array([classes * chance.integers(1, 4, 10_000)])
    assert skill(column, classes) > 0.99


def test_auroc_agrees_with_scikit_learn() -> None:
    from sklearn.metrics import roc_auc_score

    chance = np.random.default_rng(9)
    positive = chance.uniform(size=500) < 0.3
    scores = np.round(chance.normal(size=500) + positive, 1)
    assert leaks.auroc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))
