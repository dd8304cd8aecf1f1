"""``trimtab performance``: how well the model does, overall and by slice, cohort after cohort."""

from __future__ import annotations

from json import dumps as to_json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from trimtab.cli.options import Common, Json, Start, workspace
from trimtab.cli.show import coloured, columns, grid, show, show_json
from trimtab.cli.tables import Alpha, listed, probability
from trimtab.core.domain.errors import UserError
from trimtab.core.domain.times import duration_text, iso, parse_duration

if TYPE_CHECKING:
    from rich.console import RenderableType

    from trimtab.core.performance import Estimate, Figure
    from trimtab.offline.realized import Cohort, LossChange, Performance, SliceView
    from trimtab.offline.scored import Scored

SHOWN = ("accuracy", "f1", "precision", "recall", "auroc", "log_loss", "brier", "mae", "rmse", "r2")
COHORTS_SHOWN = 12
SLICES_SHOWN = 15
ALARM = 3
"""Exit code where the losses rose or a slice is worse."""


def performance(
    rows: Annotated[Path | None, Parameter(help="A table of answered rows. Default: the project's log.")] = None,
    /,
    *,
    logs: Annotated[Path | None, Parameter(help="A log directory, as 'trimtab import' writes it.")] = None,
    target: Annotated[str | None, Parameter(help="Of a table: column of the label.")] = None,
    time: Annotated[str | None, Parameter(help="Of a table: column of event times.")] = None,
    scores: Annotated[str, Parameter(help="Of a table: score of the second class, or of each; or the value.")] = "",
    classes: Annotated[str, Parameter(help="Of a table: the classes in the order of the scores.")] = "",
    slices: Annotated[str, Parameter(help="Columns by whose levels is looked. Default: data.slices.")] = "",
    version: Annotated[int | None, Parameter(help="Only answers of this version.")] = None,
    by: Annotated[str | None, Parameter(help="Length of a cohort: 1d, 6h.")] = None,
    labelled_share: Annotated[float, Parameter(help="A cohort counts with so many of its labels.")] = 0.8,
    label_delay: Annotated[str | None, Parameter(help="Instead: a cohort counts once it is so old: 7d.")] = None,
    margin: Annotated[float, Parameter(help="Of a slice: more wrong answers that are nobody's concern.")] = 0.05,
    alpha: Alpha = 0.01,
    json: Json = False,
    project: Start = Path(),
) -> int:
    """How well the model does: metrics with intervals, overall and by slice, cohort
    after cohort of event time; what is to be expected of rows whose labels are still
    to come; whether the losses rose, and since when; which slices are worse. Only
    cohorts whose labels are nearly all known count: early labels are biased.
    Exit code 3: the losses rose, or a slice is worse.

    For example:
        trimtab performance
        trimtab performance --slices carrier,origin --json
        trimtab performance answered.parquet --target late --time at --scores p_late --slices carrier
    """
    from trimtab.offline.realized import Settings, performance_of

    if not 0 < labelled_share <= 1:
        raise UserError(f"--labelled-share must lie between 0 and 1, found {labelled_share:g}")
    if not 0 <= margin < 1:
        raise UserError(f"--margin must lie between 0 and 1, found {margin:g}")
    names = listed(slices)
    positive = 1
    if rows is not None:
        scored = _table(rows, target, time, scores, classes, names)
    elif logs is not None:
        scored = _logged(logs, names, version)
    else:
        scored, positive = _of_project(project, names, version)
    settings = Settings(
        cohort_s=parse_duration(by) if by is not None else None,
        labelled_share=labelled_share,
        label_delay_s=parse_duration(label_delay) if label_delay is not None else None,
        alpha=probability(alpha),
        margin=margin,
        positive=positive,
    )
    found = performance_of(scored, settings)
    if json:
        show_json(answer(found))
    else:
        show(*words(found))
    return ALARM if found.alarm else 0


