"""Data and project files as they come from elsewhere: exports, other encodings, other people's identifiers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trimtab.core.domain.errors import ConfigError, DataError, TrimtabError, UserError
from trimtab.project.check import check_data
from trimtab.project.load import parse
from trimtab.project.start import prepare
from trimtab.project.tables import head
from trimtab.training.read import read_file

BASE = "name: wine\ntask: classification\ndata: {files: d.parquet, time: at, target: t}\n"


def table(rows: int = 300) -> pd.DataFrame:
    """A time, a number, a text and a truth."""
    rng = np.random.default_rng(0)
    at = pd.date_range("2025-01-01", periods=rows, freq="h")
    return pd.DataFrame(
        {"at": at, "a": rng.normal(size=rows), "b": rng.choice(["x", "é"], rows), "t": rng.random(rows) < 0.5}
    )


def drafted(root: Path, name: str) -> str:
    """The project file that 'trimtab init' would write."""
    return prepare(str(root / name), root, target="t", time="at", name=None, force=False).text


@pytest.mark.parametrize("kind", ["int64", "uint64"])
def test_whole_numbers_beyond_a_float_are_looked_at_like_others(tmp_path: Path, kind: str) -> None:
    """Hashed identifiers of 64 bits stand in half of the world's tables."""
    big = np.random.default_rng(1).integers(2**60, 2**62, 300).astype(kind)
    table().assign(n=big).to_parquet(tmp_path / "d.parquet")
    assert "n (a whole number" in drafted(tmp_path, "d.parquet")


def test_times_in_the_first_year_are_looked_at(tmp_path: Path) -> None:
    """Databases write 0001-01-01 where they do not know."""
    arrow = pa.Table.from_pandas(table())
    old = pa.array(np.arange(300) * 10**9 - 62_135_596_800_000_000).cast(pa.timestamp("us"))
    pq.write_table(arrow.append_column("since", old), tmp_path / "d.parquet")
    assert "- since" in drafted(tmp_path, "d.parquet")


def test_the_nameless_index_of_a_csv_is_ignored(tmp_path: Path) -> None:
    """frame.to_csv("d.csv") without index=False, the commonest CSV of all."""
    table().to_csv(tmp_path / "d.csv")
    text = drafted(tmp_path, "d.csv")
    assert parse(text).data.ignore == ("",)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda f: f.to_csv(index=False, sep=";").encode(), "is ';' the separator"),
        (lambda f: f.to_csv(index=False).encode("utf-16"), "it is UTF-16: save it as UTF-8"),
        (lambda f: f.to_csv(index=False).encode("latin-1"), "column 'b' of d.csv is not UTF-8"),
        (lambda f: f.to_parquet(), "it is a Parquet file"),
        (lambda f: b"\x1f\x8b\x08\x00\x00\x00", "compressed|no rows|not in d.csv"),
    ],
)
def test_a_csv_that_is_none_says_what_it_is(
    tmp_path: Path, content: Callable[[pd.DataFrame], bytes], says: str
) -> None:
    """A spreadsheet's export on a machine of another country."""
    (tmp_path / "d.csv").write_bytes(content(table()))
    with pytest.raises(TrimtabError, match=says) as caught:
        drafted(tmp_path, "d.csv")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("codec", ["utf-16", "latin-1"])
def test_training_names_the_encoding_too(tmp_path: Path, codec: str) -> None:
    """The file was replaced by another export after 'trimtab init'."""
    (tmp_path / "d.csv").write_bytes(table().to_csv(index=False).encode(codec))
    with pytest.raises(DataError, match="UTF-8"):
        read_file(tmp_path / "d.csv", "d.csv")


@pytest.mark.parametrize(("divisor", "unit"), [(1, "us"), (1000, "ms"), (10**6, "s")])
def test_a_number_that_is_a_time_comes_with_its_unit(tmp_path: Path, divisor: int, unit: str) -> None:
    """pandas.to_datetime takes whole numbers for nanoseconds, and 2025 becomes 1970."""
    frame = table()
    frame.assign(at=frame["at"].astype("datetime64[us]").astype("int64") // divisor).to_parquet(tmp_path / "d.parquet")
    with pytest.raises(UserError, match=f"unit='{unit}'"):
        drafted(tmp_path, "d.parquet")


def test_a_link_to_nowhere_is_called_one(tmp_path: Path) -> None:
    """The data disk is not mounted."""
    (tmp_path / "d.parquet").symlink_to(tmp_path / "gone" / "d.parquet")
    with pytest.raises(TrimtabError, match="is a link to"):
        drafted(tmp_path, "d.parquet")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("estimator: {parameters: {a: " + "[" * 3000 + "]" * 3000 + "}}", "is nested too deeply"),
        ("rollout: {bake: 99999999999w}", "is more than a hundred years"),
        ("serving: {host: ''}", "serving.host"),
    ],
)
def test_hostile_settings_are_problems_of_the_file(more: str, says: str) -> None:
    """A template engine went wild."""
    with pytest.raises(ConfigError, match=says):
        parse(BASE + more + "\n")


def test_names_of_our_own_columns_are_no_features(tmp_path: Path) -> None:
    """An export of another monitoring tool: its prediction_id and label_time are columns like any other."""
    table().assign(prediction_id=1.5 * np.arange(300), label_time=0.5 * np.arange(300)).to_parquet(
        tmp_path / "d.parquet"
    )
    text = drafted(tmp_path, "d.parquet")
    assert parse(text).data.ignore == ("prediction_id", "label_time")
    with pytest.raises(ConfigError, match="'prediction_id' has a name that the collected rows of production use"):
        check_data(parse(BASE), head(tmp_path / "d.parquet"), "d.parquet")
