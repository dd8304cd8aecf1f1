"""The prediction log and its labels become training data: ``data/production/date=YYYY-MM-DD/part-<hash>.parquet``.

Each answered prediction whose label is known stands in exactly one part, under the day of its event. A part is written
once and never changed, so DVC and people can rely on it. What was read, what still waits for a label, and which parts
count is in ``_collected.json``; replacing that file is the one moment at which a collection takes effect. Killed before
it, the next run removes what the state does not name and does the same work again.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trimtab.core.domain.errors import IntegrityError
from trimtab.core.domain.times import DAY_S
from trimtab.logs import concatenate, empty_labels, first_labels
from trimtab.training.files import write_bytes

if TYPE_CHECKING:
    from trimtab.ports import LogReader

STATE = "_collected.json"
ID = "prediction_id"
READER = "collector"
"""Of the log, by name: files that it has read may be deleted."""
ROWS_PER_COMMIT = 500_000
LABEL_PATIENCE_S = DAY_S
"""How long, by arrival, a label waits for its prediction's file. Labels of predictions collected before (second labels)
and of ids that were never given out leave by it."""
PREDICTION_PATIENCE_S = 400 * DAY_S
"""How long, by event time, a prediction waits for its label (counted from the middle of those that wait): most never
get one where only some are labelled, and what waits is read and written by every collection."""


@dataclass(frozen=True, slots=True)
class Names:
    """What the columns of a part are called; the inputs keep their names."""

    time: str
    target: str
    label_time: str
    entity: str | None


@dataclass(frozen=True, slots=True)
class Collection:
    """What stands in ``data/production`` after a collection."""

    parts: tuple[Path, ...]
    """All parts, oldest day first."""
    new: int
    """Rows that this collection added."""
    waiting: int
    """Answered predictions whose label is not known yet."""


@dataclass(frozen=True, slots=True)
class _State:
    cursor: frozenset[str]
    parts: tuple[str, ...]
    predictions: str | None
    """File of the answered predictions that wait for a label."""
    labels: str | None
    """File of the labels that wait for their prediction."""


def collect(reader: LogReader, folder: Path, names: Names) -> Collection:
    """Bring ``folder`` up to date with the log.

    Only one process collects at a time; a second waits.

    Raises:
        IntegrityError: the state file or a file that it names cannot be read.
        ExternalError: the log cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        state = _read_state(folder)
        _remove_orphans(folder, state)
        reader.mark(READER, state.cursor)
        new, more = 0, True
        waiting = 0
        while more:
            state, added, waiting, more = _advance(reader, folder, state, names)
            new += added
            reader.mark(READER, state.cursor)
        return Collection(tuple(folder / part for part in state.parts), new, waiting)


def _advance(reader: LogReader, folder: Path, state: _State, names: Names) -> tuple[_State, int, int, bool]:
    """Read up to half a million rows of the log and commit: new state, rows added, rows waiting, is there more."""
    cursor, predictions, labels, rows = state.cursor, _load(folder, state.predictions), _load(folder, state.labels), 0
    more = True
    while more and rows < ROWS_PER_COMMIT:
        batch = reader.read(cursor)
        more, cursor = batch.cursor != cursor, batch.cursor
        rows += batch.predictions.num_rows
        predictions += [_answered(batch.predictions)] if batch.predictions.num_rows else []
        labels += [batch.labels] if batch.labels.num_rows else []
    if cursor == state.cursor:
        return state, 0, sum(table.num_rows for table in predictions), False
    asked = first_by_id(concatenate(predictions)) if predictions else None
    said = first_labels(concatenate(labels))[0] if labels else empty_labels()
    joined, asked, said = _join(asked, said, names)
    parts, added = _write_parts(folder, joined, state.parts, names) if joined is not None else ((), 0)
    after = _State(
        cursor=cursor,
        parts=tuple(sorted({*state.parts, *parts})),
        predictions=_store(folder, asked, "predictions"),
        labels=_store(folder, said, "labels"),
    )
    _write_state(folder, after)
    _remove_orphans(folder, after)
    return after, added, asked.num_rows if asked is not None else 0, more


def _answered(predictions: pa.Table) -> pa.Table:
    """The rows whose answer was returned, with what training needs of them."""
    returned = pc.and_(pc.invert(pc.fill_null(predictions["shadow"], True)), pc.is_null(predictions["error"]))
    inputs = [name for name in predictions.column_names if name.startswith("x.")]
    return predictions.filter(returned).select([ID, "event_time", "entity", *inputs])


def first_by_id(table: pa.Table) -> pa.Table:
    """The first row of each prediction id, order kept."""
    numbered = table.append_column("_row", pa.array(np.arange(table.num_rows)))
    first = numbered.group_by(ID, use_threads=False).aggregate([("_row", "min")])["_row_min"]
    return table if len(first) == table.num_rows else table.take(np.sort(first.to_numpy()))


