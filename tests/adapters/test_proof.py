"""The preflight with a real model: loads, gives its recorded answers, takes what recent requests carried."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from tests.serving.package_tools import default_package, linear_package
from trimtab.adapters.files import DirectoryTarget


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proof") / "package"
    default_package(folder)
    return folder


@pytest.fixture
def target(built: Path, tmp_path: Path) -> DirectoryTarget:
    target = DirectoryTarget(tmp_path / "deployment")
    target.install(1, built)
    return target


def requests(**changes: list[object] | None) -> pa.Table:
    """Four rows of the log; a column given as None was not carried."""
    columns: dict[str, list[object] | None] = {
        "carrier": ["AA", None, "UA", "B6"],
        "hour": [5.0, 6.0, 7.0, 8.0],
        "holiday": [True, False, True, False],
        "wind": [1.0, None, 3.0, 4.0],
        **changes,
    }
    return pa.table({f"x.{name}": values for name, values in columns.items() if values is not None})


def test_it_answers_what_recent_requests_carried(target: DirectoryTarget) -> None:
    """An ordinary night."""
    proof = target.prove(1, requests())
    assert (proof.fits, proof.rows) == (True, 4)
    assert "answers 4 recent requests" in proof.text


def test_without_traffic_it_says_so_and_goes_on(target: DirectoryTarget) -> None:
    """Nobody has asked yet."""
    for recent in (None, requests().slice(0, 0)):
        proof = target.prove(1, recent)
        assert (proof.fits, proof.rows) == (True, 0)
        assert "no recent requests were seen" in proof.text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"hour": ["5 am", "6 am", "7 am", "8 am"]}, "input 'hour' takes int64, found the text '5 am'"),
        ({"carrier": [1, 2, 3, 4]}, "input 'carrier' takes text, found the number 1"),
        ({"hour": [5.5, 6.5, 7.5, 8.5]}, "input 'hour' takes whole numbers"),
    ],
)
def test_a_changed_schema_is_found_before_traffic_moves(
    target: DirectoryTarget, changes: dict[str, list[object] | None], text: str
) -> None:
    """A column left the requests, or changed its type, after this version's time."""
    proof = target.prove(1, requests(**changes))
    assert not proof.fits
    assert "cannot answer 4 of 4 recent requests" in proof.text
    assert text in proof.text


def test_an_input_that_nobody_sends_any_more(target: DirectoryTarget, tmp_path: Path) -> None:
    """A model that can do without it passes, and it is told; one that cannot does not."""
    proof = target.prove(1, requests(hour=None))
    assert proof.fits
    assert "none of them carried hour, which it can do without" in proof.text
    linear_package(tmp_path / "linear")
    target.install(2, tmp_path / "linear")
    refused = target.prove(2, requests(hour=None, wind=[1.0, 2.0, 3.0, 4.0]))
    assert not refused.fits
    assert "input 'hour' (int64) is missing" in refused.text or "input 'hour' (float64) is missing" in refused.text


def test_one_odd_request_is_no_schema(target: DirectoryTarget) -> None:
    """Among a hundred requests one client sends nonsense."""
    rows = pa.concat_tables([requests()] * 25 + [requests(hour=[5.5, 6.0, 7.0, 8.0])])
    proof = target.prove(1, rows)
    assert proof.fits
    assert "answers 103 of 104 recent requests" in proof.text


def test_a_foreign_loader_may_raise_anything(target: DirectoryTarget, tmp_path: Path) -> None:
    """The folder became a file's ruin."""
    shutil.rmtree(tmp_path / "deployment" / "versions" / "1")
    (tmp_path / "deployment" / "versions" / "1").mkdir()
    assert not target.prove(1, None).fits
