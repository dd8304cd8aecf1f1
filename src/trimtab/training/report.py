"""The gates' report: JSON for machines, Markdown for people."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from trimtab.core.domain.gate import GateResult, gates_verdict
from trimtab.core.domain.verdict import Verdict

_MARKS = {
    Verdict.SUCCESSFUL: "passed",
    Verdict.FAILED: "FAILED",
    Verdict.INCONCLUSIVE: "inconclusive",
    Verdict.ERROR: "error",
}


def gate_dicts(gates: tuple[GateResult, ...]) -> list[dict[str, Any]]:
    """Plain JSON of gate results."""
    return [asdict(gate) | {"verdict": gate.verdict.value} for gate in gates]


def report_json(gates: tuple[GateResult, ...], metrics: dict[str, dict[str, float]], rows: dict[str, int]) -> bytes:
    """Everything the report says, machine-readable."""
    data = {"verdict": gates_verdict(gates).value, "gates": gate_dicts(gates), "metrics": metrics, "rows": rows}
    return json.dumps(data, indent=2, allow_nan=False, default=str).encode() + b"\n"


def report_markdown(
    title: str, gates: tuple[GateResult, ...], metrics: dict[str, dict[str, float]], rows: dict[str, int]
) -> str:
    """A page to read: verdict, gates with their arithmetic, metrics of each model on the same rows, row counts."""
    lines = [
        f"# {title}",
        "",
        f"Gates: **{gates_verdict(gates).value}**",
        "",
        "| gate | result | figures |",
        "|---|---|---|",
    ]
    lines += [f"| {gate.gate} | {_MARKS[gate.verdict]} | {gate.text} |" for gate in gates]
    models = list(metrics)
    names = sorted({name for figures in metrics.values() for name in figures})
    lines += ["", f"Metrics on the same {rows.get('evaluation', 0):,} evaluation rows:", ""]
    lines += ["| metric | " + " | ".join(models) + " |", "|---|" + "---|" * len(models)]
    for name in names:
        cells = [f"{metrics[model][name]:.5g}" if name in metrics[model] else "" for model in models]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "Rows: " + ", ".join(f"{count:,} {name}" for name, count in rows.items()), ""]
    return "\n".join(lines)
