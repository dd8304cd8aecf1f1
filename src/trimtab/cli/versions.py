"""``trimtab versions``: what is registered, what it is now, and what its gates said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from trimtab.cli.options import COMMON, Common, workspace
from trimtab.cli.show import coloured, columns, grid, short, show, show_json
from trimtab.core.domain.errors import NotFoundError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from trimtab.controller.queries import VersionLine


def versions(
    version: Annotated[int | None, Parameter(help="Show all that is known of this one.")] = None,
    /,
    *,
    common: Common = COMMON,
) -> int:
    """The registered versions, newest last; with a number, all that is known of
    that one.

    For example:
        trimtab versions
        trimtab versions 3
    """
    from trimtab.controller import queries

    desk = workspace(common)
    lines = queries.versions(desk)
    if version is not None:
        lines = tuple(line for line in lines if line.version == version) or _missing(version, lines)
    if common.json:
        show_json(lines[0] if version is not None else lines)
    elif version is not None:
        show(detail(lines[0]))
    elif lines:
        show(overview(lines, desk.project.metric))
    else:
        show("no version yet: 'trimtab train' makes one")
    return 0


def _missing(version: int, lines: tuple[VersionLine, ...]) -> tuple[VersionLine, ...]:
    known = ", ".join(str(line.version) for line in lines) or "none"
    raise NotFoundError(f"version {version} is not registered; registered: {known}")


def overview(lines: tuple[VersionLine, ...], metric: str) -> RenderableType:
    """One line per version; of its metrics the one that gates compare, and two more."""
    known = {name for line in lines for name in line.record.metrics}
    metrics = [name for name in dict.fromkeys((metric, "auroc", "accuracy", "mae", "rmse", "r2")) if name in known][:3]
    return columns(
        ("", "state", "gates", "trained on (event time)", "how", "runtime", *metrics, "made"),
        (
            (
                str(line.version),
                coloured(line.state),
                coloured(line.record.verdict.value),
                _span(line),
                line.record.strategy,
                line.record.runtime,
                *(_figure(line.record.metrics.get(name)) for name in metrics),
                short(line.record.created_at),
            )
            for line in lines
        ),
        right=(0, *range(6, 6 + len(metrics))),
    )


def detail(line: VersionLine) -> RenderableType:
    """All that is known of one version."""
    from rich.text import Text

    record = line.record
    code = record.git_commit or ("nothing committed yet" if record.git_dirty else "not in a git repository")
    if record.git_commit and record.git_dirty:
        code += ", with changes that were not committed"
    rows: list[tuple[str, RenderableType]] = [
        (f"version {line.version}", coloured(line.state)),
        ("made", f"{short(record.created_at)} UTC, {record.strategy}"),
        *([("how", Text(record.made))] if record.made else []),
        ("trained on", f"{_span(line)}, data {record.data_version}"),
        ("code", Text(code)),
        ("run", Text(f"{record.run_id}, served by {record.runtime}, manifest {record.manifest[:12]}")),
        ("metrics", Text(", ".join(f"{name} {value:.4g}" for name, value in sorted(record.metrics.items())) or "none")),
    ]
    against = f" against version {record.compared_to}" if record.compared_to is not None else ""
    rows.append((f"gates{against}", coloured(record.verdict.value)))
    rows += [("", coloured(gate.verdict.value, f"{gate.gate}: {gate.text}")) for gate in record.gates]
    if record.overridden_by:
        rows.append(("overridden", Text(record.overridden_by, style="yellow")))
    return grid(rows)


def _span(line: VersionLine) -> str:
    start, end = line.record.trained_from, line.record.trained_until
    return f"{short(start)[:10]} to {short(end)[:10]}" if start is not None and end is not None else "unknown"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
