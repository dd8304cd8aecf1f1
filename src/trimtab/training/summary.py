"""The frozen reference that goes into the package: inputs of the training window, answers out of sample, importance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trimtab.core.gates.metrics import Answers, row_losses
from trimtab.core.profiles.baseline import Baseline, Evaluation
from trimtab.frames import columns_of
from trimtab.serving.package import ClassValue, class_text
from trimtab.training.evaluate import align, estimator_answers

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
SAMPLE_ROWS = 500
CALL_ROWS = 20_000
SHIFT = 0.382


def baseline_of(
    table: pa.Table,
    features: Sequence[str],
    at: Floats,
    training: int,
    answers: Answers,
    classes: Sequence[ClassValue] | None,
    known: Sequence[ClassValue] | None,
    block_s: float,
    importance: dict[str, float],
) -> Baseline:
    """Freeze the reference.

    Args:
        table: all rows of the run, oldest first; the first ``training`` were trained on.
        at: (n,) event times.
        answers: of the candidate on the other rows, over ``classes``.
        known: the candidate's own classes, in its order; None for regression.
        block_s: length of the blocks that will be monitored.
    """
    predictions, labels = answers.predicted, answers.truth
    if classes is not None and known is not None and answers.scores is not None:
        predictions = align(answers.scores, classes, known)
        place = np.array([list(known).index(value) if value in known else -1 for value in classes], dtype=np.float64)
        labels = place[answers.truth.astype(int)]
    evaluation = Evaluation(
        predictions=predictions,
        labels=labels,
        time=at[training:],
        classes=tuple(class_text(value) for value in known or ()),
    )
    columns = columns_of(table.select(list(features)))
    return Baseline.fit(columns, time=at, block_s=block_s, evaluation=evaluation, importance=importance)


def permutation_importance(
    estimator: Any,
    features: pd.DataFrame,
    truth: Floats,
    classes: Sequence[ClassValue] | None,
    positive: int,
    root: Path,
) -> dict[str, float]:
    """How much the mean loss grows when a feature's values are exchanged among rows; 0 where it does not grow.

    On at most 500 evenly spaced evaluation rows, with one exchange per feature (each row gets the value of the row 38 %
    further on, so that no chance is needed), scored together in few calls. Cheap and rough: good for 'which features
    matter', not for ranking near equals; correlated features share their importance.

    Breiman, "Random Forests", Machine Learning 45 (2001), 10.
    """
    import pandas as pd

    rows = np.unique(np.linspace(0, len(features) - 1, min(len(features), SAMPLE_ROWS)).astype(int))
    sample, sample_truth = features.iloc[rows].reset_index(drop=True), truth[rows]
    moved = np.roll(np.arange(len(rows)), -max(1, round(SHIFT * len(rows))))
    metric = "mae" if classes is None else "log_loss"
    variants = [sample]
    for name in features.columns:
        variant = sample.copy(deep=False)
        variant[name] = sample[name].iloc[moved].reset_index(drop=True)
        variants.append(variant)
    means = []
    each = max(1, CALL_ROWS // len(rows))
    for start in range(0, len(variants), each):
        part = variants[start : start + each]
        whole = pd.concat(part, ignore_index=True)
        answers = estimator_answers(estimator, whole, np.tile(sample_truth, len(part)), classes, positive, root)
        losses = row_losses(metric, answers)
        if losses is not None:
            means.extend(losses.reshape(len(part), -1).mean(axis=1).tolist())
    base, *exchanged = means
    return {name: max(0.0, loss - base) for name, loss in zip(features.columns, exchanged, strict=True)}
