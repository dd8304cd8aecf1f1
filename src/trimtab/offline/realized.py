"""How well a model did on answered rows: realised by cohort and by slice, and estimated where labels are to come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trimtab.core.performance import Calibration, Estimate, Figure, SliceResult, calibration_of, figures_of
from trimtab.core.performance.estimate import estimate_from_scores
from trimtab.core.performance.figures import total_of
from trimtab.core.performance.slices import SliceRows, judge_slices
from trimtab.core.profiles import Scorecard, row_losses, score_rows
from trimtab.core.stats.change import Change, LossAlarm
from trimtab.core.stats.clustering import clustering
from trimtab.offline.scored import Scored

DAY_S = 86400.0
COHORTS_MAX = 400
COHORTS = 30
"""Cohorts that a short history is cut into, where a day is too long."""
SLICE_ROWS = 1000
"""Mature rows from which a slice's own losses are watched for a change."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is looked at, and how alert to be."""

    cohort_s: float | None = None
    """Length of a cohort in event time; None: a day, or a thirtieth of a history shorter than ten days."""
    labelled_share: float = 0.8
    """A cohort counts once so many of its labels are known: the early ones are biased."""
    label_delay_s: float | None = None
    """A cohort counts once it is so old, whatever its share; instead of ``labelled_share``."""
    alpha: float = 0.01
    """Chance of a false alarm among the slices."""
    margin: float = 0.05
    """A slice with so many more wrong answers than all others is nobody's concern."""
    tolerance: float = 0.0
    """Of the alarm on losses; see ``LossAlarm``."""
    run_rows: float = 1e7
    """Average rows between false alarms of the losses, over all rows and slices together."""
    positive: int = 1
    """Index of the class that precision, recall and F1 are about."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """Rows whose event times lie in one stretch."""

    start_s: float
    end_s: float
    rows: int
    labelled: int
    mature: bool
    """It counts: enough of its labels are known."""
    figures: Mapping[str, Figure]
    """Realised; of a cohort that is not mature too, which are biased by what becomes known first."""
    estimated: Estimate | None
    """None before there are labels to calibrate on, and for other than two classes."""


@dataclass(frozen=True, slots=True)
class LossChange:
    """The losses rose."""

    since_s: float
    """Event time of the onset."""
    found_s: float
    """Event time of the row at which it was shown."""
    change: Change


@dataclass(frozen=True, slots=True)
class SliceView:
    """One level of one slice column."""

    name: str
    rows: int
    labelled: int
    figures: Mapping[str, Figure]
    """Of mature cohorts."""
    result: SliceResult | None
    """Against all other rows; None without labelled rows."""
    change: LossChange | None
    """Against its own past."""


@dataclass(frozen=True, slots=True)
class Performance:
    """What is known of a model's performance."""

    task: str
    classes: tuple[str, ...]
    rows: int
    labelled: int
    mature_rows: int
    """Rows of cohorts that count."""
    cohort_s: float
    figures: Mapping[str, Figure]
    """Over all mature cohorts."""
    cohorts: tuple[Cohort, ...]
    waiting: Estimate | None
    """What is to be expected of the rows of cohorts that are not mature."""
    change: LossChange | None
    unit: str
    """What the alarm on losses counts in: ``rows`` or ``blocks`` (of a cohort); it was measured."""
    clustering: float
    """Design effect of the losses in time; NaN with few rows."""
    slices: tuple[SliceView, ...]
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def alarm(self) -> bool:
        """The losses rose, or a slice is shown to be worse."""
        harmed = any(each.change is not None or (each.result is not None and each.result.alarm) for each in self.slices)
        return self.change is not None or harmed


def performance_of(scored: Scored, settings: Settings | None = None) -> Performance:
    """Everything that rows and labels tell.

    Only mature cohorts count: cancellations come before stays and defaults before repayments, so what happens to be
    labelled early is another population.
    """
    settings = settings or Settings()
    length = settings.cohort_s or _length(scored)
    place = np.floor(scored.times / length).astype(np.int64)
    known = np.isfinite(scored.labels)
    starts, of = np.unique(place, return_inverse=True)
    rows = np.bincount(of, minlength=len(starts))
    labelled = np.bincount(of, weights=known, minlength=len(starts)).astype(np.int64)
    now = float(scored.times[-1]) if len(scored) else 0.0
    mature = _mature((starts + 1) * np.float64(length), rows, labelled, now, settings)
    cards = [_card(scored, np.flatnonzero(of == at)) for at in range(len(starts))]
    sound = [card for card, each in zip(cards, mature, strict=True) if each]
    calibration = calibration_of(total_of(sound, len(scored.classes)), sound) if len(scored.classes) == 2 else None
    cohorts = tuple(
        Cohort(
            float(starts[at] * length),
            float((starts[at] + 1) * length),
            int(rows[at]),
            int(labelled[at]),
            bool(mature[at]),
            figures_of([cards[at]], settings.positive),
            _estimate(calibration, scored, of == at, 1, settings),
        )
        for at in range(len(starts))
    )
    counted = mature[of] & known
    change, unit, factor = _overall(scored, counted, length, settings)
    return Performance(
        "classification" if scored.classes else "regression",
        scored.classes,
        len(scored),
        int(known.sum()),
        int(rows[mature].sum()),
        length,
        figures_of(sound, settings.positive),
        cohorts,
        _estimate(calibration, scored, ~mature[of], int((~mature).sum()), settings),
        change,
        unit,
        factor,
        _slices(scored, counted, of, length, unit, factor, settings),
        _notes(mature, labelled, calibration, settings),
    )


