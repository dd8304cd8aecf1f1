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

__all__ = ["diagnose", "drift"]


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
