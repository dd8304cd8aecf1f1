"""The comparison as JSON, and what it suggests for the project file."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trimtab.core.domain.times import DAY_S, HOUR_S
from trimtab.core.policy.facts import WINDOW
from trimtab.replay.backtest.compare import Comparison, Outcome

ORACLE, NEVER = "oracle", "never"
WORTH = 0.005
"""Less difference of cost than this is none."""
BUDGET_S = 30 * DAY_S


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Settings for ``trimtab.yaml``, and why."""

    policy: str
    text: str
    yaml: str


def figures(done: Comparison) -> dict[str, Any]:
    """Plain JSON of the comparison."""
    found = asdict(done)
    advice = recommended(done)
    found["recommended"] = None if advice is None else asdict(advice)
    for policy in found["policies"]:
        policy["actions"] = [
            {name: value for name, value in action.items() if value is not None} for action in policy["actions"]
        ]
    return found


def to_json(done: Comparison) -> str:
    """The same as text; a figure that is not finite is a defect and raises."""
    return json.dumps(figures(done), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def recommended(done: Comparison) -> Recommendation | None:
    """The cheapest policy that can be had, as settings; None where only the oracle was compared."""
    able = [policy for policy in done.policies if policy.name != ORACLE]
    if not able:
        return None
    best = min(able, key=lambda policy: policy.cost)
    plain = [policy for policy in able if policy.retrains == 0]
    if best.retrains and plain and min(p.cost for p in plain) <= best.cost + WORTH:
        best = min(plain, key=lambda policy: policy.cost)
    if not best.retrains:
        text = "Training again did not pay on this history: leave it to people, and let alerts call them."
        return Recommendation(best.name, text, "retraining:\n  on: [manual]\n")
    text = f"{best.name} was the cheapest: {best.cost:.3f} of never training again, with {best.retrains} runs."
    if best.versions > 1.0:
        text += f" {best.versions:.1f} versions answered each request together; see trimtab:single for one alone."
    return Recommendation(best.name, text, _settings(done, best))


def _settings(done: Comparison, best: Outcome) -> str:
    runs = [action for action in best.actions if action.action == "retrain"]
    gaps = np.diff([action.batch for action in runs]) if len(runs) > 1 else np.array([len(done.batches)])
    least = _duration(float(gaps.min()) * done.batch_s)
    initial = _duration(done.batch_s * done.initial_rows / _rows_per_batch(done))
    most = max(1, int(np.ceil(BUDGET_S / (float(gaps.min()) * done.batch_s))))
    budget = f"  budget: {most}  # runs in 30 days"
    if best.name.startswith("trimtab"):
        lines = ["  on: [drift, payoff]", f"  price: {done.price:g}", f"  block: {_duration(done.batch_s)}"]
        return "\n".join(["retraining:", *lines, f"  cooldown: {least}", budget, "  strategy: auto"]) + "\n"
    lines = ["  on: [drift]"]
    if best.name.startswith("every:"):
        lines = ["  on: [schedule, drift]", f"  every: {least}"]
    kinds = Counter(action.strategy for action in runs)
    window = kinds[WINDOW] > len(runs) / 2
    lines += [f"  cooldown: {least}", budget, f"  strategy: {'sliding-window' if window else 'full'}"]
    return "\n".join(["retraining:", *lines, *([f"  window: {initial}"] if window else [])]) + "\n"


def _rows_per_batch(done: Comparison) -> float:
    return (done.rows - done.initial_rows) / len(done.batches)


def _duration(seconds: float) -> str:
    """Whole days, or hours, or minutes: a setting that a person would write."""
    if seconds >= DAY_S:
        return f"{round(seconds / DAY_S)}d"
    return f"{round(seconds / HOUR_S)}h" if seconds >= HOUR_S else f"{max(1, round(seconds / 60))}m"
