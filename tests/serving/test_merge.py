"""Files of the log become few, and every reader gets each row once, whatever dies when."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serving.servers import INFER, eventually, read_log, row, start
from tests.serving.test_records import NOON, SIGNATURE, record, slot
from trimtab.adapters.files.logs import ParquetLogReader
from trimtab.core.domain.errors import ExternalError
from trimtab.logs import PREDICTION_COLUMNS, TIME
from trimtab.serving.record import merge
from trimtab.serving.record.files import LogFiles
from trimtab.serving.record.merging import Merging
from trimtab.serving.record.retention import Retention
from trimtab.serving.record.settings import LogSettings
from trimtab.serving.record.writer import LogWriter
from trimtab.training.collect import Names, collect

HOUR = int(NOON // 3600)
PARTITION = "predictions/date=2013-06-01/hour=12"
LATER = NOON + 2 * 3600.0
"""When the hour of NOON is over."""


def rows_of(ids: list[str], **more: pa.Array) -> pa.Table:
    n = len(ids)
    known = {
        "prediction_id": pa.array(ids, pa.string()),
        "time": pa.array([int(NOON * 1e6)] * n, TIME),
        "version": pa.array([1] * n, pa.int32()),
        "shadow": pa.array([False] * n),
        **more,
    }
    return pa.table(
        {**{field.name: known.get(field.name, pa.nulls(n, field.type)) for field in PREDICTION_COLUMNS}, **more}
    )


class Desk:
    """A log directory, what was written to it, and what each reader got."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.files = LogFiles(logs, "w0-0123-ab")
        self.written: list[str] = []
        self.cursors = [frozenset[str](), frozenset[str](), frozenset[str]()]
        self.got: list[list[str]] = [[], [], []]

    def write(self, rows: int = 3, **more: pa.Array) -> None:
        ids = [f"id{len(self.written) + i:05d}" for i in range(rows)]
        self.written += ids
        self.files.write("predictions", HOUR, rows_of(ids, **more))

    def read(self, reader: int, limit: int = 256) -> None:
        piece = ParquetLogReader(self.logs).read(self.cursors[reader], limit)
        self.cursors[reader] = piece.cursor
        self.got[reader] += piece.predictions["prediction_id"].to_pylist()

    def read_all(self) -> None:
        for reader in range(3):
            before = None
            while before != self.cursors[reader]:
                before = self.cursors[reader]
                self.read(reader)

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in (self.logs / PARTITION).glob("*.parquet"))

    def check(self) -> None:
        """Each reader got each row once."""
        self.read_all()
        for got in self.got:
            assert sorted(got) == sorted(self.written)


class KilledError(BaseException):
    """Stands for kill -9: no clean-up may be counted on."""


@contextlib.contextmanager
def dies_after(effects: int) -> Iterator[None]:
    """The process is killed before its next change of the disk; 0: before the first."""
    left = effects
    patch = pytest.MonkeyPatch()
    for owner, name in ((Path, "rename"), (Path, "unlink"), (os, "fsync"), (os, "utime")):
        real = getattr(owner, name)

        def dying(*args: object, real: object = real, **more: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                raise KilledError
            return real(*args, **more)  # type: ignore[operator]

        patch.setattr(owner, name, dying)
    try:
        yield
    except KilledError:
        pass
    finally:
        patch.undo()


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_each_reader_gets_each_row_once_whatever_dies_when(data: st.DataObject) -> None:
    """Workers write, readers of different pace read, mergings begin, die between any two changes of the disk, and are
    done again, also of what was merged before.
    """
    import tempfile

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge, "FILES_MIN", 2)
        desk = Desk(Path(folder))
        for _ in range(data.draw(st.integers(1, 12))):
            what = data.draw(st.sampled_from(["write", "write", "read", "open", "over", "die", "die"]))
            if what == "write":
                for _ in range(data.draw(st.integers(1, 4))):
                    desk.write(data.draw(st.integers(1, 3)))
            elif what == "read":
                desk.read(data.draw(st.integers(0, 2)), data.draw(st.integers(1, 4)))
            else:
                now = LATER if what == "over" or data.draw(st.booleans()) else NOON
                with dies_after(data.draw(st.integers(0, 12)) if what == "die" else 10_000):
                    merge.merge_partition(desk.logs / PARTITION, now)
        desk.check()
        merge.merge_partition(desk.logs / PARTITION, LATER)
        assert len(desk.names) <= 1
        desk.check()


