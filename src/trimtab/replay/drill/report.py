"""A drill as JSON, and its figures in words."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from trimtab.core.domain.times import duration_text, iso
from trimtab.replay.drill.drill import Drill
from trimtab.replay.drill.judge import Finding


def figures(done: Drill) -> dict[str, Any]:
    """Plain JSON."""
    found = asdict(done)
    found["passed"] = done.passed
    for one in found["findings"]:
        one["onset"] = iso(one.pop("onset_s"))
        one["events"] = [{**event, "at": iso(event["at"])} for event in one["events"]]
        one["line"]["starts"] = [iso(start) for start in one["line"]["starts"]]
    return found


def to_json(done: Drill) -> str:
    """The same as text; a figure that is not finite is a defect and raises."""
    return json.dumps(figures(done), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def about(done: Drill) -> str:
    """What was played, in a sentence."""
    thinned = "" if done.rows == done.rows_there else f" of {done.rows_there:,}"
    moved = "blocks in chance order" if done.order == "blocks" else "in their own order"
    return (
        f"{done.rows:,}{thinned} rows, {moved}: the first version learnt from {done.trained:,}, the rest was played, "
        f"{done.begins[:10]} to {done.ends[:10]}; severity {done.severity}, seed {done.seed}"
    )


def delay(found: Finding) -> str:
    """When it was noticed."""
    return "" if found.noticed_s is None else f"after {duration_text(max(found.noticed_s, 0.0))}"


def cost(found: Finding) -> tuple[str, str]:
    """Loss without and with the loop, relative to the unbroken world."""
    unbroken = found.loss["unbroken"]
    return _relative(found.loss["without"], unbroken), _relative(found.loss["with"], unbroken)


def _relative(loss: float | None, unbroken: float | None) -> str:
    return "" if loss is None or not unbroken else f"{100 * (loss / unbroken - 1):+.0f} %"


def decided(found: Finding) -> str:
    """The answer with its columns."""
    if found.kind == "none":
        return found.answer
    return f"{found.answer}: {found.kind}" + (f" in {', '.join(found.named[:4])}" if found.named else "")