def _table(
    rows: Path, target: str | None, time: str | None, scores: str, classes: str, slices: tuple[str, ...]
) -> Scored:
    from trimtab.offline.scored import scored_of_table

    missing = [name for name, value in (("--target", target), ("--time", time), ("--scores", scores)) if not value]
    if missing or target is None or time is None:
        raise UserError(f"a table needs {', '.join(missing)}: which column is what")
    return scored_of_table(rows, target, time, listed(scores), slices, listed(classes))


def _logged(logs: Path, slices: tuple[str, ...], version: int | None) -> Scored:
    from trimtab.offline.scored import scored_of_log
    from trimtab.wiring import whole_log

    return scored_of_log(*whole_log(logs), slices, version)


def _of_project(project: Path, slices: tuple[str, ...], version: int | None) -> tuple[Scored, int]:
    """The log of the project's champion (or the version named), its slices, and its positive class."""
    from trimtab.controller.standing import status_of

    desk = workspace(Common(project=project))
    named = slices or tuple(desk.project.data.slices)
    champion = status_of(desk.journal, desk.world.shelf).champion if version is None else version
    scored = _logged(desk.logs, named, champion)
    positive = desk.project.data.positive
    text = to_json(positive).strip('"')
    return scored, scored.classes.index(text) if text in scored.classes else 1


def answer(found: Performance) -> dict[str, Any]:
    """The shape of ``--json``; figures that are not defined are null."""
    return {
        "task": found.task,
        "classes": list(found.classes),
        "rows": found.rows,
        "labelled": found.labelled,
        "mature_rows": found.mature_rows,
        "cohort_s": found.cohort_s,
        "alarm": found.alarm,
        "realized": _figures(found.figures),
        "estimated": _estimated(found.waiting),
        "change": _change(found.change),
        "unit": found.unit,
        "clustering": _real(found.clustering),
        "slices": [_slice(each) for each in found.slices],
        "cohorts": [_cohort(each) for each in found.cohorts],
        "notes": list(found.notes),
    }


def _figures(figures: Any) -> dict[str, Any]:
    return {
        name: {
            "value": _real(each.value),
            "interval": [_real(each.low), _real(each.high)],
            "rows": each.rows,
            "method": each.method,
        }
        for name, each in figures.items()
    }


def _estimated(found: Estimate | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "rows": found.rows,
        "metrics": {
            name: {"value": value, "interval": [low, high]} for name, (value, low, high) in found.metrics.items()
        },
        "calibration_rows": found.calibration_rows,
        "calibration_blocks": found.calibration_blocks,
        "note": found.note,
    }


def _change(found: LossChange | None) -> dict[str, Any] | None:
    if found is None:
        return None
    change = found.change
    return {
        "since": iso(found.since_s),
        "found": iso(found.found_s),
        "before": change.before,
        "after": change.after,
        "unit": change.unit,
        "evidence": change.evidence,
        "threshold": change.threshold,
        "text": change.text,
    }


def _slice(each: SliceView) -> dict[str, Any]:
    result = each.result
    return {
        "name": each.name,
        "rows": each.rows,
        "labelled": each.labelled,
        "realized": _figures(each.figures),
        "worse": None
        if result is None
        else {
            "alarm": result.alarm,
            "share_bad": result.share_bad,
            "share_bad_elsewhere": result.share_bad_elsewhere,
            "limit": result.limit,
            "evidence": result.evidence,
            "threshold": result.threshold,
            "text": result.text,
        },
        "change": _change(each.change),
    }


def _cohort(each: Cohort) -> dict[str, Any]:
    return {
        "start": iso(each.start_s),
        "end": iso(each.end_s),
        "rows": each.rows,
        "labelled": each.labelled,
        "mature": each.mature,
        "realized": _figures(each.figures),
        "estimated": _estimated(each.estimated),
    }


def _real(value: float) -> float | None:
    return float(value) if value == value and abs(value) != float("inf") else None