def _join(asked: pa.Table | None, said: pa.Table, names: Names) -> tuple[pa.Table | None, pa.Table | None, pa.Table]:
    """Labelled rows; predictions without a label; labels without a prediction that may still come."""
    if asked is None or not said.num_rows:
        return None, None if asked is None else _patient(asked), said
    place = pc.index_in(asked[ID], value_set=said[ID].combine_chunks())
    known = pc.is_valid(place)
    rows, matched = asked.filter(known), said.take(place.drop_null())
    inputs = {name[2:]: rows[name] for name in rows.column_names if name.startswith("x.")}
    columns = {ID: rows[ID], names.time: rows["event_time"]}
    if names.entity is not None:
        columns[names.entity] = rows["entity"]
    columns |= inputs
    columns |= {names.target: matched["label"], names.label_time: matched["label_time"]}
    newest = pc.max(said["time"]).cast(pa.int64()).as_py()
    fresh = pc.greater_equal(said["time"].cast(pa.int64()), newest - int(LABEL_PATIENCE_S * 1e6))
    alone = pc.invert(pc.is_in(said[ID], value_set=rows[ID].combine_chunks()))
    return pa.table(columns), _patient(asked.filter(pc.invert(known))), said.filter(pc.and_(fresh, alone))


def _patient(asked: pa.Table) -> pa.Table:
    """The predictions whose label may still come."""
    if not asked.num_rows:
        return asked
    at = asked["event_time"].cast(pa.int64())
    middle = pc.quantile(at, 0.5)[0].as_py()  # one caller's nonsense of a time must not let the others' rows go
    return asked.filter(pc.greater_equal(at, int(middle - PREDICTION_PATIENCE_S * 1e6)))


def _write_parts(folder: Path, rows: pa.Table, known: tuple[str, ...], names: Names) -> tuple[tuple[str, ...], int]:
    """One part for each day of event time, without ids that stand in a part of that day already."""
    dates = pc.strftime(rows[names.time], format="%Y-%m-%d")
    written, added = [], 0
    for date in sorted(pc.unique(dates).to_pylist()):
        day = rows.filter(pc.equal(dates, date))
        before = [_ids(folder / part) for part in known if part.startswith(f"date={date}/")]
        if before:
            day = day.filter(pc.invert(pc.is_in(day[ID], value_set=pa.concat_arrays(before))))
        if not day.num_rows:
            continue
        content = parquet_bytes(day.sort_by([(names.time, "ascending"), (ID, "ascending")]))
        name = f"date={date}/part-{hashlib.sha256(content).hexdigest()[:16]}.parquet"
        (folder / name).parent.mkdir(exist_ok=True)
        write_bytes(folder / name, content)
        written.append(name)
        added += day.num_rows
    return tuple(written), added


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as a Parquet file; the same rows give the same bytes."""
    import pyarrow.parquet

    buffer = io.BytesIO()
    texts = [field.name for field in table.schema if pa.types.is_string(field.type) or pa.types.is_boolean(field.type)]
    pyarrow.parquet.write_table(table, buffer, compression="zstd", use_dictionary=texts)
    return buffer.getvalue()


def _ids(path: Path) -> pa.Array:
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(path).read(columns=[ID])[ID].combine_chunks()


def _load(folder: Path, name: str | None) -> list[pa.Table]:
    import pyarrow.parquet

    if name is None:
        return []
    try:
        return [pyarrow.parquet.ParquetFile(folder / name).read()]
    except (pa.ArrowException, OSError) as error:
        raise IntegrityError(f"{folder / name} cannot be read: {error}; {_start_again(folder)}") from error


def _store(folder: Path, table: pa.Table | None, kind: str) -> str | None:
    if table is None or not table.num_rows:
        return None
    content = parquet_bytes(table)
    name = f"_waiting-{kind}-{hashlib.sha256(content).hexdigest()[:16]}.parquet"
    write_bytes(folder / name, content)
    return name


def _read_state(folder: Path) -> _State:
    path = folder / STATE
    if not path.exists():
        return _State(frozenset(), (), None, None)
    try:
        data = json.loads(path.read_bytes())
        return _State(frozenset(data["cursor"]), tuple(data["parts"]), data["predictions"], data["labels"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise IntegrityError(f"{path} cannot be read: {error}; {_start_again(folder)}") from error


def _start_again(folder: Path) -> str:
    return f"remove {folder} to collect the whole log anew"


def _write_state(folder: Path, state: _State) -> None:
    data = {
        "format": 1,
        "cursor": sorted(state.cursor),
        "parts": list(state.parts),
        "predictions": state.predictions,
        "labels": state.labels,
    }
    write_bytes(folder / STATE, json.dumps(data).encode())


def _remove_orphans(folder: Path, state: _State) -> None:
    """Remove what a killed collection left: files that the state does not name."""
    named = {folder / name for name in (*state.parts, state.predictions, state.labels) if name is not None}
    for pattern in ("date=*/*part-*.parquet*", "*_waiting-*.parquet*", f".{STATE}*"):
        for path in folder.glob(pattern):
            if path not in named:
                path.unlink()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; the lock goes with the process, however it ends."""
    with (folder / "_lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
