"""The data plane of a drill: rows are routed by the production router, scored by the real models, and logged in the
production's columns.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trimtab.core.domain.routes import Routes
from trimtab.core.domain.times import iso
from trimtab.replay.drill.ground import Floats, Ground
from trimtab.replay.drill.models import Trained, Workshop, stamps
from trimtab.replay.drill.tape import Tape
from trimtab.replay.fakes import MemoryLogReader
from trimtab.serving.package import class_text
from trimtab.serving.scoring.router import Router, share_of

LATENCY_MS = 1.0
"""What every answer is said to have taken: latency is not drilled."""


@dataclass(slots=True, eq=False)
class Fleet:
    """Answers rows and logs them; later, their labels."""

    ground: Ground
    workshop: Workshop
    reader: MemoryLogReader = field(default_factory=MemoryLogReader)
    answered: list[tuple[Tape, slice, npt.NDArray[np.int64]]] = field(default_factory=list)
    """Tape, rows, and the version that answered each."""
    _untold: list[tuple[Tape, npt.NDArray[np.intp]]] = field(default_factory=list)
    _files: int = 0

    def serve(self, tape: Tape, low: int, high: int, routes: Routes) -> None:
        """Answer the rows ``low`` to ``high``."""
        if high <= low:
            return
        router = Router(routes)
        ids = tape.ids(low, high)
        names = ids if tape.entity is None else tape.entity[low:high].tolist()
        chosen = np.array([router.choose(name) for name in names], dtype=np.int64)
        self.answered.append((tape, slice(low, high), chosen))
        self._untold.append((tape, np.arange(low, high)))
        inputs = tape.table.select(list(self.ground.features)).slice(low, high - low)
        inputs = inputs.rename_columns([f"x.{name}" for name in self.ground.features])
        table = self._logged(tape, low, high, ids, chosen, routes, shadow=False)
        for name in inputs.column_names:
            table = table.append_column(name, inputs[name])
        self._write("predictions", tape.at[high - 1], table)
        for version in routes.shadow:
            others = np.full(high - low, version, dtype=np.int64)
            table = self._logged(tape, low, high, ids, others, routes, shadow=True)
            self._write("predictions", tape.at[high - 1], table.filter(pa.array(chosen != version)))

    def label(self, now: float) -> None:
        """Tell the labels that are known by now."""
        left = []
        for tape, rows in self._untold:
            due = tape.known_at[rows] <= now
            if due.any():
                self._write("labels", now, self._labels(tape, rows[due]))
            if not due.all():
                left.append((tape, rows[~due]))
        self._untold = left

    def _logged(
        self,
        tape: Tape,
        low: int,
        high: int,
        ids: list[str],
        versions: npt.NDArray[np.int64],
        routes: Routes,
        *,
        shadow: bool,
    ) -> pa.Table:
        count = high - low
        scores = self.scores(tape, low, high, versions)
        failed = ~np.isfinite(scores).all(axis=1) | self._failing(ids, versions)
        times = stamps(tape.at[low:high])
        arms = [routes.arms.get(version, "champion") for version in versions.tolist()]
        entity = pa.nulls(count, pa.string()) if tape.entity is None else pa.array(tape.entity[low:high].tolist())
        columns = {
            "prediction_id": pa.array(ids),
            "time": times,
            "event_time": times,
            "version": pa.array(versions.astype(np.int32)),
            "arm": pa.array(arms),
            "shadow": pa.array(np.full(count, shadow)),
            "entity": entity,
            "generation": pa.array(np.full(count, routes.generation, dtype=np.int32)),
            "latency_ms": pa.array(np.full(count, LATENCY_MS, dtype=np.float32)),
            "error": pa.array(["the model failed" if bad else None for bad in failed.tolist()], pa.string()),
        }
        return pa.table({**columns, **self._outputs(scores, failed)})

    def _outputs(self, scores: Floats, failed: npt.NDArray[np.bool_]) -> dict[str, pa.Array]:
        classes = self.ground.classes
        if classes is None:
            return {"y.prediction": pa.array(scores[:, 0], pa.float64(), mask=failed)}
        texts = np.array([class_text(each) for each in classes], dtype=object)
        best = texts[np.where(failed, 0, np.nan_to_num(scores).argmax(axis=1))]
        return {
            "y.prediction": pa.array(best, pa.string(), mask=failed),
            **{f"y.score.{text}": pa.array(scores[:, place], mask=failed) for place, text in enumerate(texts)},
        }

    def scores(self, tape: Tape, low: int, high: int, versions: npt.NDArray[np.int64]) -> Floats:
        """(n, classes) of each row by its own version."""
        out: Floats | None = None
        for version in np.unique(versions).tolist():
            answers = self.workshop.versions[version].answers(self.ground, tape)[low:high]
            out = answers.copy() if out is None else np.where((versions == version)[:, None], answers, out)
        if out is None:
            raise ValueError("no rows")
        return out

    def _failing(self, ids: list[str], versions: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        made = self.workshop.versions
        if not any(made[version].failing for version in np.unique(versions).tolist()):
            return np.zeros(len(ids), dtype=np.bool_)
        shares = [made[version].failing for version in versions.tolist()]
        return np.array([share_of("failing", each) < share for each, share in zip(ids, shares, strict=True)])

    def _labels(self, tape: Tape, rows: npt.NDArray[np.intp]) -> pa.Table:
        told, classes = tape.told[rows], self.ground.classes
        values = told.tolist() if classes is None else [class_text(classes[int(place)]) for place in told.tolist()]
        known = stamps(tape.known_at[rows])
        ids = [f"{tape.name}{row:07d}" for row in rows.tolist()]
        return pa.table({"prediction_id": ids, "label": values, "label_time": known, "time": known})

    def _write(self, kind: str, at: float, table: pa.Table) -> None:
        self._files += 1
        name = f"date={iso(at)[:10]}/hour={iso(at)[11:13]}/drill-{self._files:06d}.parquet"
        (self.reader.add_predictions if kind == "predictions" else self.reader.add_labels)(name, table)


def losses(ground: Ground, scores: Floats, truth: Floats) -> Floats:
    """(n,) half the Brier score over the classes ((p - y)² for two), or the absolute error; an answer that failed
    counts as the worst possible class answer, and is left out (NaN) for a number.
    """
    if ground.classes is None:
        return np.asarray(np.abs(scores[:, 0] - truth))
    hit = np.zeros_like(scores)
    hit[np.arange(len(truth)), truth.astype(int)] = 1.0
    out: Floats = ((scores - hit) ** 2).sum(axis=1) / 2.0
    return np.where(np.isfinite(out), out, 1.0)


def alone(ground: Ground, version: Trained, tape: Tape, rows: slice) -> Floats:
    """Losses of one version on rows of a tape."""
    return losses(ground, version.answers(ground, tape)[rows], tape.truth[rows])
