"""Tables of the incident benchmark."""

from __future__ import annotations

from typing import Any

import numpy as np

Row = dict[str, Any]
ACTIONS = ("none", "watch", "fix-data", "fix-labels", "recalibrate", "retrain", "rollback")

RIGHT = {name: {"retrain"} for name in ("sudden", "gradual", "segment", "prior")} | {
    name: {"none", "watch"} for name in ("harmless", "nothing")
}
RIGHT |= {name: {"fix"} for name in ("unit", "nulls", "stuck", "rename", "swap", "repeated", "gap", "labels")}
"""What a tool that can only retrain or not can get right."""


def share(rows: list[Row], key: str = "right") -> str:
    known = [row[key] for row in rows if key in row]
    return f"{np.mean(known):.2f} ({sum(known)}/{len(known)})" if known else "-"


def tables(done: list[Row]) -> str:
    """Everything, in Markdown."""
    parts = []
    for held_out in (False, True):
        for order in ("shuffled", "real"):
            for level in ("low", "middle", "high"):
                rows = [r for r in done if (r["held_out"], r["order"], r["level"]) == (held_out, order, level)]
                if rows:
                    parts.append(
                        _group(rows, f"{'held-out' if held_out else 'known'} hosts, {order}, {level} severity")
                    )
    return "\n".join(parts)


def _group(rows: list[Row], title: str) -> str:
    quiet = [r for r in rows if r["scenario"] in ("harmless", "nothing")]
    broken = [
        r for r in rows if r["scenario"] in ("unit", "nulls", "stuck", "rename", "swap", "repeated", "gap", "labels")
    ]
    off = [r["off"] for r in rows if "off" in r and r["right"]]
    lines = [
        f"\n### {title}\n",
        f"right action {share(rows)}; columns {share(rows, 'columns')}; "
        f"onset within 1/20 {np.mean(np.array(off) <= 0.05) if off else float('nan'):.2f} of {len(off)}; "
        f"interventions on quiet ones {sum(r['action'] not in ('none', 'watch') for r in quiet)} of {len(quiet)}; "
        f"retrain on data or label faults {sum(r['action'] == 'retrain' for r in broken)} of {len(broken)}; "
        f"{np.median([r['seconds'] for r in rows]):.1f} s each\n",
        "| scenario | right | " + " | ".join(ACTIONS) + " | columns |",
        "|---|---|" + "---|" * (len(ACTIONS) + 1),
    ]
    for scenario in dict.fromkeys(r["scenario"] for r in rows):
        own = [r for r in rows if r["scenario"] == scenario]
        counts = [sum(r["action"] == action for r in own) for action in ACTIONS]
        cells = " | ".join(str(count) if count else "" for count in counts)
        lines.append(f"| {scenario} | {share(own)} | {cells} | {share(own, 'columns')} |")
    alarms = [r for r in rows if "adwin" in r]
    if alarms:
        good = [("retrain" if r["adwin"] else "none") in RIGHT[r["scenario"]] for r in alarms]
        lines.append(
            f"\nADWIN on the losses, an alarm retrains: right {np.mean(good):.2f}; retrain on data or label faults "
            f"{sum(r['adwin'] for r in broken)} of {len(broken)}; interventions on quiet ones "
            f"{sum(r['adwin'] for r in quiet)} of {len(quiet)}"
        )
    by_host = {name: [r for r in rows if r["host"] == name] for name in dict.fromkeys(r["host"] for r in rows)}
    lines.append("\n" + "; ".join(f"{name} {share(own)}" for name, own in by_host.items()) + "\n")
    return "\n".join(lines)
