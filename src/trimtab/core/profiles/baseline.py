"""The frozen reference that is stored with a model version: bins, the variation from block to block, and how well it
did out of sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from trimtab.core.domain.errors import DataError
from trimtab.core.profiles import codec
from trimtab.core.profiles.blocks import BLOCKS_MAX, BlockTable, blocks_of, tabulate
from trimtab.core.profiles.columns import Categorical, Column, Columns, Numbers, rows_of
from trimtab.core.profiles.layout import Feature, FeatureKind, Layout, Role, fit_feature, layout_of
from trimtab.core.profiles.profile import Profile, empty_profile, profile_columns
from trimtab.core.profiles.scorecard import Scorecard, empty_scorecard, row_losses, score_rows

PREFIX = "prediction:"
"""Names of the features that stand for the model's answers: ``prediction:class``, ``prediction:score``, …"""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The champion's answers on rows that it was not trained on."""

    predictions: Numbers
    """(n, K) class scores in the order of the classes, or (n,) values."""
    labels: Numbers
    """(n,) index of the class (NaN or -1: unknown), or the value (NaN: unknown)."""
    time: Numbers | None = None
    """(n,) event times, seconds since the epoch; without them there is no variation from block to block."""
    classes: tuple[str, ...] = ()
    """Names of the K classes; empty: 0 … K-1."""


@dataclass(frozen=True, slots=True, eq=False)
class LossBlocks:
    """Out-of-sample losses in blocks of event time, oldest first."""

    starts: Numbers
    """(E,) event time of each block's start."""
    rows: NDArray[np.int64]
    """(E,) labelled rows."""
    sums: Numbers
    """(E,) sum of losses."""
    squares: Numbers
    """(E,) sum of losses²."""
    positives: Numbers
    """(E, K) rows of each class (regression: (E, 0))."""


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """What was normal when the version was made. ``fit`` it once; everything later is compared with it.

    >>> rng = np.random.default_rng(0)
    >>> baseline = Baseline.fit({"x": rng.normal(size=1000)})
    >>> (baseline.profile({"x": rng.normal(size=10)}) + baseline.profile({"x": rng.normal(size=5)})).rows
    15
    """

    layout: Layout
    total: Profile
    """Of all reference rows."""
    block_s: float
    blocks: BlockTable
    """The same by block of event time; no blocks where no times were given."""
    importance: Mapping[str, float] = field(default_factory=dict)
    """Share of each feature in the model's skill, sums to 1; empty: unknown."""
    classes: tuple[str, ...] = ()
    """Empty for regression and where there was no evaluation."""
    evaluation: Scorecard = field(default_factory=lambda: empty_scorecard(0))
    """Out of sample; 0 rows where there was none."""
    loss_blocks: LossBlocks = field(default_factory=lambda: _no_losses(0))

    @classmethod
    def fit(
        cls,
        columns: Columns,
        *,
        time: Numbers | None = None,
        block_s: float = 86400.0,
        evaluation: Evaluation | None = None,
        importance: Mapping[str, float] | None = None,
    ) -> Self:
        """Freeze the reference.

        Args:
            columns: the inputs of the rows that stand for 'normal': the training window, evaluation rows included.
            time: (n,) event time of each row in seconds; needed for alarms that know natural variation.
            block_s: length of a block; as long as the blocks that will be checked.
            evaluation: the version's answers and labels on rows it was not trained on.
            importance: non-negative weight of each feature for the model (permutation importance, say); missing ones
                count as 0.

        Raises:
            DataError: no rows, columns of different lengths, times that are not finite, negative importance.
        """
        rows = rows_of(columns)
        if not columns or not rows:
            raise DataError("a baseline needs at least one column and one row")
        if not block_s > 0:
            raise DataError(f"block_s must be positive, found {block_s}")
        features = [fit_feature(name, column) for name, column in columns.items()]
        answers = prediction_columns(evaluation.predictions, evaluation.classes) if evaluation else {}
        features += [fit_feature(name, column, Role.PREDICTION) for name, column in answers.items()]
        layout = layout_of(features)
        total = profile_columns(layout, {**columns, **answers}, rows)
        table = tabulate(
            layout,
            block_s,
            [(columns, _times(time, rows))]
            + ([(answers, _times(evaluation.time, rows_of(answers)))] if evaluation else []),
        )
        card, losses, classes = _evaluated(evaluation, block_s)
        return cls(layout, total, block_s, table, _shares(importance, layout), classes, card, losses)

    def profile(self, columns: Columns, predictions: Numbers | None = None) -> Profile:
        """Count rows in this baseline's bins; inputs that it does not know are ignored, missing ones count nothing.

        Args:
            columns: inputs; any number of rows.
            predictions: (n, K) scores or (n,) values of this version for the same rows.
        """
        rows = rows_of(columns)
        if predictions is None:
            return profile_columns(self.layout, columns, rows)
        if columns and len(predictions) != rows:
            raise DataError(f"{len(predictions)} predictions, but {rows} rows")
        answers = self.answers(predictions)
        return profile_columns(self.layout, {**columns, **answers}, rows or len(predictions))

    def answers(self, predictions: Numbers) -> dict[str, Column]:
        """What the version answered, as columns; see ``prediction_columns``."""
        return prediction_columns(np.asarray(predictions, dtype=np.float64), self.classes)

    def empty(self) -> Profile:
        """The profile of no rows: the neutral element of +."""
        return empty_profile(self.layout)

    def scorecard(self, scores: Numbers, labels: Numbers) -> Scorecard:
        """Sums over labelled rows; rows whose label is unknown (NaN, -1) are left out. See ``score_rows``."""
        return score_rows(scores, labels)

    def to_bytes(self) -> bytes:
        """Versioned binary form; see ``codec``."""
        features = [
            [f.name, f.kind, f.role, list(f.levels), f.centre, f.spread, f.discrete, len(f.edges), len(f.known)]
            for f in self.layout.features
        ]
        head = {
            "features": features,
            "block_s": self.block_s,
            "importance": dict(self.importance),
            "classes": list(self.classes),
            "total": self.total.to_bytes().hex(),
            "evaluation": self.evaluation.to_bytes().hex(),
        }
        arrays = {
            "edges": np.concatenate([f.edges for f in self.layout.features]),
            "known": np.concatenate([f.known for f in self.layout.features]),
            **{f"block.{name}": array for name, array in self.blocks.arrays().items()},
            "loss.starts": self.loss_blocks.starts,
            "loss.rows": self.loss_blocks.rows,
            "loss.sums": self.loss_blocks.sums,
            "loss.squares": self.loss_blocks.squares,
            "loss.positives": self.loss_blocks.positives,
        }
        return codec.pack("baseline", 1, head, arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises IntegrityError where the bytes are damaged or of another format."""
        head, arrays = codec.unpack("baseline", 1, data)
        layout = layout_of(_features(head["features"], arrays["edges"], arrays["known"]))
        blocks = BlockTable(**{key[6:]: value for key, value in arrays.items() if key.startswith("block.")})
        losses = LossBlocks(**{key[5:]: value for key, value in arrays.items() if key.startswith("loss.")})
        return cls(
            layout,
            Profile.from_bytes(bytes.fromhex(head["total"])),
            head["block_s"],
            blocks,
            head["importance"],
            tuple(head["classes"]),
            Scorecard.from_bytes(bytes.fromhex(head["evaluation"])),
            losses,
        )


def prediction_columns(predictions: Numbers, classes: tuple[str, ...] = ()) -> dict[str, Column]:
    """What the model answered, as columns: the class, the score of the second of two classes, else confidence and
    entropy; or the value."""
    predictions = np.asarray(predictions, dtype=np.float64)
    if predictions.ndim == 1:
        return {f"{PREFIX}value": predictions}
    if predictions.ndim != 2 or predictions.shape[1] < 2:
        raise DataError(f"predictions must be (n, classes >= 2) or (n,), found {predictions.shape}")
    size = predictions.shape[1]
    names = classes or tuple(str(of) for of in range(size))
    if len(names) != size:
        raise DataError(f"predictions have {size} columns, but there are the classes {', '.join(names)}")
    broken = np.isnan(predictions).any(axis=1)
    chosen = np.where(broken, -1, np.nan_to_num(predictions).argmax(axis=1)).astype(np.int32)
    out: dict[str, Column] = {f"{PREFIX}class": Categorical(chosen, names)}
    if size == 2:
        out[f"{PREFIX}score"] = np.ascontiguousarray(predictions[:, 1])
        return out
    out[f"{PREFIX}confidence"] = predictions.max(axis=1)
    safe = np.clip(predictions, 1e-12, 1.0)
    out[f"{PREFIX}entropy"] = -(safe * np.log(safe)).sum(axis=1)
    return out


def _features(listed: list[list[Any]], edges: Numbers, known: NDArray[np.uint64]) -> Sequence[Feature]:
    out, edge, hashed = [], 0, 0
    for name, kind, role, levels, centre, spread, discrete, edges_n, known_n in listed:
        own, own_known = edges[edge : edge + edges_n], known[hashed : hashed + known_n]
        out.append(
            Feature(name, FeatureKind(kind), Role(role), own, tuple(levels), own_known, centre, spread, discrete)
        )
        edge, hashed = edge + edges_n, hashed + known_n
    return out


def _times(time: Numbers | None, rows: int) -> Numbers | None:
    if time is None:
        return None
    time = np.asarray(time, dtype=np.float64)
    if time.shape != (rows,):
        raise DataError(f"time must have one value for each of the {rows} rows, found shape {time.shape}")
    if not np.isfinite(time).all():
        raise DataError(f"{np.count_nonzero(~np.isfinite(time))} of {rows} event times are missing or infinite")
    return time


def _shares(importance: Mapping[str, float] | None, layout: Layout) -> dict[str, float]:
    if not importance:
        return {}
    names = [feature.name for feature in layout.features if feature.role is Role.INPUT]
    weights = {name: float(importance.get(name, 0.0)) for name in names}
    bad = [name for name, weight in weights.items() if not (weight >= 0 and np.isfinite(weight))]
    if bad:
        raise DataError(f"importance must be finite and not negative, found {weights[bad[0]]} for '{bad[0]}'")
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()} if total > 0 else {}


def _no_losses(classes: int) -> LossBlocks:
    none = np.zeros(0)
    return LossBlocks(none, np.zeros(0, dtype=np.int64), none, none, np.zeros((0, classes)))


def _evaluated(evaluation: Evaluation | None, block_s: float) -> tuple[Scorecard, LossBlocks, tuple[str, ...]]:
    if evaluation is None:
        return empty_scorecard(0), _no_losses(0), ()
    scores = np.asarray(evaluation.predictions, dtype=np.float64)
    labels = np.asarray(evaluation.labels, dtype=np.float64)
    card = score_rows(scores, labels)
    classes = evaluation.classes or tuple(str(of) for of in range(card.classes))
    losses = row_losses(scores, labels)
    kept = np.isfinite(losses)
    time = _times(evaluation.time, len(labels))
    if time is None or not kept.any():
        return card, _no_losses(card.classes), classes
    starts, of = blocks_of(time[kept], block_s, BLOCKS_MAX)
    losses, labels, of, size = losses[kept][of >= 0], labels[kept][of >= 0], of[of >= 0], len(starts)
    positives = [np.bincount(of, weights=labels == k, minlength=size) for k in range(card.classes)]
    return (
        card,
        LossBlocks(
            starts,
            np.bincount(of, minlength=size).astype(np.int64),
            np.bincount(of, weights=losses, minlength=size).astype(np.float64),
            np.bincount(of, weights=losses**2, minlength=size).astype(np.float64),
            np.stack(positives, axis=1) if positives else np.zeros((size, 0)),
        ),
        classes,
    )
