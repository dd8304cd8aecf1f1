"""Plays a table of history through a real server in event time.

Each row is sent as one Open Inference request when its time comes, with its entity, its event time and an id of its
own; its label is posted when it became known. ``play(until)`` sends what falls before ``until`` and returns when the
server has all of it on disk, so that a controller can look at a settled log, however quickly the past is played. (With
several workers only one of them is waited for; the others' logs lag by their flush interval at most.)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trimtab.core.domain.errors import DataError, ExternalError
from trimtab.replay.client import Client, Reply

LABELS_PER_POST = 500
FAILURES_KEPT = 20
SETTLE_S = 30.0
"""Longest wait for the server to have written what it was sent."""
SETTLE_PAUSE_S = 0.002

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of the table mean."""

    time: str
    """When the prediction is asked for."""
    target: str
    inputs: tuple[str, ...]
    """Sent with the request, under their names."""
    label_time: str | None = None
    """When the label became known; None: ``label_delay_s`` after the event."""
    label_delay_s: float = 0.0
    entity: str | None = None


@dataclass(slots=True)
class Tally:
    """What was sent and what came of it. Requests have one row each."""

    requests: int = 0
    failed: int = 0
    """Requests and posts of labels that were refused, cut off or answered with anything but success."""
    labels: int = 0
    """Labels that the server took."""
    withheld: int = 0
    """Labels of predictions that failed: there is nothing to post them to."""
    seconds: float = 0.0
    """Time spent sending and waiting for answers."""
    failures: list[str] = field(default_factory=list)
    """The first ones in words."""

    def fail(self, what: str, reply: Reply) -> None:
        """Count a failure."""
        self.failed += 1
        if len(self.failures) < FAILURES_KEPT:
            self.failures.append(f"{what}: {reply.status or 'no answer'} {reply.body[:300].decode('utf-8', 'replace')}")


class Stream:
    """A history that is played from its beginning on. A context manager.

    Args:
        table: the history, in any order; rows of the same time keep their order.
        columns: what its columns mean.
        url: of the server, ``http://host:port``.
        model: the name that the server serves it under.
        connections: keep-alive connections, each with one request under way.
        prefix: of the prediction ids; the row's place in time follows, so a replay gives the same ids again.

    Raises:
        DataError: a column is missing, or a time is.
        UserError: the URL is wrong.
    """

    def __init__(
        self, table: pa.Table, columns: Columns, url: str, model: str, *, connections: int = 16, prefix: str = "r"
    ) -> None:
        _check(table, columns)
        order = np.argsort(_seconds(table, columns.time), kind="stable")
        table = table.take(pa.array(order))
        self.tally = Tally()
        self._client = Client(url, connections)
        self._columns = columns
        self._path = f"/v2/models/{model}/infer".encode()
        self._times = _seconds(table, columns.time)
        self._due = np.maximum(_label_times(table, columns, self._times), self._times)
        self._by_label = np.argsort(self._due, kind="stable")
        self._targets = table[columns.target].to_pylist()
        self._entities = None if columns.entity is None else table[columns.entity].to_pylist()
        self._fragments = [_fragments(name, table[name]) for name in columns.inputs]
        self._prefix = prefix
        self._sent = 0
        self._labelled = 0
        self._answered: npt.NDArray[np.bool_] = np.zeros(table.num_rows, dtype=bool)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    @property
    def left(self) -> int:
        """Rows that were not sent yet."""
        return len(self._times) - self._sent

    def prediction_id(self, row: int) -> str:
        """The id of the row at this place in time."""
        return f"{self._prefix}-{row:09d}"

    def play(self, until: float) -> None:
        """Send the rows before ``until`` and then the labels that were known before it; ``tally`` counts.

        Raises:
            ExternalError: the server is gone, or does not score and write what it was sent.
        """
        started = time.perf_counter()
        first, self._sent = self._sent, max(self._sent, int(np.searchsorted(self._times, until, side="left")))
        self._predict(range(first, self._sent))
        due = int(np.searchsorted(self._due[self._by_label], until, side="left"))
        self._label(self._by_label[self._labelled : due])
        self._labelled = max(self._labelled, due)
        self._settle()
        self.tally.seconds += time.perf_counter() - started

    def _settle(self) -> None:
        """Wait until the server has scored in shadow and written all that it was sent."""
        until = time.monotonic() + SETTLE_S
        while time.monotonic() < until:
            (reply,) = self._client.exchange([self._client.get(b"/trimtab/status")])
            if not reply.ok:
                raise ExternalError(f"/trimtab/status answered {reply.status or 'nothing'}: {reply.body[:200]!r}")
            if settled(msgspec.json.decode(reply.body)):
                return
            time.sleep(SETTLE_PAUSE_S)
        raise ExternalError(f"the server has not written what it was sent after {SETTLE_S:g} s: {reply.body[:500]!r}")

    def _predict(self, rows: range) -> None:
        replies = self._client.exchange([self._client.post(self._path, self._body(row)) for row in rows])
        self.tally.requests += len(replies)
        for row, reply in zip(rows, replies, strict=True):
            self._answered[row] = reply.ok
            if not reply.ok:
                self.tally.fail(f"prediction {self.prediction_id(row)}", reply)

    def _label(self, rows: Sequence[int] | npt.NDArray[np.intp]) -> None:
        known = [int(row) for row in rows if self._answered[row]]
        self.tally.withheld += len(rows) - len(known)
        posts = [known[i : i + LABELS_PER_POST] for i in range(0, len(known), LABELS_PER_POST)]
        bodies = [_encode({"labels": [self._label_of(row) for row in post]}) for post in posts]
        replies = self._client.exchange([self._client.post(b"/labels", body) for body in bodies])
        for post, reply in zip(posts, replies, strict=True):
            if reply.ok:
                self.tally.labels += len(post)
            else:
                self.tally.fail(f"{len(post)} labels", reply)

    def _label_of(self, row: int) -> dict[str, Any]:
        return {
            "prediction_id": self.prediction_id(row),
            "label": self._targets[row],
            "label_time": float(self._due[row]),
        }

    def _body(self, row: int) -> bytes:
        parameters: dict[str, Any] = {"prediction_id": self.prediction_id(row), "event_time": float(self._times[row])}
        if self._entities is not None:
            parameters["entity"] = self._entities[row]
        inputs = b",".join([column[row] for column in self._fragments])
        return b'{"inputs":[%b],"parameters":%b}' % (inputs, _encode(parameters))


