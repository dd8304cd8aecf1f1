"""Models of the backtest: fitted once for each set of rows, several at a time, and shared by all policies."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from trimtab.core.policy.facts import FIRST, Kind
from trimtab.replay.backtest.history import History
from trimtab.replay.backtest.labels import Schedule

Floats = npt.NDArray[np.float64]
Key = tuple[int, int, int, int]
"""Rows that a model was trained on: first, last, how many, and a checksum of which."""
SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A model's answers on all rows after those it was trained on."""

    first: int
    """The first row that it answered."""
    answers: Floats
    """(rows, classes) scores, one column for two classes (the second's), or (rows, 1) values."""
    seconds: float


@dataclass(slots=True)
class Fits:
    """Fits on demand. A context manager: its threads end with it.

    Args:
        history: rows to fit.
        schedule: which rows are there when.
        jobs: fits at a time. Each uses one thread of its own.
        parameters: of the default estimator.
        cache: folder that keeps answers from one comparison to the next; None keeps nothing.
    """

    history: History
    schedule: Schedule
    jobs: int = 1
    parameters: dict[str, Any] = field(default_factory=dict)
    cache: Path | None = None
    _pool: ThreadPoolExecutor | None = None
    _known: dict[Key, Future[Fitted]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _keys: dict[tuple[Kind, int], Key] = field(default_factory=dict)

    def __enter__(self) -> Self:
        # loaded before the threads are made, so that each limits the libraries' own threads
        import sklearn.ensemble  # noqa: F401

        self._pool = ThreadPoolExecutor(self.jobs, "fit", _one_thread)
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def under(self, when: Schedule) -> Fits:
        """The same models where labels come at other times: only rows tell models apart."""
        return replace(self, schedule=when, _keys={})

    @property
    def seconds(self) -> float:
        """Spent in fitting alone, over all threads."""
        return sum(future.result().seconds for future in self._known.values())

    def __len__(self) -> int:
        return len(self._known)

    def key(self, kind: Kind, batch: int) -> Key:
        """What a run of this kind before this batch is trained on: equal rows are one model."""
        found = self._keys.get((kind, batch))
        if found is None:
            rows = self.rows(kind, batch)
            found = (int(rows[0]), int(rows[-1]), len(rows), int(rows.sum()))
            self._keys[kind, batch] = found
        return found

    def begin(self, wanted: Iterable[tuple[Kind, int]]) -> None:
        """Start fits that will be asked for."""
        for kind, batch in wanted:
            self._future(kind, batch)

    def get(self, kind: Kind, batch: int) -> Fitted:
        """The model of a run before this batch; waits for it."""
        return self._future(kind, batch).result()

    def prefix(self, rows: int) -> Fitted:
        """A model of the first ``rows`` rows, with its answers on the others that there were at the beginning."""
        key = (0, rows - 1, rows, -1)
        with self._lock:
            if key not in self._known:
                self._known[key] = self._submit(np.arange(rows), rows, self.history.initial_rows)
            future = self._known[key]
        return future.result()

    def _future(self, kind: Kind, batch: int) -> Future[Fitted]:
        key = self.key(kind, batch)
        with self._lock:
            if key not in self._known:
                until = 0 if kind == FIRST else int(self.schedule.until[batch])
                first = int(self.history.cut[until])
                self._known[key] = self._submit(self.rows(kind, batch), first, len(self.history.at))
            return self._known[key]

    def _submit(self, rows: npt.NDArray[np.intp], first: int, end: int) -> Future[Fitted]:
        if self._pool is None:
            raise ValueError("Fits is used as a context manager")
        return self._pool.submit(self._fit, rows, first, end)

    def rows(self, kind: Kind, batch: int) -> npt.NDArray[np.intp]:
        """Positions of the rows that a run of this kind before this batch trains on."""
        if kind == FIRST:
            return np.arange(self.history.initial_rows)
        return self.schedule.rows(kind, batch)

    def _fit(self, rows: npt.NDArray[np.intp], first: int, end: int) -> Fitted:
        path = None if self.cache is None else self.cache / f"{self._digest(rows, first, end)}.npz"
        if path is not None and path.exists():
            with np.load(path) as kept:
                return Fitted(first, kept["answers"], float(kept["seconds"]))
        fitted = self._fresh(rows, first, end)
        if path is not None:
            aside = path.with_name(f".{path.stem}-{threading.get_ident()}.npz")
            np.savez(aside, answers=fitted.answers, seconds=fitted.seconds)
            aside.replace(path)
        return fitted

    def _digest(self, rows: npt.NDArray[np.intp], first: int, end: int) -> str:
        """Of all that the answers depend on."""
        history = self.history
        parts = hashlib.blake2b(digest_size=16)
        parts.update(repr((self.parameters, first, end, history.coded, history.classes, list(history.frame))).encode())
        parts.update(rows.tobytes())
        parts.update(history.truth[rows].tobytes())
        parts.update(history.frame.iloc[rows].to_numpy().tobytes())
        parts.update(history.frame.iloc[first:end].to_numpy().tobytes())
        return parts.hexdigest()

    def _fresh(self, rows: npt.NDArray[np.intp], first: int, end: int) -> Fitted:
        from trimtab.training.estimators import default_estimator

        history = self.history
        truth = history.truth[rows]
        started = perf_counter()
        features = history.frame.iloc[rows]
        model = default_estimator(
            "classification" if history.classes else "regression",
            {"random_state": SEED, **self.parameters},
            features,
            history.coded,
        )
        model.fit(features, truth.astype(np.int64) if history.classes else truth)
        seconds = perf_counter() - started
        return Fitted(first, _answers(model, history, first, end), seconds)


def _one_thread() -> None:
    """Of OpenMP and BLAS, for as long as the calling thread lives."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1)


def _answers(model: Any, history: History, first: int, end: int) -> Floats:
    frame = history.frame.iloc[first:end]
    if not len(frame):
        return np.zeros((0, 1), dtype=np.float64)
    if not history.classes:
        return np.asarray(model.predict(frame), dtype=np.float64)[:, None]
    scores = np.zeros((len(frame), len(history.classes)), dtype=np.float64)
    scores[:, np.asarray(model.classes_, dtype=np.int64)] = model.predict_proba(frame)
    return scores[:, 1:] if len(history.classes) == 2 else scores


def whole(answers: Floats, classes: Sequence[str]) -> Floats:
    """Scores of all classes, or values, from what is kept."""
    return np.column_stack([1.0 - answers[:, 0], answers[:, 0]]) if len(classes) == 2 else answers
