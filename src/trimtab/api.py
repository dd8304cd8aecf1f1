"""For notebooks and scripts: is this table different, and what is wrong with it?

``trimtab.drift`` and ``trimtab.diagnose`` are these functions; the loop uses the same core.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trimtab.core.diagnosis import Assessment
    from trimtab.core.drift import DriftResult
    from trimtab.offline.realized import Performance

__all__ = ["diagnose", "drift", "performance"]


def drift(
    reference: Any,
    current: Any,
    alpha: float = 0.01,
    time: str | None = None,
    ignore: Sequence[str] = (),
    slices: Sequence[str] = (),
    scores: Sequence[str] = (),
    html: str | Path | None = None,
) -> DriftResult:
    """Does ``current`` differ from ``reference``?

    Args:
        reference: what stands for normal: a pandas or polars frame, an Arrow table, a mapping of arrays, the path of a
            Parquet or CSV file or of a folder of Parquet files, or an iterator of tables. Held in memory.
        current: the rows to check, likewise. Streamed: any number of rows.
        alpha: probability of a false alarm of this whole check, all columns and slices accounted for.
        time: column of event times. Features that alarm then say since when; and with at least 20 windows as long as
            ``current`` in the reference, the alarm is calibrated on how the reference differs from itself over time.
            Without it, rows are taken as exchangeable.
        ignore: columns that take no part.
        slices: columns by whose levels the same is asked; half of ``alpha`` is for them.
        scores: columns of what a model answered, one of each class or one value: the shares of the classes, the
            confidence and the entropy are looked at (``prediction:class`` …).
        html: where to write a page with pictures.

    Returns:
        ``.drifted``, ``.features[name]`` with method, statistic, threshold, p, severity, direction and since; see
        ``DriftResult``.

    Raises:
        DataError: a file cannot be read, a column of the reference is not in ``current``, there are no rows, alpha is
            not in (0, 1).

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(1)
        >>> result = drift({"x": rng.normal(size=5000)}, {"x": rng.normal(0.5, 1, size=500)})
        >>> result.drifted, result.features["x"].direction
        (True, 'higher')
    """
    from trimtab.offline.drift import DriftQuestion, compare_tables

    question = DriftQuestion(alpha, time, tuple(ignore), tuple(slices), tuple(scores))
    done = compare_tables(reference, current, question)
    if html is not None:
        from trimtab.reports import drift_page, write_text

        write_text(Path(html), drift_page(done))
    return done.result


def diagnose(
    reference: Any,
    current: Any,
    target: str,
    time: str,
    *,
    ignore: Sequence[str] = (),
    slices: Sequence[str] = (),
    model: Any = None,
    rivals: Mapping[str, Any] | None = None,
    alpha: float = 0.01,
    blocks: int = 40,
    label_time: str | None = None,
    label_delay_s: float | None = None,
) -> Assessment:
    """What is wrong with ``current``, since when, and what to do: see ``trimtab.core.diagnosis.assess``.

    Args:
        reference: what the model was trained on, with its labels; a frame or the path of a file.
        current: all rows since then; the target is missing where it is not known yet.
        target: column of the label. At most 20 distinct values, or text: classes; else a number.
        time: column of event times.
        ignore: columns that are never features.
        slices: columns by whose levels harm is asked for, too.
        model: anything with ``predict_proba(frame)`` (or ``predict`` for a number) that takes a pandas frame of the
        features; its losses on
            the newest fifth of the reference are taken as out of sample. None: a gradient boosting is fitted on the
            oldest four fifths. A path: see ``trimtab.offline.load_model``.
        rivals: earlier versions by name, each like ``model``: where one would do better on the same rows, the answer is
            to go back to it.
        alpha: see ``AssessSettings``.
        blocks: number of equally long blocks that ``current`` is cut into; the reference is cut to the same length.
        label_time: column of when the label became known. Labels that became known after the newest row of
            ``current`` are taken as unknown, and rows younger than nine tenths of the reference's delays are not
            judged: some outcomes become known sooner than others, so early labels are biased.
        label_delay_s: rows younger than this (in event time) are not judged by their labels.

    Raises:
        DataError: a column that is not there, times that are missing, a reference without labels of two classes.
    """
    from trimtab.offline import Delay, diagnose_tables

    return diagnose_tables(
        reference,
        current,
        target,
        time,
        ignore=tuple(ignore),
        slices=tuple(slices),
        model=model,
        rivals=rivals,
        alpha=alpha,
        blocks=blocks,
        delay=Delay(label_time, label_delay_s),
    )


def performance(
    table: Any,
    target: str,
    time: str,
    scores: str | Sequence[str],
    *,
    slices: Sequence[str] = (),
    classes: Sequence[str] = (),
    cohort_s: float | None = None,
    labelled_share: float = 0.8,
    label_delay_s: float | None = None,
    margin: float = 0.05,
    alpha: float = 0.01,
) -> Performance:
    """How well a model did on answered rows: realised by cohort and slice, and estimated where labels are to come.

    Args:
        table: answered rows: a frame, an Arrow table, a mapping of arrays, or the path of a file.
        target: column of the label; missing where it is not known yet.
        time: column of event times.
        scores: column of the score of the second class, or of the predicted value; or one column for each class.
        slices: columns by whose levels is looked, with the number of them accounted for.
        classes: texts of the classes in the order of the scores; empty: the target's values, sorted.
        cohort_s: length of a cohort, seconds; None: a day, or a thirtieth of a history shorter than ten days.
        labelled_share: a cohort counts once so many of its labels are known: early labels are biased.
        label_delay_s: a cohort counts once it is so old, instead.
        margin: a slice with so many more wrong answers than all others is nobody's concern.
        alpha: chance of a false alarm among the slices.

    Returns:
        ``.figures`` with intervals, ``.change`` (the losses rose), ``.slices``, ``.waiting`` (estimated), ``.cohorts``;
        see ``Performance``.

    Raises:
        DataError: a column that is not there, times that are missing, classes that do not fit the scores.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> p = rng.beta(1, 2, 6000)
        >>> y = (rng.random(6000) < p).astype(float)
        >>> at = np.arange(6000) * 600.0
        >>> found = performance({"p": p, "y": y, "at": at}, "y", "at", "p")
        >>> found.alarm, round(found.figures["accuracy"].value, 2)
        (False, 0.76)
    """
    from trimtab.offline.realized import Settings, performance_of
    from trimtab.offline.scored import scored_of_table

    named = (scores,) if isinstance(scores, str) else tuple(scores)
    settings = Settings(cohort_s, labelled_share, label_delay_s, alpha, margin)
    return performance_of(scored_of_table(table, target, time, named, slices, classes), settings)
