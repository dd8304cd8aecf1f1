"""Did the champion get worse? Block means of its live losses against its own losses out of sample, looked at after
every block.

Two detectors share alpha. The first bets that the level rose above the *upper confidence limit* of the baseline's
mean (plus tolerance), in
units of the baseline's variation from block to block; it is quick where the baseline has few blocks. The second
bets on conformal ranks
among all earlier blocks; it makes no assumption on the shape, and learns what normal days look like while the model
is live. Single rows
are never counted as independent: losses of a day have their weather in common.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimtab.core.diagnosis.result import AssessSettings, Block, PerformanceResult
from trimtab.core.diagnosis.signals import Flags, Values
from trimtab.core.profiles import Baseline
from trimtab.core.stats.detectors import rank_bets, rise_bets, shiryaev_roberts, step_onset

WARM_UP = 40
"""Blocks, baseline included, before ranks are bet on."""


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """The baseline's losses out of sample."""

    mean: float
    upper: float
    """Upper 97.5 % confidence limit of the mean, by the variation between blocks."""
    deviation: float
    """Standard deviation of a block's mean."""
    losses: Values
    """(E,) block means."""


def reference_of(baseline: Baseline, rows_min: int) -> Reference | None:
    """None where the baseline has no evaluation."""
    card = baseline.evaluation
    if card.rows < rows_min:
        return None
    table = baseline.loss_blocks
    kept = table.rows >= rows_min
    losses = table.sums[kept] / table.rows[kept] if kept.any() else np.zeros(0)
    within = np.sqrt(max(float(card.losses[1]) / card.rows - card.loss**2, 0.0))
    typical = float(np.median(table.rows[kept])) if kept.any() else float(card.rows)
    sampling = within / np.sqrt(max(typical, 1.0))
    size = len(losses)
    if size >= 5:
        deviation = max(float(losses.std(ddof=1)), sampling)
        upper = card.loss + _t975(size - 1) * deviation / np.sqrt(size)
    else:
        deviation = 2 * sampling  # days differ by more than their rows; by how much is not known from so few
        upper = card.loss + 2.5 * deviation / np.sqrt(max(size, 1))
    return Reference(card.loss, float(upper), float(max(deviation, 1e-12)), losses)


def _t975(freedom: int) -> float:
    """97.5 % quantile of Student's t (Cornish-Fisher; within 1 % from 4 degrees of freedom)."""
    z = 1.959964
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def judge(
    baseline: Baseline, blocks: list[Block], left_out: Flags, settings: AssessSettings
) -> tuple[PerformanceResult | None, Flags]:
    """The alarm, and which blocks took part in it.

    Args:
        left_out: (N,) blocks under a data fault or a label fault.
    """
    used = np.array(
        [
            not out
            and block.scorecard is not None
            and block.scorecard.rows >= settings.labelled_min
            and block.scorecard.rows >= settings.labelled_share_min * block.profile.rows
            for block, out in zip(blocks, left_out, strict=True)
        ],
        dtype=np.bool_,
    )
    reference = reference_of(baseline, settings.labelled_min)
    judged = [block for block, each in zip(blocks, used, strict=True) if each]
    if reference is None or not judged:
        return None, used
    cards = [block.scorecard for block in judged if block.scorecard is not None]
    losses = np.array([card.loss for card in cards])
    rows = np.array([card.rows for card in cards])
    limit = float(np.log(settings.horizon_blocks / settings.alpha))
    found = _detect(reference, losses, settings)
    alarm = found.alarm
    first = found.onset if alarm else max(0, len(losses) - settings.drift_blocks)
    recent = losses[first:]
    loss = float(np.average(recent, weights=rows[first:]))
    spread = float(recent.std(ddof=1)) if len(recent) > 2 else reference.deviation
    half = 1.96 * spread / np.sqrt(len(recent))
    gradual = alarm and _gradual(losses, reference)
    return (
        PerformanceResult(
            loss,
            reference.mean,
            (loss - half, loss + half),
            alarm,
            judged[first].start_s if alarm else None,
            float(np.exp(min(found.log_e, 700.0))),
            float(np.exp(limit)),
            int(rows.sum()),
            len(losses),
            gradual,
            _text(loss, reference.mean, found.log_e, limit, alarm),
        ),
        used,
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """The newest alarm, or the newest stretch without one."""

    alarm: bool
    onset: int
    """Index of the first block of the rise; without an alarm, of the stretch."""
    log_e: float
    """Evidence: at its peak while the alarm stands, else now."""


def _detect(reference: Reference, losses: Values, settings: AssessSettings) -> _Found:
    """Run the detectors; an alarm that is over (the newest blocks are as good as the baseline) starts them anew."""
    limit = float(np.log(settings.horizon_blocks / settings.alpha))
    bar = reference.upper * (1 + settings.tolerance)
    sound = [*reference.losses.tolist()] or [reference.mean]
    start = 0
    while True:
        part = losses[start:]
        path = _evidence(reference, np.array(sound), part, bar, settings.tolerance)
        crossed = np.flatnonzero(path >= limit)
        if not crossed.size:
            return _Found(False, start, float(path[-1]) if path.size else -np.inf)
        at = int(crossed[0])
        onset = min(step_onset(part[: at + 8], float(np.mean(sound))), at)
        ends = range(at + 3, len(part))
        over = next((end for end in ends if part[max(at + 1, end - 4) : end + 1].mean() <= bar), None)
        if over is None:
            return _Found(True, start + onset, float(path[at:].max()))
        sound += [*part[:onset], *part[over - 1 : over + 1]]
        start += over + 1


def _evidence(reference: Reference, sound: Values, losses: Values, bar: float, tolerance: float) -> Values:
    """(T,) ln of the evidence: the mean of both detectors."""
    rises = shiryaev_roberts(rise_bets((losses - bar) / reference.deviation))
    joined = np.concatenate([sound, losses / (1 + tolerance)])
    ranks = shiryaev_roberts(rank_bets(joined, WARM_UP)[len(sound) :])
    joint: Values = np.logaddexp(rises, ranks) - np.log(2.0)
    return joint


def _gradual(losses: Values, reference: Reference) -> bool:
    """A ramp explains the rise better than a step does (squared error; the step is preferred within 10 %)."""
    size = len(losses)
    if size < 10:
        return False
    excess = losses - reference.mean
    at = np.arange(size, dtype=np.float64)
    step, ramp = np.inf, np.inf
    for onset in range(size - 3):
        after = at >= onset
        level = excess[after].mean()
        step = min(step, float(((excess - after * level) ** 2).sum()))
        slope = np.maximum(at - onset, 0.0)
        gain = float(np.dot(slope, excess) / np.dot(slope, slope))
        ramp = min(ramp, float(((excess - gain * slope) ** 2).sum()))
    return bool(ramp < 0.9 * step)


def _text(loss: float, was: float, peak: float, limit: float, alarm: bool) -> str:
    change = (loss / was - 1) * 100 if was > 0 else float("nan")
    sign = ">=" if alarm else "<"
    peak_e, limit_e = np.exp(min(peak, 60.0)), np.exp(limit)
    return (
        f"loss {loss:.4g} against {was:.4g} out of sample ({change:+.1f} %); evidence {peak_e:.3g} {sign} {limit_e:.3g}"
    )
