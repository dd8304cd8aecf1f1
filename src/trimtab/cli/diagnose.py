"""``trimtab diagnose``: what is wrong with these rows, since when, and what to do; for a person at three in the
morning, and for scripts."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from trimtab.cli.moved import drift_answer, since_text
from trimtab.cli.options import Json
from trimtab.cli.show import coloured, columns, grid, show, show_json
from trimtab.cli.tables import Alpha, Current, Html, Ignore, Reference, listed, output_path, probability
from trimtab.core.domain.times import iso, parse_duration

if TYPE_CHECKING:
    from rich.console import RenderableType

    from trimtab.core.diagnosis import Assessment
    from trimtab.core.diagnosis.result import PerformanceResult
    from trimtab.core.domain.diagnosis import Diagnosis
    from trimtab.core.domain.verdict import Reason
    from trimtab.core.performance import Estimate

SHOWN = ("accuracy", "auroc", "f1", "mae", "r2")

TODO = {
    "none": "nothing",
    "watch": "nothing now; look again when more labels are there",
    "fix-data": "fix the feed of these columns; leave the rows since then out of training. Do not retrain on them",
    "fix-labels": "stop training and fix where the labels come from. The model may be fine",
    "recalibrate": "recalibrate the scores; a full retrain does it, too",
    "retrain": "retrain; prefer the rows since then where there are enough",
    "rollback": "go back to the earlier version, which does better on these rows",
}
"""What each remedy means for the person on call."""


def diagnose(
    reference: Reference,
    current: Current,
    /,
    *,
    target: Annotated[str, Parameter(help="Column of the label; missing where not known yet.")],
    time: Annotated[str, Parameter(help="Column of event times.")],
    label_time: Annotated[str | None, Parameter(help="Column: when the label became known.")] = None,
    label_delay: Annotated[str | None, Parameter(help="Labels younger than this are not judged: 7d.")] = None,
    ignore: Ignore = "",
    slices: Annotated[str, Parameter(help="Columns by whose levels harm is asked for, too: a,b.")] = "",
    model: Annotated[Path | None, Parameter(help="Package directory, .skops or .onnx. Default: one is fitted.")] = None,
    alpha: Alpha = 0.01,
    json: Json = False,
    html: Html = None,
) -> int:
    """What is wrong with the rows of CURRENT, since when, and what to do about it.
    REFERENCE is what the model was trained on; CURRENT everything since then. The
    onset is found, and causes are ranked by evidence: broken data or labels
    before drift, and input drift alone never asks for a retrain.

    For example:
        trimtab diagnose train.parquet live.parquet --target late --time departed_at
        trimtab diagnose train.csv live.csv --target late --time departed_at --label-delay 7d --json
        trimtab diagnose train.parquet live.parquet --target late --time departed_at --html report.html
    """
    from trimtab.offline import Delay, look_at

    page = output_path(html, "--html")
    look = look_at(
        reference,
        current,
        target,
        time,
        ignore=listed(ignore),
        slices=listed(slices),
        model=model,
        alpha=probability(alpha),
        delay=Delay(label_time, parse_duration(label_delay) if label_delay is not None else None),
    )
    found = look.assessment
    if page is not None:
        from trimtab.reports import diagnosis_page, write_text

        write_text(page, diagnosis_page(look, TODO[found.diagnosis.remedy.value], reference.name, current.name))
    if json:
        show_json(answer(found))
    else:
        show(*words(found))
    return 0


def answer(found: Assessment) -> dict[str, Any]:
    """The shape of ``--json``."""
    diagnosis = found.diagnosis
    return {
        "kind": diagnosis.kind.value,
        "action": diagnosis.remedy.value,
        "severity": diagnosis.severity.value,
        "since": since_text(diagnosis.since),
        "features": list(diagnosis.features),
        "slices": list(diagnosis.slices),
        "reasons": [_reason(reason) for reason in diagnosis.reasons],
        "alternatives": [{"kind": each.kind.value, "weight": float(each.weight)} for each in diagnosis.alternatives],
        "performance": _performance(found),
        "drift": None if found.drift is None else drift_answer(found.drift),
    }


def _reason(reason: Reason) -> dict[str, Any]:
    value, limit = (None if each is None else float(each) for each in (reason.value, reason.limit))
    return {"code": reason.code, "text": reason.text, "value": value, "limit": limit}


def _performance(found: Assessment) -> dict[str, Any] | None:
    """Realised and estimated side by side; None where neither is known."""
    if found.performance is None and found.estimated is None:
        return None
    beside = {
        "realized": {name: _interval(each.value, each.low, each.high) for name, each in found.realized.items()},
        "estimated": None if found.estimated is None else _estimated(found.estimated),
    }
    return {**(_losses(found.performance) if found.performance is not None else {}), **beside}


def _estimated(estimate: Estimate) -> dict[str, Any]:
    metrics = {name: _interval(*figures) for name, figures in estimate.metrics.items()}
    return {"rows": estimate.rows, "metrics": metrics, "note": estimate.note}


def _interval(value: float, low: float, high: float) -> dict[str, Any]:
    known = [float(each) if isfinite(each) else None for each in (value, low, high)]
    return {"value": known[0], "interval": known[1:]}


def _losses(result: PerformanceResult) -> dict[str, Any]:
    return {
        "loss": float(result.loss),
        "baseline_loss": float(result.baseline_loss),
        "interval": [float(end) for end in result.interval],
        "alarm": bool(result.alarm),
        "since": since_text(result.since_s),
        "evidence": float(result.evidence),
        "threshold": float(result.threshold),
        "rows": result.rows,
        "blocks": result.blocks,
        "gradual": bool(result.gradual),
    }


def words(found: Assessment) -> list[RenderableType]:
    """The answer first, then what to do, then why."""
    diagnosis = found.diagnosis
    rows: list[tuple[str, RenderableType]] = [("diagnosis", _headline(diagnosis))]
    if diagnosis.since is not None:
        rows.append(("since", iso(diagnosis.since)))
    if diagnosis.features:
        rows.append(("columns", _some(diagnosis.features)))
    if diagnosis.slices:
        rows.append(("slices", _some(diagnosis.slices)))
    rows.append(("do", f"{diagnosis.remedy.value}: {TODO[diagnosis.remedy.value]}"))
    rows += [("why" if at == 0 else "", reason.text) for at, reason in enumerate(diagnosis.reasons[:5])]
    if found.performance is not None:
        rows.append(("loss", found.performance.text))
    rows += _figures(found)
    if diagnosis.alternatives:
        rows.append(("or", ", ".join(f"{each.kind.value} ({each.weight:.0%})" for each in diagnosis.alternatives[:3])))
    parts: list[RenderableType] = [grid(rows)]
    moved = [each for each in found.drift.features.values() if each.alarm][:5] if found.drift is not None else []
    if moved:
        table = columns(
            ("moved", "how", "p", "moved by"),
            [(each.name, each.direction, f"{each.p:.2g}", f"{_size(each.wasserstein, each.ks)}") for each in moved],
            right=(2,),
        )
        parts += ["", table]
    return parts


def _figures(found: Assessment) -> list[tuple[str, RenderableType]]:
    """Realised beside estimated."""
    rows: list[tuple[str, RenderableType]] = []
    shown = [found.realized[name] for name in SHOWN if name in found.realized]
    known = [
        f"{each.name} {each.value:.3g} ({each.low:.3g} to {each.high:.3g})" for each in shown if each.low == each.low
    ]
    if known:
        rows.append(("realised", ", ".join(known)))
    if found.estimated is not None:
        metrics = found.estimated.metrics
        texts = [f"{n} {metrics[n][0]:.3g} ({metrics[n][1]:.3g} to {metrics[n][2]:.3g})" for n in SHOWN if n in metrics]
        what = f"; of the newest {found.estimated.rows:,} rows, if only inputs changed"
        rows.append(("expected", ", ".join(texts) + what))
    return rows


def _headline(diagnosis: Diagnosis) -> RenderableType:
    word = diagnosis.kind.value
    if word == "none":
        return coloured("successful", "nothing is wrong")
    return coloured(diagnosis.severity.value, f"{word}, {diagnosis.severity.value}")


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _size(wasserstein: float, distance: float) -> str:
    return f"{wasserstein:.2g} sd" if wasserstein == wasserstein else f"{distance:.2g} of the rows"
