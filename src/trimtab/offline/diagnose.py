"""The diagnosis of two tables: what ``trimtab.diagnose`` and ``trimtab diagnose`` do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trimtab.core.diagnosis import Assessment, AssessSettings, Block, assess
from trimtab.core.diagnosis.rows import Case, cells_of, diagnose
from trimtab.core.domain.errors import DataError
from trimtab.core.profiles import Baseline
from trimtab.frames.convert import missing_text
from trimtab.offline.learner import Boosting, importance_of
from trimtab.offline.models import load_model
from trimtab.offline.tables import Delay, Live, OfflineModel, blocks_of, missing_in


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A diagnosis and what it rests on, for pictures."""

    assessment: Assessment
    baseline: Baseline
    blocks: tuple[Block, ...]
    """The current rows by time, oldest first."""


def diagnose_tables(
    reference: Any,
    current: Any,
    target: str,
    time: str,
    *,
    ignore: tuple[str, ...] = (),
    slices: tuple[str, ...] = (),
    model: Any = None,
    rivals: Mapping[str, Any] | None = None,
    alpha: float = 0.01,
    blocks: int = 40,
    delay: Delay | None = None,
) -> Assessment:
    """See ``trimtab.api.diagnose``."""
    return look_at(
        reference,
        current,
        target,
        time,
        ignore=ignore,
        slices=slices,
        model=model,
        rivals=rivals,
        alpha=alpha,
        blocks=blocks,
        delay=delay,
    ).assessment


def look_at(
    reference: Any,
    current: Any,
    target: str,
    time: str,
    *,
    ignore: tuple[str, ...] = (),
    slices: tuple[str, ...] = (),
    model: Any = None,
    rivals: Mapping[str, Any] | None = None,
    alpha: float = 0.01,
    blocks: int = 40,
    delay: Delay | None = None,
) -> Look:
    """The same, with the sums it was made of."""
    taken = load_model(Path(model)) if isinstance(model, str | Path) else model
    fitted = OfflineModel.fit(reference, target, time, ignore, taken, delay or Delay())
    for name in slices:
        if name not in fitted.features:
            raise DataError(f"--slices: {missing_text(name, list(fitted.features))}")
    live = Live.of(fitted, current, ignore)
    importance = importance_of(fitted)
    block_s = max(float(live.times[-1] - live.times[0]) / blocks, 1e-6)
    baseline = fitted.baseline(block_s, importance)
    settings = AssessSettings(alpha=alpha, block_s=block_s, horizon_blocks=blocks)
    seen = blocks_of(live, baseline, block_s)
    sums = assess(baseline, seen, settings)
    case = case_of(fitted, live, importance, slices, rivals or {})
    return Look(replace(sums, diagnosis=diagnose(case)), baseline, tuple(seen))


def case_of(
    model: OfflineModel,
    live: Live,
    importance: Mapping[str, float],
    slices: tuple[str, ...] = (),
    rivals: Mapping[str, Any] | None = None,
) -> Case:
    """The rows as the core sees them."""
    total = sum(importance.values())
    filled = {name: column for name, column in model.features.items() if not missing_in(column).all()}
    present = {name: column for name, column in filled.items() if name not in live.absent}
    return Case(
        reference=present,
        reference_times=model.times,
        reference_labels=model.labels,
        reference_scores=model.tail_scores(),
        current={name: live.features[name] for name in present},
        times=live.times,
        labels=live.labels,
        scores=live.scores,
        classes=model.classes,
        learner=Boosting(model),
        cells={name: cells_of(name, column, live.features[name]) for name, column in present.items()},
        importance={name: weight / total for name, weight in importance.items()} if total > 0 else {},
        rivals={
            name: replace(model, fitted=each, given=True).scores(live.features) for name, each in (rivals or {}).items()
        },
        slices=tuple(name for name in slices if name in present),
        absent=live.absent,
        extra=live.extra,
        misfits=live.misfits,
        strange=live.strange,
    )