def _length(scored: Scored) -> float:
    span = float(scored.times[-1] - scored.times[0]) if len(scored) else DAY_S
    if span >= 10 * DAY_S:
        return DAY_S * max(1.0, float(np.ceil(span / DAY_S / COHORTS_MAX)))
    return max(span / COHORTS, 1e-3)


def _mature(
    ends: NDArray[np.floating],
    rows: NDArray[np.int64],
    labelled: NDArray[np.int64],
    now: float,
    settings: Settings,
) -> NDArray[np.bool_]:
    if settings.label_delay_s is not None:
        old: NDArray[np.bool_] = ends + settings.label_delay_s <= now
        return old & (labelled > 0)
    share: NDArray[np.bool_] = (labelled > 0) & (labelled >= settings.labelled_share * rows)
    return share


def _card(scored: Scored, rows: NDArray[np.intp]) -> Scorecard:
    return score_rows(scored.scores[rows], scored.labels[rows])


def _estimate(
    calibration: Calibration | None, scored: Scored, rows: NDArray[np.bool_], blocks: int, settings: Settings
) -> Estimate | None:
    if calibration is None or not rows.any():
        return None
    return estimate_from_scores(calibration, scored.scores[rows], settings.positive, blocks)


def _overall(
    scored: Scored, counted: NDArray[np.bool_], length: float, settings: Settings
) -> tuple[LossChange | None, str, float]:
    alarm = LossAlarm(run_rows=2 * settings.run_rows, tolerance=settings.tolerance, block_s=length)
    change = _watch(alarm, scored, counted)
    return change, alarm.unit, alarm.clustering


def _watch(alarm: LossAlarm, scored: Scored, counted: NDArray[np.bool_]) -> LossChange | None:
    rows = np.flatnonzero(counted)
    losses = row_losses(scored.scores[rows], scored.labels[rows])
    alarm.update(losses, scored.times[rows])
    found = alarm.change
    if found is None:
        return None
    times = scored.times[rows]
    return LossChange(float(times[found.onset_row]), float(times[found.at_row - 1]), found)


def _slices(
    scored: Scored,
    counted: NDArray[np.bool_],
    of: NDArray[np.intp],
    length: float,
    unit: str,
    factor: float,
    settings: Settings,
) -> tuple[SliceView, ...]:
    """Each level of each column; the multiplicity of all of them is accounted for in both alarms."""
    cells = [
        (f"{name}={level}", column.codes == code)
        for name, column in scored.slices.items()
        for code, level in enumerate(column.levels)
        if (column.codes == code).any()
    ]
    bad = _bad(scored, counted)
    total, wrong = int(counted.sum()), int(bad.sum())
    listed = []
    for name, rows in cells:
        own = rows & counted
        size, share = int(own.sum()), int(bad[rows].sum())
        listed.append(SliceRows(name, size, share, total - size, wrong - share))
    design = max(factor if unit == "blocks" else 1.0, _design(bad[counted]))
    judged = judge_slices(listed, alpha=settings.alpha, margin=settings.margin, clustering=design)
    results = {each.name: each for each in judged}
    watched = max(sum(each.rows >= SLICE_ROWS for each in listed), 1)
    out = []
    for name, rows in cells:
        own = rows & counted
        change = None
        if own.sum() >= SLICE_ROWS:
            alarm = LossAlarm(
                run_rows=2 * watched * settings.run_rows,
                run_blocks=36_500.0 * watched,
                tolerance=settings.tolerance,
                block_s=length,
                unit="blocks" if unit == "blocks" else "auto",
            )
            change = _watch(alarm, scored, own)
        cards = [_card(scored, np.flatnonzero(own & (of == at))) for at in np.unique(of[own])]
        known = int(np.isfinite(scored.labels[rows]).sum())
        out.append(
            SliceView(name, int(rows.sum()), known, figures_of(cards, settings.positive), results.get(name), change)
        )
    return tuple(sorted(out, key=_urgency))


def _urgency(view: SliceView) -> tuple[bool, float, str]:
    alarmed = view.change is not None or (view.result is not None and view.result.alarm)
    return not alarmed, -(view.result.share_bad if view.result is not None else -1.0), view.name


def _bad(scored: Scored, counted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) wrong answers; for a number, errors beyond what four fifths of all rows have."""
    bad = np.zeros(len(scored), dtype=np.bool_)
    if not counted.any():
        return bad
    if scored.classes:
        bad[counted] = scored.scores[counted].argmax(axis=1) != scored.labels[counted]
        return bad
    errors = np.abs(scored.scores[counted] - scored.labels[counted])
    bad[counted] = errors > np.quantile(errors, 0.8)
    return bad


def _design(bad: NDArray[np.bool_]) -> float:
    found = clustering(bad.astype(np.float64))
    return found.factor if found is not None and found.shown else 1.0


def _notes(
    mature: NDArray[np.bool_], labelled: NDArray[np.int64], calibration: Calibration | None, settings: Settings
) -> tuple[str, ...]:
    notes = []
    if not labelled.any():
        notes.append("no label is known: nothing is realised yet")
    elif not mature.any():
        share = f"{settings.labelled_share:.0%} of its labels"
        rule = f"no cohort has {share}; --labelled-share or --label-delay says when one counts"
        late = "no cohort is old enough: --label-delay is longer than the log"
        notes.append(late if settings.label_delay_s is not None else rule)
    if calibration is not None:
        notes.append("estimated figures see changed inputs; they cannot see concept drift")
    return tuple(notes)