def test_many_files_become_one(tmp_path: Path) -> None:
    """An hour of a quiet endpoint: first some minutes of it, then the whole; only what nobody has read is read."""
    desk = Desk(tmp_path)
    for _ in range(merge.FILES_MIN - 1):
        desk.write()
    assert merge.merge_partition(tmp_path / PARTITION, NOON) == 0, "too few to be worth it while the hour goes on"
    desk.read(0)
    desk.write()
    assert merge.merge_partition(tmp_path / PARTITION, NOON) == merge.FILES_MIN
    (first,) = desk.names
    desk.read(1)
    for _ in range(5):
        desk.write()
    assert merge.merge_partition(tmp_path / PARTITION, LATER) == 6
    assert len(desk.names) == 1
    assert desk.names != [first]
    assert merge.merge_partition(tmp_path / PARTITION, LATER) == 0
    desk.check()
    assert desk.cursors[0] == desk.cursors[1] == {f"{PARTITION}/{desk.names[0]}"}, "a cursor does not grow with files"
    assert read_log(tmp_path / "predictions")["prediction_id"].to_pylist() == desk.written, "in the order of arrival"


def test_only_files_of_the_same_columns_are_merged(tmp_path: Path) -> None:
    """A canary with another feature: its rows stand in files of their own, before and after."""
    desk = Desk(tmp_path)
    for _ in range(4):
        desk.write(2, **{"x.a": pa.array([1.0, 2.0])})
        desk.write(1, **{"x.a": pa.array(["text"])})
    merge.merge_partition(tmp_path / PARTITION, LATER)
    kinds = sorted(str(pq.read_schema(tmp_path / PARTITION / name).field("x.a").type) for name in desk.names)
    assert kinds == ["double", "string"]
    desk.check()


def test_a_busy_hour_gets_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Merged files have a bound, so that a reader's memory has one."""
    monkeypatch.setattr(merge, "ROWS_MAX", 20)
    monkeypatch.setattr(merge, "GROUP_ROWS", 7)
    desk = Desk(tmp_path)
    for _ in range(23):
        desk.write(4)
    merge.merge_partition(tmp_path / PARTITION, LATER)
    counts = [pq.read_metadata(tmp_path / PARTITION / name).num_rows for name in desk.names]
    assert sorted(counts) == [12, 20, 20, 20, 20]
    assert merge.merge_partition(tmp_path / PARTITION, LATER) == 0, "full ones are left as they are"
    desk.check()


def test_a_damaged_file_keeps_nobody_from_being_merged(tmp_path: Path) -> None:
    """A disk error in one file of an hour: the reader names it, the others are merged around it."""
    desk = Desk(tmp_path)
    for _ in range(3):
        desk.write()
    torn, empty = tmp_path / PARTITION / desk.names[1], tmp_path / PARTITION / "w9-0123-00000001.parquet"
    content = torn.read_bytes()
    torn.write_bytes(content[:20] + bytes(60) + content[80:])
    empty.write_bytes(b"")
    assert merge.merge_partition(tmp_path / PARTITION, LATER) == 2
    assert len(desk.names) == 3
    with pytest.raises(ExternalError, match=r"w0-0123-ab-00000002\.parquet cannot be read"):
        desk.read_all()
    torn.unlink()
    empty.unlink()
    desk.read_all()
    assert len(desk.got[0]) == 6


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no room for the merged file: the sources stay, and nothing is left behind."""
    desk = Desk(tmp_path)
    for _ in range(3):
        desk.write()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            merge.merge_partition(tmp_path / PARTITION, LATER)
    assert len(list((tmp_path / PARTITION).iterdir())) == 3
    desk.check()


def test_killed_for_real(tmp_path: Path) -> None:
    """kill -9 at any moment of the process that merges, while a reader reads."""
    chance = random.Random(7)
    desk = Desk(tmp_path)
    for _ in range(150):
        desk.write(2)
    kills = 0
    command = [sys.executable, "-P", "-m", "trimtab.serving.record.merge", str(tmp_path), PARTITION]
    merge_s = None
    for _ in range(6):
        process = subprocess.Popen(command)
        begun = time.monotonic()
        if merge_s is None:
            eventually(lambda: any(path.name.startswith(".merged") for path in (tmp_path / PARTITION).iterdir()))
            merge_s = time.monotonic() - begun
        else:
            time.sleep(merge_s * chance.uniform(0.8, 1.3))
        process.kill()
        kills += process.wait() == -9
        desk.read(chance.randrange(3), chance.choice((5, 40)))
        for _ in range(4):
            desk.write(2)
    assert kills >= 2
    assert subprocess.run(command, check=False).returncode == 0
    desk.check()
    assert len(desk.names) == 1
    assert not list((tmp_path / PARTITION).glob(".*"))


def test_files_go_while_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The merging deletes what a reader had just found in the folder: it looks again."""
    desk = Desk(tmp_path)
    for _ in range(5):
        desk.write()
    reader = ParquetLogReader(tmp_path)
    names = reader._names()
    merge.merge_partition(tmp_path / PARTITION, LATER)
    looks = iter([names])
    monkeypatch.setattr(ParquetLogReader, "_names", lambda self: next(looks, None) or names_now(self))
    monkeypatch.setattr(ParquetLogReader, "_newest", lambda self, kind: iter(next(looks, None) or names_now(self)))
    assert reader.read(frozenset()).predictions.num_rows == 15
    looks = iter([names])
    assert reader.recent(4)["prediction_id"].to_pylist() == desk.written[-4:]


