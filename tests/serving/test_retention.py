"""How long the log is kept."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.serving.servers import INFER, eventually, row, start
from tests.serving.test_disk import metric
from tests.serving.test_records import NOON, SIGNATURE, record, slot
from trimtab.adapters.files.logs import ParquetLogReader
from trimtab.core.domain.errors import ExternalError
from trimtab.serving.record.retention import Retention, Swept, remove_mark, write_mark
from trimtab.serving.record.settings import LogSettings
from trimtab.serving.record.writer import LogWriter
from trimtab.training.collect import Names, collect

HOUR = 3600.0
MIB = 1024 * 1024


def hour(logs: Path, index: int, size: int = MIB, kind: str = "predictions", files: int = 2) -> Path:
    """The partition of the hour NOON + index, with files of this size together."""
    at = datetime.fromtimestamp(NOON + index * HOUR, UTC)
    folder = logs / kind / f"date={at:%Y-%m-%d}" / f"hour={at:%H}"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        (folder / f"w-{number}.parquet").write_bytes(bytes(size // files))
    return folder


def sweep(logs: Path, at_hour: float, **settings: float | int) -> Swept:
    return Retention(logs, LogSettings(**settings)).sweep(NOON + at_hour * HOUR)  # type: ignore[arg-type]


def test_by_age_where_nobody_reads(tmp_path: Path) -> None:
    """A server by itself: days go, empty folders too, what is no hour stays."""
    folders = [hour(tmp_path, index) for index in range(4)]
    labels = hour(tmp_path, 0, kind="labels")
    (tmp_path / "predictions" / "notes").mkdir()
    assert sweep(tmp_path, 4.5, age_s=2 * HOUR) == Swept(6, 0)
    assert [folder.exists() for folder in (*folders, labels)] == [False, False, True, True, False]
    assert (tmp_path / "predictions" / "notes").exists()


def test_an_hour_that_may_still_get_files_is_left(tmp_path: Path) -> None:
    """Rows waited for a disk over the turn of the hour."""
    folder = hour(tmp_path, 0)
    assert sweep(tmp_path, 1.1, age_s=1.0, bytes_hard=1) == Swept()
    assert sweep(tmp_path, 1.3, age_s=1.0) == Swept(2, 0)
    assert not folder.exists()


def test_by_size_the_oldest_first(tmp_path: Path) -> None:
    """The volume holds two hours."""
    folders = [hour(tmp_path, index) for index in range(4)]
    assert sweep(tmp_path, 9, bytes_max=2 * MIB) == Swept(4, 0)
    assert [folder.exists() for folder in folders] == [False, False, True, True]


def test_what_was_not_read_stays_until_the_hard_size(tmp_path: Path) -> None:
    """The controller is down for the week-end; the volume has an end all the same, and it is told."""
    folders = [hour(tmp_path, index) for index in range(4)]
    read = [f"{folder.relative_to(tmp_path)}/w-{number}.parquet" for folder in folders[:1] for number in range(2)]
    write_mark(tmp_path, "controller", read, ("predictions", "labels"))
    write_mark(tmp_path, "collector", read, ("predictions", "labels"))
    assert sweep(tmp_path, 99, age_s=1.0, bytes_max=1) == Swept(2, 0)
    assert [folder.exists() for folder in folders] == [False, True, True, True]
    assert sweep(tmp_path, 99, bytes_hard=2 * MIB) == Swept(2, 2)
    assert [folder.exists() for folder in folders] == [False, False, True, True]
    late = hour(tmp_path, 2, files=3)
    write_mark(tmp_path, "controller", [f"{late.relative_to(tmp_path)}/w-{n}.parquet" for n in range(3)], ["labels"])
    assert sweep(tmp_path, 99, age_s=1.0) == Swept(), "the collector has not read them"
    remove_mark(tmp_path, "collector")
    assert sweep(tmp_path, 99, age_s=1.0).unread == 0


def test_a_late_file_of_a_read_hour_is_unread(tmp_path: Path) -> None:
    """A worker wrote once more after its disk came back."""
    folder = hour(tmp_path, 0)
    names = [f"{folder.relative_to(tmp_path)}/w-{number}.parquet" for number in range(2)]
    write_mark(tmp_path, "controller", names, ["predictions"])
    (folder / "w-9.parquet").write_bytes(b"x")
    assert sweep(tmp_path, 99, age_s=1.0) == Swept()
    write_mark(tmp_path, "controller", [*names, f"{folder.relative_to(tmp_path)}/w-9.parquet"], ["predictions"])
    assert sweep(tmp_path, 99, age_s=1.0) == Swept(3, 0)


def test_the_collection_keeps_the_log_until_it_has_it(tmp_path: Path) -> None:
    """Rows become training data first, and only then may be deleted: nothing is lost to either."""
    writer = LogWriter(tmp_path / "logs", "w", 5.0, 1000)
    writer.start()
    at = slot(SIGNATURE)
    for i in range(20):
        writer.add(record(at, f"id{i}", [0.5, 3, True, "UA", NOON], time=NOON + i))
    writer.close()
    labels = pa.table({
        "prediction_id": [f"id{i}" for i in range(20)],
        "label": ["yes"] * 20,
        "label_time": pa.array([int(NOON * 1e6)] * 20, pa.timestamp("us", tz="UTC")),
        "time": pa.array([int(NOON * 1e6)] * 20, pa.timestamp("us", tz="UTC")),
    })  # fmt: skip
    folder = hour(tmp_path / "logs", 0, kind="labels", files=1)
    (folder / "w-0.parquet").unlink()
    pq.write_table(labels, folder / "l.parquet")
    reader = ParquetLogReader(tmp_path / "logs", marks=True)
    reader.mark("collector", frozenset())
    assert sweep(tmp_path / "logs", 99, age_s=1.0) == Swept()
    names = Names("at", "y", "known", None)
    assert collect(reader, tmp_path / "data", names).new == 20
    assert sweep(tmp_path / "logs", 99, age_s=1.0) == Swept(2, 0)
    again = collect(reader, tmp_path / "data", names)
    assert (again.new, len(again.parts)) == (0, 1)


def test_a_mark_that_cannot_be_written_stops_no_reader(tmp_path: Path) -> None:
    """The disk of the logs is full: the controller must go on deciding."""
    reader = ParquetLogReader(tmp_path, marks=True)
    (tmp_path / "readers").write_text("a file where the folder should be")
    with pytest.raises(ExternalError, match="the mark of what was read"):
        reader.mark("controller", frozenset())
    (tmp_path / "readers").unlink()
    reader.mark("controller", frozenset())
    (tmp_path / "readers" / "controller.json").unlink()
    (tmp_path / "readers" / "controller.json").mkdir()
    reader.mark("controller", frozenset({"predictions/date=2026-01-01/hour=00/w-1.parquet"}))


def test_a_damaged_mark_deletes_nothing(tmp_path: Path) -> None:
    """Half a file after a power cut: better too much log than too little."""
    hour(tmp_path, 0)
    (tmp_path / "readers").mkdir()
    (tmp_path / "readers" / "controller.json").write_text("{")
    with pytest.raises(msgspec.DecodeError):
        sweep(tmp_path, 99, age_s=1.0)


def test_a_server_sweeps_and_tells(packages: Path, tmp_path: Path) -> None:
    """`trimtab serve --log` with a hard size: old hours go, unread ones are told of, today's rows stay."""
    logs = tmp_path / "logs"
    hour(logs, 0)
    hour(logs, 1)
    write_mark(logs, "controller", [], ["predictions"])
    with start(tmp_path, {1: packages / "plain-1"}, None, "--log", '{"bytes_hard": 1500000}') as server:
        eventually(lambda: metric(server, "trimtab_log_files_deleted_unread_total") == 2)
        assert "not read yet are deleted" in server.status()["log"]["alarm"]
        assert server.post(INFER, row())[0] == 200
        eventually(lambda: server.status()["log"]["written"] == 1)
        assert len(list(logs.rglob("hour=*/w-*.parquet"))) == 2
