"""Answered rows and labels as files of the log, each id once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.adapters.foreign.records import Answered
from trimtab.adapters.foreign.tables import _label
from trimtab.core.domain.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

DAY_S = 86_400
INPUT, SCORE, PREDICTION = "x.", "y.score.", "y.prediction"


class Sink:
    """Writes into a log directory."""

    def __init__(self, into: Path, version: int) -> None:
        self._into = into
        self._version = version
        self._ids: dict[tuple[str, int], set[str]] = {}
        self.columns: tuple[str, ...] = ()
        """Inputs of the newest rows."""

    def write(self, rows: Sequence[Answered], classes: Sequence[str], regression: bool) -> tuple[int, int]:
        """Rows whose ids are new, partitioned by their day (one file for each, not 24); labels that came along follow.

        Returns:
            Rows written, and rows that were there already.
        """
        fresh: dict[int, list[Answered]] = {}
        repeated = 0
        for row in rows:
            day = int(row.time // DAY_S)
            known = self._known("predictions", day)
            if row.id in known:
                repeated += 1
                continue
            known.add(row.id)
            fresh.setdefault(day, []).append(row)
        for day, kept in sorted(fresh.items()):
            self._put("predictions", day, self._table(kept, classes, regression), [row.id for row in kept])
        labelled = [
            (row.id, _label(row.label, regression), row.label_time if row.label_time is not None else row.time)
            for row in rows
            if row.label is not None
        ]
        if labelled:
            self.write_labels(labelled, regression)
        return sum(map(len, fresh.values())), repeated

    def write_labels(self, rows: Sequence[tuple[str, Any, float]], regression: bool) -> tuple[int, int]:
        """(id, label, when known), partitioned by when they became known; the first label of an id counts.

        Returns:
            Labels written, and labels that were there already.
        """
        import pyarrow as pa

        from trimtab.logs import TIME

        fresh: dict[int, list[tuple[str, Any, float]]] = {}
        repeated = 0
        for row in rows:
            day = int(row[2] // DAY_S)
            known = self._known("labels", day)
            if row[0] in known:
                repeated += 1
                continue
            known.add(row[0])
            fresh.setdefault(day, []).append(row)
        for day, kept in sorted(fresh.items()):
            at = pa.array([round(row[2] * 1e6) for row in kept], pa.int64()).cast(TIME)
            table = pa.table(
                {
                    "prediction_id": pa.array([row[0] for row in kept], pa.string()),
                    "label": pa.array([row[1] for row in kept], pa.float64() if regression else pa.string()),
                    "label_time": at,
                    "time": at,
                }
            )
            self._put("labels", day, table, [row[0] for row in kept])
        return sum(map(len, fresh.values())), repeated

    def _known(self, kind: str, day: int) -> set[str]:
        """Ids of a partition, read once."""
        import pyarrow.parquet as pq

        found = self._ids.get((kind, day))
        if found is None:
            found = set()
            folder = self._partition(kind, day)
            for path in sorted(folder.glob("*.parquet")) if folder.is_dir() else ():
                found.update(pq.ParquetFile(path).read(["prediction_id"]).column(0).to_pylist())
            self._ids[kind, day] = found
        return found

    def _partition(self, kind: str, day: int) -> Path:
        from datetime import UTC, datetime

        at = datetime.fromtimestamp(day * DAY_S, UTC)
        return self._into / kind / f"date={at:%Y-%m-%d}" / "hour=00"

    def _put(self, kind: str, day: int, table: pa.Table, ids: list[str]) -> None:
        """The file's name follows from what is in it: a run that is repeated writes the same file."""
        import io

        import pyarrow.parquet as pq

        from trimtab.adapters.atomic import write_aside

        digest = hashlib.blake2b("\n".join(ids).encode(), digest_size=8).hexdigest()
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="lz4", store_schema=False)
        write_aside(self._partition(kind, day) / f"import-{digest}.parquet", buffer.getvalue())

    def _table(self, rows: list[Answered], classes: Sequence[str], regression: bool) -> pa.Table:
        import pyarrow as pa

        from trimtab.logs import PREDICTION_COLUMNS, TIME

        size = len(rows)
        times = {
            "time": pa.array([round(row.time * 1e6) for row in rows], pa.int64()).cast(TIME),
            "event_time": pa.array([round(row.event_time * 1e6) for row in rows], pa.int64()).cast(TIME),
        }
        fixed: dict[str, Any] = {
            "prediction_id": pa.array([row.id for row in rows], pa.string()),
            **times,
            "version": pa.array([self._version] * size, pa.int32()),
            "arm": pa.array(["champion"] * size, pa.string()),
            "shadow": pa.array([False] * size, pa.bool_()),
            "entity": pa.nulls(size, pa.string()),
            "generation": pa.array([0] * size, pa.int32()),
            "latency_ms": pa.nulls(size, pa.float32()),
            "error": pa.nulls(size, pa.string()),
        }
        arrays = {name: fixed[name] for name in PREDICTION_COLUMNS.names}
        names = list(dict.fromkeys(name for row in rows for name in row.inputs))
        self.columns = tuple(names)
        for name in names:
            arrays[INPUT + name] = _column([row.inputs.get(name) for row in rows])
        answers = [row.prediction for row in rows]
        try:
            arrays[PREDICTION] = pa.array(answers, pa.float64() if regression else pa.string())
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise DataError(f"the answers are not all {'numbers' if regression else 'classes'}: {error}") from None
        if classes and any(row.scores is not None for row in rows):
            for at, name in enumerate(classes):
                values = [None if row.scores is None else row.scores[at] for row in rows]
                arrays[SCORE + name] = pa.array(values, pa.float64())
        return pa.table(arrays)


def _column(values: list[Any]) -> pa.Array:
    """Numbers as double, truth values and text as they are, anything mixed as text."""
    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float}:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    return pa.array([None if value is None else str(value) for value in values], pa.string())
