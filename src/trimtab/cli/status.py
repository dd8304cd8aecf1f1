"""``trimtab status``: a dozen lines that are enough at three in the morning."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from trimtab.cli.options import COMMON, Common, workspace
from trimtab.cli.show import COLOURS, ago, grid, short, show, show_json

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from trimtab.controller.queries import StatusReport

Row = tuple[str, "RenderableType"]

FIGURES = ("accuracy", "auroc", "f1", "mae", "r2")
"""Metrics that fit into a line."""


def status(
    *,
    recent: Annotated[int, Parameter(help="How many of the last decisions to show.")] = 5,
    common: Common = COMMON,
) -> int:
    """What serves, what is under way, what is wrong, what waits for you.

    For example:
        trimtab status
    """
    from trimtab.controller import queries
    from trimtab.project.recording import limits_of

    desk = workspace(common)
    report = queries.status(desk, recent)
    now = desk.clock.now()
    if common.json:
        show_json(report)
        return 0
    lives = report.controller is None or _lives(int(report.controller["pid"]))
    lines = [*rows(report, now, controller_lives=lives)]
    lines += [("records" if i == 0 else "", _text(words, "dim")) for i, words in enumerate(limits_of(desk.project))]
    show(grid(iter(lines)))
    return 0


def rows(report: StatusReport, now: float, *, controller_lives: bool = True) -> Iterator[Row]:
    """The lines of a report, most urgent last but one: the eye ends at what to do."""
    yield report.name, _text(f"{report.mode} mode, {short(now)} UTC", "dim")
    yield from _serving(report, now)
    yield from _health(report.health)
    if report.ahead:
        yield "", _text(f"{report.ahead} rows claim event times far ahead of all others: not believed", "yellow")
    yield from _rollout(report, now)
    yield from _training(report, now)
    yield from _incidents(report)
    yield from _controller(report, now, lives=controller_lives)
    for i, line in enumerate(report.recent):
        because = f": {line.why}" if line.why else ""
        yield "decided" if i == 0 else "", _text(f"{line.seq} {short(line.at)} {line.what}{because}")
    for question in report.questions:
        text = f"{question.title} ({ago(question.asked_at, now)}): trimtab approve {question.seq}"
        yield "asks you", _text(text, "bold yellow")


def _text(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(text, style=style)


def _serving(report: StatusReport, now: float) -> Iterator[Row]:
    if report.champion is None:
        waits = f"version {report.waiting} waits for the controller: trimtab up" if report.waiting else "trimtab train"
        yield "serves", _text(f"nothing yet; {waits}", "yellow")
    else:
        since = "" if report.champion_since is None else f", champion since {ago(report.champion_since, now)}"
        held = [set(server.loaded) for server in report.servers if server.ready]
        loaded = [version for version in report.previous if held and all(version in had for had in held)]
        warm = f"; loaded for a rollback: {', '.join(map(str, loaded))}" if loaded else ""
        yield "serves", _text(f"version {report.champion}{since}{warm}", COLOURS["champion"])
    if report.watch_until is not None:
        yield "", _text(f"under watch until {short(report.watch_until)}, its predecessor warm")
    if report.waiting is not None and report.champion is not None:
        yield "waiting", _text(f"version {report.waiting} passed its gates", COLOURS["waiting"])
    ready = [server for server in report.servers if server.ready]
    late = [server for server in ready if server.generation != report.generation]
    if report.servers:
        lag = (
            f"; {len(late)} not yet at generation {report.generation}" if late else f", generation {report.generation}"
        )
        urls = ", ".join(list(dict.fromkeys(server.url for server in report.servers))[:3])
        style = "" if len(ready) == len(report.servers) and not late else "yellow"
        yield "servers", _text(f"{len(ready)} of {len(report.servers)} ready{lag} ({urls})", style)
        for version, why in sorted({refusal for server in report.servers for refusal in server.refused}):
            yield "", _text(f"version {version} refused: {why}", "bold red")
        for server in report.servers:
            if server.unrecorded:
                yield "records", _text(f"{server.url} does not record: {server.unrecorded}", "bold red")
    elif report.champion is not None:
        yield "servers", _text("none answers: trimtab up", "bold red")
    ahead = max((server.generation or 0 for server in ready), default=0)
    if ahead > report.generation:
        lost = f"the journal ends at generation {report.generation} and servers are at {ahead}: is this journal.db"
        todo = "the one that they were deployed from? put it back, or: trimtab adopt"
        yield "journal", _text(f"{lost} {todo}", "bold red")


def _health(health: dict[str, Any] | None) -> Iterator[Row]:
    if health is None:
        return
    performance = health.get("performance")
    diagnosis = health.get("diagnosis") or "none"
    parts = []
    if performance:
        parts.append(
            performance.get("text") or f"loss {performance['loss']:.4g} against {performance['baseline_loss']:.4g}"
        )
    if health.get("drifted") is not None:
        parts.append("inputs drifted" if health["drifted"] else "inputs as before")
    parts.append("nothing wrong" if diagnosis == "none" else f"diagnosis: {diagnosis}")
    yield "health", _text("; ".join(parts), "" if diagnosis == "none" else "yellow")
    realized, expected = figure_texts(health.get("realized"), health.get("estimated"))
    if realized:
        yield "realised", _text(realized)
    if expected:
        yield "expected", _text(expected)
    moved = [f"{each['feature']} {each['direction']}".strip() for each in health.get("drift") or ()]
    if moved:
        yield "moved", _text(f"{', '.join(moved)} (by expected effect on the model)")


def figure_texts(realized: dict[str, Any] | None, estimated: dict[str, Any] | None) -> tuple[str, str]:
    """What labels say, and what is to be expected of rows whose labels are still to come."""
    known = [
        f"{name} {each['value']:.3g} ({each['low']:.3g} to {each['high']:.3g})"
        for name in FIGURES
        if (each := (realized or {}).get(name)) and None not in (each["value"], each["low"], each["high"])
    ]
    metrics = (estimated or {}).get("metrics") or {}
    guessed = [
        "{} {:.3g} ({:.3g} to {:.3g})".format(name, *metrics[name]) for name in FIGURES if metrics.get(name) is not None
    ]
    return ", ".join(known), ", ".join(guessed) + ("; cannot see concept drift" if guessed else "")


def _rollout(report: StatusReport, now: float) -> Iterator[Row]:
    rollout = report.rollout
    if rollout is None:
        return
    seen = report.rollout_evidence or {}
    if seen.get("id", rollout.id) != rollout.id:  # the controller has not looked since another one ended
        seen = {}
    verdict = str(seen.get("verdict", "no evidence yet"))
    share = f"{rollout.weight} %" if rollout.weight else "in shadow"
    number = f", step {rollout.step + 1} of {len(rollout.plan.steps)}" if rollout.weight else ""
    line = f"{rollout.id}: version {rollout.version} by {rollout.plan.strategy}, {rollout.phase}, {share}{number}, "
    text = _text(line + f"begun {ago(rollout.started_at, now)}: ")
    text.append(verdict, style=COLOURS.get(verdict, "yellow"))
    yield "rollout", text
    for metric in seen.get("metrics", []):
        harm = metric["verdict"] == "failed" and metric.get("role") != "watch"
        yield "", _text(f"{metric['verdict']}: {metric['text']}", COLOURS["failed"] if harm else "dim")
    for missing in seen.get("missing", []):
        yield "", _text(f"waits for {missing}", "yellow")
    if seen.get("ready_at_s") is not None:
        yield "", _text(f"likely decided by {short(seen['ready_at_s'])}", "dim")


def _training(report: StatusReport, now: float) -> Iterator[Row]:
    training = report.training
    if training is not None:
        spec = training.spec
        yield "training", _text(f"{spec.job} ({spec.trigger}, {spec.strategy}) since {ago(training.started_at, now)}")


def _incidents(report: StatusReport) -> Iterator[Row]:
    for incident in report.incidents:
        where = f" in {', '.join(incident.features)}" if incident.features else ""
        line = f"{incident.kind.value}{where} since {short(incident.since)}: {incident.text} ({incident.remedy.value})"
        yield "incident", _text(line, COLOURS.get(incident.severity.value, ""))


def _controller(report: StatusReport, now: float, *, lives: bool) -> Iterator[Row]:
    seen = report.controller
    if seen is None:
        yield "controller", _text("never ran here: trimtab up", "yellow")
        return
    looked = f"last looked {ago(float(seen['at']), now)}"
    if lives:
        yield "controller", _text(f"process {seen['pid']}, {looked}", "dim")
    else:
        yield "controller", _text(f"does not run, {looked}: trimtab up", "bold red")
    for problem in seen.get("problems", []):
        yield "", _text(f"could not: {problem}", "bold red")


def _lives(pid: int) -> bool:
    """Whether there is a process of this id on this machine, ours or another's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
