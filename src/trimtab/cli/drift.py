"""``trimtab drift``: did these rows change, in what, and since when; exit code 3 is an alarm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from trimtab.cli.moved import drift_answer
from trimtab.cli.options import Json
from trimtab.cli.show import coloured, columns, grid, short, show, show_json
from trimtab.cli.tables import Alpha, Current, Html, Ignore, Reference, listed, output_path, probability

if TYPE_CHECKING:
    from rich.console import RenderableType

    from trimtab.core.drift.result import DriftResult, FeatureDrift

CALM, ALARM = 0, 3
SHOWN = 12
"""Features and slices that are told to a person; the page and the JSON have all."""


def drift(
    reference: Reference,
    current: Current,
    /,
    *,
    time: Annotated[str | None, Parameter(help="Column of event times: since when, and natural variation.")] = None,
    alpha: Alpha = 0.01,
    ignore: Ignore = "",
    slices: Annotated[str, Parameter(help="Columns by whose levels the same is asked: a,b.")] = "",
    scores: Annotated[str, Parameter(help="Columns of the model's answers: one of each class, or one value.")] = "",
    json: Json = False,
    html: Html = None,
) -> int:
    """Did the rows of CURRENT change against those of REFERENCE: in which columns,
    which way, how far and since when? The chance of any false alarm of the whole
    check is at most --alpha, at any number of rows and columns. Exit code 0 is no
    alarm, 3 an alarm. CURRENT is streamed and may be larger than memory.

    For example:
        trimtab drift train.parquet live.parquet
        trimtab drift train.parquet live.parquet --time departed_at --slices carrier --html drift.html
        trimtab drift train.csv live.csv --ignore id,label --json
    """
    from trimtab.offline.drift import DriftQuestion, compare_tables

    page = output_path(html, "--html")
    question = DriftQuestion(probability(alpha), time, listed(ignore), listed(slices), listed(scores))
    done = compare_tables(reference, current, question)
    if page is not None:
        from trimtab.reports import drift_page, write_text

        write_text(page, drift_page(done, reference.name, current.name))
    if json:
        show_json(drift_answer(done.result))
    else:
        show(*words(done.result))
    return ALARM if done.result.drifted else CALM


def words(result: DriftResult) -> list[RenderableType]:
    """The answer first, then what moved."""
    rows: list[tuple[str, RenderableType]] = [("drift", _headline(result))]
    if result.since is not None:
        rows.append(("since", short(result.since)))
    rows.append(("rows", f"{result.rows:,} against {_reference_rows(result):,}"))
    if result.note:
        rows.append(("note", result.note))
    parts: list[RenderableType] = [grid(rows)]
    moved = [each for each in result.features.values() if each.alarm]
    if moved:
        parts += ["", _table(moved)]
    sliced = [(name, each) for name, each in result.slices.items() if each.drifted]
    if sliced:
        parts += ["", _slices(sliced)]
    hidden = max(len(moved) - SHOWN, 0) + max(len(sliced) - SHOWN, 0)
    if hidden:
        parts += ["", f"{hidden} more; --json and --html have all"]
    return parts


def _headline(result: DriftResult) -> RenderableType:
    arithmetic = f"p {p_text(result.p)} {'<=' if result.drifted else '>'} {result.alpha:g}"
    if not result.drifted:
        return coloured("successful", f"no alarm: {arithmetic}")
    return coloured(result.severity.value, f"alarm, {result.severity.value}: {arithmetic}")


def _reference_rows(result: DriftResult) -> int:
    return max((each.reference.rows for each in result.features.values() if each.reference is not None), default=0)


def _table(moved: list[FeatureDrift]) -> RenderableType:
    heads = ("moved", "how", "where", "by", "p", "limit", "severity", "since")
    rows = [
        (
            each.name,
            each.direction,
            each.region,
            size_text(each),
            p_text(each.p),
            f"{each.threshold:.2g}",
            coloured(each.severity.value),
            "" if each.since is None else short(each.since),
        )
        for each in moved[:SHOWN]
    ]
    return columns(heads, rows, right=(4, 5))


def _slices(sliced: list[tuple[str, DriftResult]]) -> RenderableType:
    rows = [
        (
            name,
            f"{each.rows:,}",
            ", ".join(f"{f.name} {f.direction}" for f in each.features.values() if f.alarm),
            p_text(each.p),
        )
        for name, each in sliced[:SHOWN]
    ]
    return columns(("slice", "rows", "moved", "p"), rows, right=(1, 3))


def p_text(p: float) -> str:
    """A p-value; those too small for a float are not zero."""
    return "< 1e-300" if p < 1e-300 else f"{p:.2g}"


def size_text(feature: FeatureDrift) -> str:
    """How far it moved, in the words of its kind."""
    distance = feature.wasserstein
    return f"{distance:.2g} sd" if distance == distance else f"{feature.ks:.1%} of the rows"