def settled(status: dict[str, Any]) -> bool:
    """Whether a worker has written every row that it counted (the body of ``/trimtab/status``)."""
    counters, log = status["counters"], status["log"]
    counted = sum(arm["rows"] for arm in counters["arms"])
    counted += counters["labels"]["accepted"] + counters["labels"]["conflicting"]
    return not counters["shadow_waiting"] and log["written"] + log["dropped"] + log["lost"] >= counted


def play_steps(stream: Stream, first: float, last: float, step: Callable[[float], float]) -> Iterator[float]:
    """Play from ``first`` to ``last`` and stop at checkpoints: after each, its time is yielded, and the caller may act.

    Args:
        step: from the time of a checkpoint to the seconds until the next, so that a caller can look more often while
            much is going on.
    """
    now = first
    while now < last:
        now = min(now + step(now), last)
        stream.play(now)
        yield now


def _check(table: pa.Table, columns: Columns) -> None:
    named = {columns.time, columns.target, columns.label_time, columns.entity, *columns.inputs} - {None}
    missing = sorted(str(name) for name in named if name not in table.column_names)
    if missing:
        raise DataError(f"the history has no column {', '.join(missing)}; it has {', '.join(table.column_names)}")
    for name in (columns.time, columns.label_time, columns.target):
        if name is not None and table[name].null_count:
            raise DataError(f"column '{name}' of the history is missing in {table[name].null_count} rows")


def _seconds(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    """A column of times, or of numbers that are seconds, as seconds since the epoch."""
    column = table[name]
    if pa.types.is_timestamp(column.type):
        micros = pc.cast(pc.cast(column, pa.timestamp("us", tz="UTC")), pa.int64())
        return np.asarray(micros.to_numpy(), dtype=np.float64) / 1e6
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return np.asarray(column.to_numpy(), dtype=np.float64)
    raise DataError(f"column '{name}' must hold times, found {column.type}")


def _label_times(table: pa.Table, columns: Columns, times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return times + columns.label_delay_s if columns.label_time is None else _seconds(table, columns.label_time)


def _fragments(name: str, column: pa.ChunkedArray) -> list[bytes]:
    """The column's tensor for each row as JSON; equal values share their bytes."""
    kind = column.type
    if pa.types.is_boolean(kind):
        datatype = "BOOL"
    elif pa.types.is_integer(kind):
        datatype = "INT64"
    elif pa.types.is_floating(kind):
        datatype = "FP64"
    else:
        datatype = "BYTES"
        column = pc.cast(column, pa.string())
    coded = pc.dictionary_encode(column.combine_chunks(), null_encoding="encode")
    texts = [
        _encode({"name": name, "shape": [1], "datatype": datatype, "data": [value]})
        for value in coded.dictionary.to_pylist()
    ]
    return [texts[code] for code in coded.indices.to_pylist()]
