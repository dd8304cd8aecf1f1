"""The diagnosis of two tables: what ``trimtab.diagnose`` and ``trimtab diagnose`` do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trimtab.core.diagnosis import Assessment, AssessSettings, assess
from trimtab.offline.models import load_model
from trimtab.offline.tables import Delay, OfflineModel, blocks_of


def diagnose_tables(
    reference: Any,
    current: Any,
    target: str,
    time: str,
    *,
    ignore: tuple[str, ...] = (),
    model: Any = None,
    alpha: float = 0.01,
    blocks: int = 40,
    delay: Delay | None = None,
) -> Assessment:
    """See ``trimtab.api.diagnose``."""
    taken = load_model(Path(model)) if isinstance(model, str | Path) else model
    fitted = OfflineModel.fit(reference, target, time, ignore, taken, delay or Delay())
    baseline, block_s = fitted.baseline(current, blocks)
    settings = AssessSettings(alpha=alpha, block_s=block_s, horizon_blocks=blocks)
    return assess(baseline, blocks_of(fitted, baseline, current, block_s), settings)