def names_now(reader: ParquetLogReader) -> list[str]:
    return [f"{PARTITION}/{path.name}" for path in (reader._logs / PARTITION).glob("*.parquet")]


def test_the_newest_rows_are_those_after_the_merged(tmp_path: Path) -> None:
    """A rollback tries its target on the newest requests; a file that was merged just now holds older ones."""
    desk = Desk(tmp_path)
    for _ in range(3):
        desk.write()
    os.utime(tmp_path / PARTITION / desk.names[-1], (NOON, NOON))
    merge.merge_partition(tmp_path / PARTITION, LATER)
    desk.write(2)
    assert set(ParquetLogReader(tmp_path).recent(2)["prediction_id"].to_pylist()) == set(desk.written[-2:])


def test_marks_count_what_was_merged(tmp_path: Path) -> None:
    """Old hours are deleted when every reader has read them: fewer files do not make an hour read."""
    desk = Desk(tmp_path)
    for _ in range(6):
        desk.write()
    reader = ParquetLogReader(tmp_path, marks=True)
    desk.read(0, limit=5)
    reader.mark("controller", desk.cursors[0])
    merge.merge_partition(tmp_path / PARTITION, LATER)
    old = Retention(tmp_path, LogSettings(age_s=1.0))
    assert old.sweep(LATER + 86_400.0).files == 0, "a row in the merged file is unread"
    desk.check()
    reader.mark("controller", desk.cursors[0])
    assert old.sweep(LATER + 86_400.0).files == 6


def test_the_collection_takes_merged_rows_once(tmp_path: Path) -> None:
    """Rows become training data between two mergings of their hour."""
    writer = LogWriter(tmp_path / "logs", "w", 5.0, 1000)
    at = slot(SIGNATURE)
    names = Names("at", "y", "known", None)
    labels = pa.table(
        {
            "prediction_id": [f"id{i}" for i in range(30)],
            "label": ["yes"] * 30,
            "label_time": pa.array([int(NOON * 1e6)] * 30, TIME),
            "time": pa.array([int(NOON * 1e6)] * 30, TIME),
        }
    )
    files = LogFiles(tmp_path / "logs", "l")
    files.write("labels", HOUR, labels)
    reader = ParquetLogReader(tmp_path / "logs")
    writer.start()
    found = 0
    for i in range(30):
        writer.add(record(at, f"id{i}", [0.5, 3, True, "UA", NOON], time=NOON + i))
        asyncio.run(_settle(writer))
        if i % 7 == 6:
            found += collect(reader, tmp_path / "data", names).new
            merge.merge_partition(tmp_path / "logs" / PARTITION, LATER)
    writer.close()
    found += collect(reader, tmp_path / "data", names).new
    collected = pa.concat_tables(pq.ParquetFile(path).read() for path in (tmp_path / "data").glob("date=*/*.parquet"))
    assert found == 30
    assert Counter(collected["prediction_id"].to_pylist()) == Counter(f"id{i}" for i in range(30))


async def _settle(writer: LogWriter) -> None:
    await writer.settled()


def test_what_is_due(tmp_path: Path) -> None:
    """The present hour from 64 files on, hours that are over once, all of it again after a late file."""
    desk = Desk(tmp_path)
    merging = Merging(tmp_path, wanted=True)
    desk.write()
    desk.write()
    assert merging.due(NOON) == []
    assert merging.due(LATER) == [PARTITION]
    merge.main([str(tmp_path), PARTITION])
    merging.note([PARTITION])
    assert merging.due(LATER) == []
    desk.write()
    assert merging.due(LATER) == [PARTITION]
    with merge.alone(tmp_path) as ours:
        assert ours
        assert merge.main([str(tmp_path), PARTITION]) == 0
    assert len(desk.names) == 2, "another process merges there: it is left to that one"


def test_a_server_merges_what_it_wrote(packages: Path, tmp_path: Path) -> None:
    """Hours of the past, written by earlier servers, are merged beside the requests that are answered."""
    at = datetime.fromtimestamp(NOON, UTC)
    assert f"date={at:%Y-%m-%d}" in PARTITION
    desk = Desk(tmp_path / "logs")
    for _ in range(20):
        desk.write()
    program = "import sys; from trimtab.serving.record import merging; merging.Merging.__init__.__defaults__ = (0.2,)"
    program += "; from trimtab.serving.__main__ import main; sys.exit(main(sys.argv[1:]))"
    with start(tmp_path, {1: packages / "plain-1"}, None, program=("-c", program)) as server:
        assert server.post(INFER, row())[0] == 200
        eventually(lambda: len(desk.names) == 1)
        eventually(lambda: server.status()["log"]["written"] == 1)
        assert server.stop() == 0
    desk.written.append(next(one for one in server.predictions()["prediction_id"].to_pylist() if one[:2] != "id"))
    desk.check()
