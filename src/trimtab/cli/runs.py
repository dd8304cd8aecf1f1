"""``trimtab runs``: training runs compared and searched, failed ones too."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from trimtab.cli.options import COMMON, Common, workspace
from trimtab.cli.show import coloured, columns, short, show, show_json
from trimtab.core.domain.errors import UserError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from trimtab.ports import RunLine

HIGHER = frozenset({"accuracy", "f1", "auroc", "precision", "recall", "r2"})
SHOWN = 20
_CONDITION = re.compile(r"\s*([\w.\-]+)\s*(<=|>=|!=|=|<|>)\s*(.*?)\s*")
_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}


def runs(
    *,
    best: Annotated[str | None, Parameter(help="Sort by this metric, the best first, e.g. f1.")] = None,
    where: Annotated[tuple[str, ...], Parameter(help="Only such runs, e.g. 'log_loss<0.5'; may be repeated.")] = (),
    limit: Annotated[int, Parameter(help="How many are shown.")] = SHOWN,
    common: Common = COMMON,
) -> int:
    """Training runs, newest last: what they were made with and what came of them,
    failed ones with the reason.

    --where takes metrics, parameters, tags, and 'status' (registered, rejected,
    failed), 'version', 'name', 'error'.

    For example:
        trimtab runs --best f1
        trimtab runs --where strategy=full --where "log_loss<0.5"
        trimtab runs --where status=failed
    """
    if limit < 1:
        raise UserError(f"--limit must be at least 1, found {limit}")
    desk = workspace(common)
    every = desk.runs.runs()
    found = [run for run in every if all(matches(run, text, every) for text in where)]
    if best is not None:
        known = sorted({name for run in every for name in run.metrics})
        if best not in known:
            raise UserError(f"no run has a metric '{best}'; there are: {', '.join(known) or 'none'}")
        found = sorted(
            (run for run in found if best in run.metrics),
            key=lambda run: -run.metrics[best] if best.split(".")[-1] in HIGHER else run.metrics[best],
        )[:limit]
    else:
        found = found[-limit:]
    if common.json:
        show_json(found)
    elif found:
        show(overview(found, best or desk.project.metric))
    else:
        show("no such run" if every else "no run yet: 'trimtab train' makes one")
    return 0


def matches(run: RunLine, text: str, every: Sequence[RunLine] = ()) -> bool:
    """Whether a run fulfils a condition such as ``log_loss<0.5``; what it does not have, it does not fulfil.

    Raises:
        UserError: the condition cannot be read, or no run has such a thing.
    """
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise UserError(f"--where '{text}' is no condition; write e.g. strategy=full or 'log_loss<0.5'")
    name, sign, wanted = found.groups()
    have = values(run)
    if every and not any(name in values(other) for other in every):
        known = sorted({key for other in every for key in values(other)})
        raise UserError(f"--where '{text}': no run has '{name}'; there is {', '.join(known[:40])}")
    if name not in have:
        return False
    value = have[name]
    try:
        return _SIGNS[sign](float(value), float(wanted))
    except ValueError:
        return _SIGNS[sign](str(value), wanted)


def values(run: RunLine) -> dict[str, Any]:
    """Everything of a run that can be asked for, by its name."""
    own = {"status": run.status, "name": run.name, "error": run.error}
    version = {} if run.version is None else {"version": run.version}
    return {**run.tags, **run.parameters, **run.metrics, **own, **version}


def overview(found: Sequence[RunLine], metric: str) -> RenderableType:
    """One line per run: the asked metric first, the parameters that differ, the reason of a failure."""
    from rich.text import Text

    metrics = [name for name in dict.fromkeys((metric, "auroc", "f1", "accuracy", "mae", "rmse")) if _any(found, name)]
    names = sorted({name for run in found for name in run.parameters if name.startswith("estimator")})
    differing = [name for name in names if len({run.parameters.get(name) for run in found}) > 1][:4]
    heads = (
        "version",
        "run",
        "status",
        "made",
        "how",
        *metrics[:4],
        *(n.removeprefix("estimator.") for n in differing),
        "",
    )
    rows = (
        (
            "" if run.version is None else str(run.version),
            Text(run.name),
            coloured(_COLOUR[run.status], run.status),
            short(run.at),
            Text(f"{run.tags.get('strategy', '')}, {run.tags.get('trigger', '')}"),
            *("" if name not in run.metrics else f"{run.metrics[name]:.4g}" for name in metrics[:4]),
            *(Text(run.parameters.get(name, "")) for name in differing),
            Text(run.error),
        )
        for run in found
    )
    return columns(heads, rows, right=(0, *range(5, 5 + len(metrics[:4]))))


_COLOUR = {"registered": "successful", "rejected": "inconclusive", "failed": "failed"}


def _any(found: Sequence[RunLine], metric: str) -> bool:
    return any(metric in run.metrics for run in found)
