"""Reads foreign logs into a log directory of ours: each row once, however often it is run.

A row goes to the partition of its own day, so whether it is there already is known from the ids in that partition; a
request whose response is in a file to come waits in ``imported/state.json``. Files that have not changed are skipped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from trimtab.adapters.atomic import write_aside
from trimtab.adapters.foreign.cloudevents import events_of, half_of
from trimtab.adapters.foreign.files import files_of, records_of
from trimtab.adapters.foreign.outputs import answer_of, as_many
from trimtab.adapters.foreign.records import Answered, Half, Place, Tally
from trimtab.adapters.foreign.sagemaker import captured
from trimtab.adapters.foreign.tables import Mapping, Rows
from trimtab.adapters.foreign.writing import Sink
from trimtab.core.domain.errors import DataError, ExternalError

Format = Literal["kserve", "seldon", "sagemaker", "table"]
FOLDER = "imported"
ROWS_AT_ONCE = 100_000


@dataclass(frozen=True, slots=True)
class Source:
    """What is read, and how its columns are to be understood."""

    format: Format
    paths: tuple[Path, ...]
    columns: tuple[str, ...] = ()
    """Names of unnamed inputs, in order."""
    classes: tuple[str, ...] = ()
    """In the order of the scores; empty: the answers are classes by name, or numbers."""
    regression: bool = False
    event_time: str | None = None
    """An input that is the event time; None: the time of the record."""
    mapping: Mapping | None = None
    """Of a table."""
    version: int = 1


@dataclass(frozen=True, slots=True)
class Labels:
    """A table of labels that came later."""

    path: Path
    id: str
    label: str
    time: str | None


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did, and where."""

    into: Path
    tally: Tally


def import_log(source: Source, into: Path, labels: Labels | None = None, now: float = 0.0) -> Imported:
    """Read everything that is new.

    Args:
        source: see ``Source``.
        into: the log directory; made where it is not there.
        labels: joined by id.
        now: seconds since the epoch: the arrival of labels without a time.

    Raises:
        DataError: a record that cannot be understood; its file and line are named, and nothing of its file is written.
        NotFoundError: a path that is not there.
        ExternalError: the log directory cannot be written.
    """
    tally = Tally()
    try:
        into.mkdir(parents=True, exist_ok=True)
        if source.paths:
            _import_rows(source, into, tally)
        if labels is not None:
            _import_labels(source, labels, into, tally, now)
    except OSError as error:
        raise ExternalError(f"{into}: the log cannot be written: {error}") from error
    return Imported(into, tally)


def _import_rows(source: Source, into: Path, tally: Tally) -> None:
    state = _State.load(into)
    sink = Sink(into, source.version)
    for path in files_of(source.paths):
        mark = _mark(path)
        if state.files.get(str(path.resolve())) == mark:
            tally.unchanged += 1
            continue
        waiting = dict(state.waiting)
        batch = list(_rows_of(path, source, waiting, tally))
        for start in range(0, len(batch), ROWS_AT_ONCE):
            written, repeated = sink.write(batch[start : start + ROWS_AT_ONCE], source.classes, source.regression)
            tally.rows += written
            tally.repeated += repeated
        tally.files += 1
        state.waiting = waiting
        state.files[str(path.resolve())] = mark
        state.save(into)  # after the rows: a crash in between reads the file again and finds its ids
    tally.waiting = len(state.waiting)
    tally.columns, tally.classes = sink.columns, source.classes


def _rows_of(path: Path, source: Source, waiting: dict[str, Half], tally: Tally) -> Iterator[Answered]:
    if source.format == "table":
        assert source.mapping is not None  # noqa: S101  the command asks for it
        yield from Rows(source.mapping, source.classes, source.regression).of(path)
        return
    records = records_of(path)
    if source.format == "sagemaker":
        for place, record in records:
            try:
                identity, at, inputs, outputs = captured(record, source.columns)
                yield from _answered(identity, at, inputs, outputs, source)
            except DataError as error:
                raise DataError(f"{place}: {error}") from None
        return
    yield from _paired(records, source, waiting, tally)


def _paired(
    records: Iterator[tuple[Place, Any]], source: Source, waiting: dict[str, Half], tally: Tally
) -> Iterator[Answered]:
    for place, event in events_of(records):
        try:
            half = half_of(event, source.columns)
            if half is None:
                tally.ignored += 1
                continue
            other = waiting.get(half.key)
            if other is None or other.response == half.response:
                waiting[half.key] = half
                continue
            del waiting[half.key]
            asked, answer = (other, half) if half.response else (half, other)
            at = asked.time if asked.time is not None else answer.time
            yield from _answered(half.id, at, asked.rows, answer.rows, source)
        except DataError as error:
            raise DataError(f"{place}: {error}") from None


def _answered(
    identity: str, at: float | None, inputs: list[dict[str, Any]], outputs: list[Any], source: Source
) -> Iterator[Answered]:
    from trimtab.adapters.foreign.tables import moment

    if at is None and source.event_time is None:
        raise DataError("neither request nor response has a time; name the input that holds it with --event-time")
    outputs = as_many(outputs, len(inputs))
    for row, (values, output) in enumerate(zip(inputs, outputs, strict=True)):
        scores, prediction = answer_of(output, source.classes, source.regression)
        event_time = at
        if source.event_time is not None:
            if source.event_time not in values:
                raise DataError(
                    f"no input '{source.event_time}' (--event-time); there is {', '.join(list(values)[:8])}"
                )
            event_time = moment(values[source.event_time], source.event_time)
            values = {name: value for name, value in values.items() if name != source.event_time}
        assert event_time is not None  # noqa: S101  checked by the caller
        arrived = at if at is not None else event_time
        name = identity if len(inputs) == 1 else f"{identity}-{row}"
        yield Answered(name, arrived, event_time, values, scores, prediction)


def _import_labels(source: Source, labels: Labels, into: Path, tally: Tally, now: float) -> None:
    from trimtab.adapters.foreign.tables import label_rows

    sink = Sink(into, source.version)
    rows = label_rows(labels.path, labels.id, labels.label, labels.time, source.regression, now)
    tally.labels, tally.repeated_labels = sink.write_labels(rows, source.regression)


def _mark(path: Path) -> str:
    stat = path.stat()
    return f"{stat.st_size}-{stat.st_mtime_ns}"


@dataclass(slots=True)
class _State:
    """What is known between two runs. May be deleted: everything is read again, and nothing is written twice."""

    files: dict[str, str]
    waiting: dict[str, Half]

    @classmethod
    def load(cls, into: Path) -> _State:
        path = into / FOLDER / "state.json"
        if not path.exists():
            return cls({}, {})
        try:
            known = json.loads(path.read_bytes())
            return cls(dict(known["files"]), {key: Half(**half) for key, half in known["waiting"].items()})
        except (ValueError, KeyError, TypeError) as error:
            raise ExternalError(
                f"{path} is damaged ({error}); delete it: everything is read again, no row twice"
            ) from error

    def save(self, into: Path) -> None:
        known = {"files": self.files, "waiting": {key: asdict(half) for key, half in self.waiting.items()}}
        write_aside(into / FOLDER / "state.json", json.dumps(known, ensure_ascii=False).encode())