def words(found: Performance) -> list[RenderableType]:
    """The answer first, then figures, slices, and the newest cohorts."""
    rows: list[tuple[str, RenderableType]] = [("performance", _headline(found))]
    rows.append(("rows", f"{found.rows:,}, {found.labelled:,} labelled; {found.mature_rows:,} in cohorts that count"))
    if found.change is not None:
        rows.append(("since", f"{iso(found.change.since_s)}: {found.change.change.text}"))
    if found.mature_rows:
        alike = "" if found.clustering != found.clustering else f" (clustering {found.clustering:.2f})"
        rows.append(("counted in", f"{found.unit}{alike}"))
    rows += [("note", note) for note in found.notes]
    parts: list[RenderableType] = [grid(rows)]
    names = [name for name in SHOWN if name in found.figures or _has(found.waiting, name)]
    if names:
        heads = ("metric", "realised", "95 %", "to be expected", "95 %")
        parts += ["", columns(heads, [_metric(found, name) for name in names], right=(1, 2, 3, 4))]
    if found.slices:
        lead = "accuracy" if found.classes else "mae"
        shown = [_slice_row(each, lead) for each in found.slices[:SLICES_SHOWN]]
        parts += ["", columns(("slice", "rows", "labelled", lead, "95 %", ""), shown, right=(1, 2, 3, 4))]
        if len(found.slices) > SLICES_SHOWN:
            parts.append(f"and {len(found.slices) - SLICES_SHOWN} more; --json has them all")
    if found.cohorts:
        parts += ["", _cohorts(found)]
    return parts


def _headline(found: Performance) -> RenderableType:
    if found.change is not None:
        return coloured("severe", "the losses rose")
    worse = [each for each in found.slices if each.change is not None or (each.result and each.result.alarm)]
    if worse:
        return coloured("severe", f"{len(worse)} of {len(found.slices)} slices are worse: {worse[0].name}")
    if not found.mature_rows:
        return coloured("inconclusive", "not known yet")
    return coloured("successful", "as before")


def _has(estimate: Estimate | None, name: str) -> bool:
    return estimate is not None and name in estimate.metrics


def _metric(found: Performance, name: str) -> tuple[str, str, str, str, str]:
    real, interval = _pair(found.figures.get(name))
    if found.waiting is None or name not in found.waiting.metrics:
        return name, real, interval, "", ""
    value, low, high = found.waiting.metrics[name]
    return name, real, interval, f"{value:.4g}", f"{low:.4g} to {high:.4g}"


def _pair(figure: Figure | None) -> tuple[str, str]:
    if figure is None or figure.value != figure.value:
        return "", ""
    interval = "" if figure.low != figure.low else f"{figure.low:.4g} to {figure.high:.4g}"
    return f"{figure.value:.4g}", interval


def _slice_row(each: SliceView, lead: str) -> tuple[RenderableType, ...]:
    real, interval = _pair(each.figures.get(lead))
    said: list[str] = []
    if each.result is not None and each.result.alarm:
        said.append(f"worse than elsewhere ({each.result.share_bad:.1%} > {each.result.limit:.1%})")
    if each.change is not None:
        said.append(f"losses rose since {iso(each.change.since_s)[:16]}")
    return each.name, f"{each.rows:,}", f"{each.labelled:,}", real, interval, coloured("severe", "; ".join(said))


def _cohorts(found: Performance) -> RenderableType:
    lead = ["accuracy", "auroc"] if found.classes else ["mae", "r2"]
    heads = ["cohort", "rows", "labelled", *lead, "expected"]
    rows = []
    for each in found.cohorts[-COHORTS_SHOWN:]:
        expected = ""
        if each.estimated is not None and "accuracy" in each.estimated.metrics:
            value, low, high = each.estimated.metrics["accuracy"]
            expected = f"{value:.3f} ({low:.3f} to {high:.3f})"
        share = f"{each.labelled / each.rows:.0%}" + ("" if each.mature else " early")
        rows.append(
            [iso(each.start_s)[:16], f"{each.rows:,}", share, *(_pair(each.figures.get(n))[0] for n in lead), expected]
        )
    title = f"cohorts of {duration_text(found.cohort_s)}" + (
        "" if len(found.cohorts) <= COHORTS_SHOWN else ", newest last"
    )
    return columns([title, *heads[1:]], rows, right=range(1, len(heads)))
