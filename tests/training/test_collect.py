"""The log becomes training data: each answered prediction once, whatever is killed when."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.training.rows import START, frame, soon, texts, write_labels, write_log
from trimtab.adapters.files import ParquetLogReader
from trimtab.core.domain.errors import IntegrityError
from trimtab.core.domain.times import DAY_S
from trimtab.training import collect as module
from trimtab.training.collect import STATE, Collection, Names, collect

NAMES = Names("sent_at", "late", "label_time", "customer")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path / "logs"


def _collect(logs: Path, tmp_path: Path) -> Collection:
    return collect(ParquetLogReader(logs), tmp_path / "production", NAMES)


def _rows(collection: Collection) -> list[dict[str, object]]:
    return [row for part in collection.parts for row in pq.ParquetFile(part).read().to_pylist()]


def test_an_empty_log_gives_nothing(logs: Path, tmp_path: Path) -> None:
    """The first training, before anything was served."""
    assert _collect(logs, tmp_path) == Collection((), 0, 0)


def test_labelled_rows_stand_under_the_day_of_their_event(logs: Path, tmp_path: Path) -> None:
    """Three days of traffic; labels of most have arrived."""
    table = frame(300, days=3.0)
    ids = write_log(logs, table, "a")
    write_labels(logs, ids[:250], texts(table)[:250], soon(table)[:250], "l1")
    found = _collect(logs, tmp_path)
    assert (found.new, found.waiting) == (250, 50)
    rows = {row["prediction_id"]: row for row in _rows(found)}
    assert len(rows) == 250
    for i in (0, 100, 249):
        row, source = rows[ids[i]], table.iloc[i]
        assert (row["carrier"], row["pieces"], row["customer"]) == (source.carrier, source.pieces, source.customer)
        assert row["late"] == str(bool(source.late)).lower()
        assert row["sent_at"] == source.sent_at.to_pydatetime()
    for part in found.parts:
        days = {value.strftime("%Y-%m-%d") for value in pq.ParquetFile(part).read()["sent_at"].to_pylist()}
        assert part.parent.name == f"date={days.pop()}"
        assert not days


def test_late_labels_join_later_and_nothing_is_collected_twice(logs: Path, tmp_path: Path) -> None:
    """Labels trickle in over weeks, between retrainings."""
    table = frame(200, days=2.0)
    ids = write_log(logs, table, "a")
    said, known = texts(table), soon(table)
    total = 0
    for step in range(4):
        part = slice(50 * step, 50 * step + 50)
        write_labels(logs, ids[part], said[part], known[part], f"l{step}")
        found = _collect(logs, tmp_path)
        total += found.new
        assert (found.new, found.waiting) == (50, 150 - 50 * step)
    again = _collect(logs, tmp_path)
    assert (again.new, again.parts) == (0, found.parts)
    assert sorted(str(row["prediction_id"]) for row in _rows(again)) == sorted(ids)


def test_a_label_that_is_read_before_its_prediction_waits_for_it(logs: Path, tmp_path: Path) -> None:
    """Two workers: the one that took the label flushed its file first."""
    table = frame(20, days=0.5)
    ids = [f"a-{i:05d}" for i in range(20)]
    write_labels(logs, ids, texts(table), soon(table), "l0")
    assert _collect(logs, tmp_path).new == 0
    write_log(logs, table, "a")
    assert _collect(logs, tmp_path).new == 20


def test_predictions_that_never_get_a_label_leave(logs: Path, tmp_path: Path) -> None:
    """Only some cases are ever labelled; two years on, what waits for the others must not have grown without bound."""
    later = frame(20, days=0.5)
    write_log(logs, frame(10, start=START - 800 * DAY_S, days=0.5), "a")
    assert _collect(logs, tmp_path).waiting == 10
    ids = write_log(logs, later, "b")
    write_labels(logs, ids[:5], texts(later)[:5], soon(later)[:5], "l0")
    found = _collect(logs, tmp_path)
    assert (found.new, found.waiting) == (5, 15)
    (kept,) = (tmp_path / "production").glob("_waiting-predictions-*")
    assert pq.ParquetFile(kept).read().num_rows == 15


def test_the_first_label_counts(logs: Path, tmp_path: Path) -> None:
    """A client corrects itself, in the same file and in a later one; the log keeps both, training the first."""
    table = frame(2, days=0.5)
    ids = write_log(logs, table, "a")
    write_labels(logs, [ids[0], ids[0]], ["true", "false"], [START, START], "l0", arrived=START)
    assert [row["late"] for row in _rows(_collect(logs, tmp_path))] == ["true"]
    write_labels(logs, [ids[0]], ["false"], [START], "l1", arrived=START + 60)
    found = _collect(logs, tmp_path)
    assert [row["late"] for row in _rows(found)] == ["true"]


def test_shadow_rows_and_errors_are_not_training_data(logs: Path, tmp_path: Path) -> None:
    """A canary with paired scoring: both arms scored each request, one answered."""
    table = frame(10, days=0.5)
    ids = write_log(logs, table, "a")
    pq_shadow = write_log(logs, table.assign(carrier="SHADOW"), "a2", shadow=True)
    failed = write_log(logs, table, "b", error="model failed")
    everything = ids + pq_shadow + failed
    write_labels(logs, everything, texts(table) * 3, soon(table) * 3, "l0")
    found = _collect(logs, tmp_path)
    assert sorted(str(row["prediction_id"]) for row in _rows(found)) == ids


def test_a_prediction_id_given_twice_counts_once(logs: Path, tmp_path: Path) -> None:
    """A client that sends its own request ids and repeats one, days later."""
    table = frame(3, days=0.2)
    ids = write_log(logs, table, "a")
    write_labels(logs, ids, texts(table), soon(table), "l0")
    assert _collect(logs, tmp_path).new == 3
    path = write_log(logs, table, "z")
    assert path
    renamed = logs / "predictions/date=2026-01-01/hour=00/z.parquet"
    again = pq.ParquetFile(renamed).read()
    again = again.set_column(0, "prediction_id", [ids])
    pq.write_table(again, renamed)
    write_labels(logs, ids, texts(table), soon(table), "l1", arrived=START + 10)
    assert _collect(logs, tmp_path).new == 0


@pytest.mark.parametrize("dies_at", range(4))
def test_killed_between_any_two_writes(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    """kill -9 while collecting, and more traffic before the next run: no row twice, none lost, no file left over."""
    table = frame(100, days=2.0)
    ids = write_log(logs, table.iloc[:60], "a")
    write_labels(logs, ids[:50], texts(table)[:50], soon(table)[:50], "l0")
    real, count = module.write_bytes, 0

    def dying(path: Path, content: bytes) -> None:
        nonlocal count
        count += 1
        if count > dies_at:
            raise KeyboardInterrupt
        real(path, content)

    monkeypatch.setattr(module, "write_bytes", dying)
    with pytest.raises(KeyboardInterrupt):
        _collect(logs, tmp_path)
    monkeypatch.setattr(module, "write_bytes", real)
    more = write_log(logs, table.iloc[60:], "b")
    write_labels(logs, ids[50:] + more, texts(table)[50:], soon(table)[50:], "l1")
    found = _collect(logs, tmp_path)
    assert found.new == 100
    assert sorted(str(row["prediction_id"]) for row in _rows(found)) == sorted(ids + more)
    on_disk = set((tmp_path / "production").rglob("*part-*"))
    assert on_disk == set(found.parts)


def test_labels_that_never_find_a_prediction_are_let_go(logs: Path, tmp_path: Path) -> None:
    """Labels with wrong ids: they wait a day, by arrival, and do not pile up for ever."""
    table = frame(2, days=0.1)
    ids = write_log(logs, table, "a")
    write_labels(logs, ["wrong"], ["true"], [START], "l0", arrived=START)
    write_labels(logs, [ids[0]], ["true"], [START], "l1", arrived=START + 2 * DAY_S)
    _collect(logs, tmp_path)
    state = json.loads((tmp_path / "production" / STATE).read_text())
    assert state["labels"] is None


def test_a_damaged_state_is_named_with_what_to_do(logs: Path, tmp_path: Path) -> None:
    """A full disk years ago left half a file (written by something else: ours are renamed)."""
    table = frame(5, days=0.1)
    write_labels(logs, write_log(logs, table, "a"), texts(table), soon(table), "l0")
    _collect(logs, tmp_path)
    (tmp_path / "production" / STATE).write_text('{"cursor": [')
    with pytest.raises(
        IntegrityError, match=r"_collected\.json cannot be read.*remove .* to collect the whole log anew"
    ):
        _collect(logs, tmp_path)


def test_large_logs_are_committed_in_steps(logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first collection over a long log: memory is bounded, each step takes effect by itself."""
    monkeypatch.setattr(module, "ROWS_PER_COMMIT", 10)
    table = frame(60, days=1.0)
    ids = []
    for i in range(6):
        ids += write_log(logs, table.iloc[10 * i : 10 * i + 10], f"a{i}")
    write_labels(logs, ids, texts(table), soon(table), "l0")

    class OneFile(ParquetLogReader):
        def read(self, cursor: frozenset[str], limit: int = 1) -> object:  # type: ignore[override]
            return super().read(cursor, 1)

    found = collect(OneFile(logs), tmp_path / "production", NAMES)
    assert (found.new, found.waiting) == (60, 0)
    assert sorted(str(row["prediction_id"]) for row in _rows(found)) == sorted(ids)
