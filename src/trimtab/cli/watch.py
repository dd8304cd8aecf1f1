"""``trimtab watch``: the loop's eyes on a model that is served elsewhere."""

from __future__ import annotations

import time as clock
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from trimtab.cli.diagnose import answer, words
from trimtab.cli.options import Json
from trimtab.cli.show import show, show_json
from trimtab.cli.tables import Alpha, listed, probability
from trimtab.core.domain.errors import UserError
from trimtab.core.domain.times import iso, parse_duration, parse_time

if TYPE_CHECKING:
    from trimtab.core.diagnosis import Assessment
    from trimtab.core.profiles import Baseline

QUIET = ("none", "harmless-shift")
ALARM = 3


def watch(
    logs: Annotated[Path, Parameter(help="The log directory, as 'trimtab import' writes it.")],
    /,
    *,
    reference: Annotated[Path | None, Parameter(help="A table of what is normal: what it was trained on.")] = None,
    reference_until: Annotated[str | None, Parameter(help="Instead: the log before that time is normal.")] = None,
    target: Annotated[str | None, Parameter(help="Of the table: column of the label.")] = None,
    time: Annotated[str | None, Parameter(help="Of the table: column of event times.")] = None,
    scores: Annotated[str, Parameter(help="Of the table: the model's scores, out of sample.")] = "",
    classes: Annotated[str, Parameter(help="Of the table: the classes in the order of the scores.")] = "",
    block: Annotated[str, Parameter(help="Length of a block of event time.")] = "1d",
    every: Annotated[str | None, Parameter(help="Look again so often, until it is stopped: 60s.")] = None,
    notify: Annotated[
        list[str] | None, Parameter(help="Tell there when it changes: slack://…; may be repeated.")
    ] = None,
    alpha: Alpha = 0.01,
    json: Json = False,
) -> int:
    """Watches a model that others serve: data faults, drift, losses and label faults, as
    the loop judges its own champion, from the log alone. What is normal is a table,
    or the log before a moment that you trust. Nothing is served and nothing is moved.
    Exit code 3: something is wrong.

    For example:
        trimtab watch logs --reference-until 2026-10-01
        trimtab watch logs --reference train.parquet --time at --every 5m --notify slack://token/channel
    """
    if (reference is None) == (reference_until is None):
        raise UserError("name either --reference (a table) or --reference-until (a time), so that normal is known")
    if reference is not None and time is None:
        raise UserError("--reference needs --time: its column of event times")
    block_s, said = parse_duration(block), ""
    since = parse_time(reference_until) if reference_until is not None else None
    pause_s = parse_duration(every) if every is not None else None
    baseline: Baseline | None = None
    while True:
        found, baseline = _look(
            logs,
            baseline,
            since,
            (reference, target, time, listed(scores), listed(classes)),
            block_s,
            probability(alpha),
        )
        now = f"{found.diagnosis.kind.value} {found.diagnosis.features}"
        if now != said:
            if json:
                show_json(answer(found))
            else:
                show(*words(found))
            if notify and (said or found.diagnosis.kind.value not in QUIET):
                _tell(notify, logs, found)
            said = now
        if pause_s is None:
            return 0 if found.diagnosis.kind.value in QUIET else ALARM
        clock.sleep(pause_s)


def _look(
    logs: Path,
    baseline: Baseline | None,
    since: float | None,
    table: tuple[Path | None, str | None, str | None, tuple[str, ...], tuple[str, ...]],
    block_s: float,
    alpha: float,
) -> tuple[Assessment, Baseline]:
    """One look; the baseline is made at the first."""
    from trimtab.offline import watching
    from trimtab.wiring import whole_log

    predictions, labels = whole_log(logs)
    if baseline is None and since is not None:
        baseline = watching.baseline_of_log(predictions, labels, since, block_s)
    elif baseline is None:
        reference, target, time, scores, classes = table
        baseline = watching.baseline_of_table(
            reference,
            watching.inputs_of(predictions),
            target=target,
            time=str(time),
            scores=scores,
            classes=classes,
            block_s=block_s,
        )
    settings = watching.Settings(block_s=block_s, alpha=alpha)
    return watching.watch(baseline, predictions, labels, since, settings), baseline


def _tell(urls: list[str], logs: Path, found: Assessment) -> None:
    from trimtab.ports import Notice
    from trimtab.wiring import notifier_of

    diagnosis = found.diagnosis
    when = f" since {iso(diagnosis.since)}" if diagnosis.since is not None else ""
    body = "\n".join(reason.text for reason in diagnosis.reasons[:5]) or "nothing is wrong any more"
    title = f"{logs}: {diagnosis.kind.value}{when}"
    notifier_of(urls).send(Notice(f"{logs}-{diagnosis.kind.value}", title, body, diagnosis.severity))
