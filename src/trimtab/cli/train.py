"""``trimtab train``: one version by hand, judged by the same gates."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from trimtab.cli.options import COMMON, By, Common, actor, workspace
from trimtab.cli.show import coloured, grid, show, show_json
from trimtab.core.domain.errors import UserError
from trimtab.core.domain.times import parse_duration

if TYPE_CHECKING:
    from trimtab.controller.commands import Outcome
    from trimtab.core.domain.gate import VersionRecord
    from trimtab.training.spec import Strategy, TrainSpec
    from trimtab.wiring import Workspace

REJECTED = 3


def train(
    *,
    strategy: Annotated[
        Literal["full", "sliding-window", "incremental", "recalibrate", "auto"] | None,
        Parameter(help="Another one than the project's."),
    ] = None,
    window: Annotated[str | None, Parameter(help="Of the newest history, e.g. 90d; with sliding-window.")] = None,
    now: Annotated[str | None, Parameter(help="Train as of this time (ISO, UTC): later rows do not count.")] = None,
    deploy: Annotated[bool, Parameter(negative="--no-deploy", help="Let it meet traffic if it passes.")] = True,
    by: By = None,
    common: Common = COMMON,
) -> int:
    """Train a version, check it at the gates, register it.

    The data are versioned, the newest labelled rows are held out, and candidate
    and champion are compared on them. The first version that passes is
    deployed; later ones wait for their rollout by the controller. A failed gate
    rejects the candidate, keeps the champion, and exits with 3.

    For example:
        trimtab train
        trimtab train --strategy sliding-window --window 90d --no-deploy
        trimtab train --strategy recalibrate
    """
    from trimtab.training.job import run_and_record

    desk = _at(workspace(common), now)
    name = actor(by)
    asked = _spec(desk, strategy, window, name)
    desk.check()
    _check(desk, asked.strategy)
    with progress(quiet=common.json) as say:
        result = run_and_record(asked, desk.services(), say)
    return registered(desk, result, deploy=deploy, actor=name, common=common)


def registered(desk: Workspace, result: dict[str, Any], *, deploy: bool, actor: str, common: Common) -> int:
    """Enter into the journal what a run by hand registered, and tell it."""
    from trimtab.controller import commands
    from trimtab.controller.codec import record_of

    for other in result["others"]:
        commands.record(desk, record_of(other), deploy=False, actor=actor)
    record = record_of(result["record"])
    outcome = commands.record(desk, record, deploy=deploy, actor=actor)
    if common.json:
        show_json({"result": result, "decision": outcome.entry, "problems": outcome.problems})
    else:
        _tell(record, result, outcome, deploy=deploy)
    if not record.deployable:
        return REJECTED
    return 1 if outcome.problems else 0


@dataclass(frozen=True, slots=True)
class _Fixed:
    """A clock that stands: the whole run is as of one time."""

    at: float

    def now(self) -> float:
        return self.at


def _at(desk: Workspace, now: str | None) -> Workspace:
    """The project at a named time; in a replay that has served nothing yet, at the newest time in its data."""
    from trimtab.wiring import Workspace

    if now is not None:
        return Workspace(desk.root, desk.project, desk.project_file, _Fixed(_seconds(now)))
    if desk.project.clock == "event" and not desk.clock.now():
        return Workspace(desk.root, desk.project, desk.project_file, _Fixed(_newest(desk)))
    return desk


def _seconds(text: str) -> float:
    from datetime import UTC, datetime

    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"--now '{text}' is not a time; write e.g. 2013-03-01 or 2013-03-01T12:00") from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _newest(desk: Workspace) -> float:
    """The newest time in the project's data, its labels' included."""
    from datetime import UTC, datetime, time

    from trimtab.project.inspect import look
    from trimtab.project.tables import data_files

    data = desk.project.data
    seen = look(data_files(data.files, desk.root))
    highs = [seen.columns[name].high for name in (data.time, data.label_time) if name and name in seen.columns]
    times = [
        high if isinstance(high, datetime) else datetime.combine(high, time.max) for high in highs if high is not None
    ]
    if not times:
        raise UserError(f"column '{data.time}' is not in {seen.files[0].name} or holds no time")
    newest = max(moment if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in times)
    return newest.timestamp() + data.label_delay


def _check(desk: Workspace, strategy: Strategy) -> None:
    """Compare the data's columns with the project file, and the strategy with the estimator, before anything is
    written.

    Raises:
        ConfigError: every setting that does not fit the data, with its line.
        UserError: a file is not there or cannot be read; the estimator cannot learn on.
    """
    from trimtab.project.check import check_data
    from trimtab.project.tables import data_files, head
    from trimtab.training.strategy import check_strategy

    first = data_files(desk.project.data.files, desk.root)[0]
    check_data(desk.project, head(first), first.name, desk.project_file)
    check_strategy(desk.project, desk.root, strategy)


def _spec(desk: Workspace, strategy: Strategy | None, window: str | None, actor: str) -> TrainSpec:
    from trimtab.controller import commands
    from trimtab.core.decide.responses import partners
    from trimtab.training.spec import Quarantine, TrainSpec

    settings = desk.project.retraining
    chosen: Strategy = strategy or ("sliding-window" if window and settings.strategy == "full" else settings.strategy)
    window_s = parse_duration(window) if window else settings.window
    if chosen in ("full", "incremental", "recalibrate") and window:
        raise UserError(f"--window has no effect with --strategy {chosen}")
    if chosen == "sliding-window" and window_s is None:
        raise UserError("--strategy sliding-window needs --window, e.g. --window 90d")
    status, now = commands.current(desk), desk.clock.now()
    return TrainSpec(
        job=f"m{status.seq + 1}-{secrets.token_hex(3)}",
        trigger="demand",
        now=now,
        strategy=chosen,
        window_s=window_s if chosen in ("sliding-window", "auto") else None,
        quarantines=tuple(Quarantine(a, now if b is None else b, tuple(f)) for a, b, f in status.quarantines),
        champion=status.champion,
        actor=actor,
        retained=partners(status, settings.blend),
    )


@contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Where steps are told: a spinner that leaves each step as a line; plain lines where there is no terminal."""
    if quiet:
        yield _nowhere
    elif not sys.stderr.isatty():
        yield _to_stderr
    else:
        from rich.console import Console

        screen = Console(stderr=True, highlight=False, markup=False)
        with screen.status("starting") as spinner:

            def say(text: str) -> None:
                screen.print(text, style="dim")
                spinner.update(text)

            yield say


def _nowhere(_text: str) -> None:
    """With --json only the result is told."""


def _to_stderr(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _tell(record: VersionRecord, result: dict[str, Any], outcome: Outcome, *, deploy: bool) -> None:
    from rich.text import Text

    rows = [(f"version {record.version}", coloured(record.verdict.value, f"gates {record.verdict.value}"))]
    counts = ", ".join(f"{count:,} {name}" for name, count in result["rows"].items())
    rows.append(("rows", Text(counts)))
    if record.made:
        rows.append(("made", Text(record.made)))
    if result.get("blend"):
        rows.append(("blend", Text(result["blend"])))
    rows.append(("metrics", Text(", ".join(f"{k} {v:.4g}" for k, v in sorted(record.metrics.items())))))
    rows += [(gate.gate, coloured(gate.verdict.value, f"{gate.verdict.value}: {gate.text}")) for gate in record.gates]
    rows.append(("runtime", Text(record.runtime)))
    show(grid(rows))
    for problem in outcome.problems:
        show(coloured("failed", f"not done yet, will be tried again: {problem}"))
    show(_next(record, outcome, deploy=deploy))


def _next(record: VersionRecord, outcome: Outcome, *, deploy: bool) -> str:
    """What a person does now."""
    if not record.deployable:
        keeps = f"version {outcome.status.champion} keeps serving" if outcome.status.champion else "nothing serves yet"
        return f"rejected: it is registered but will not be deployed; {keeps}"
    if outcome.status.champion == record.version:
        return "deployed as the first version\nNext: trimtab up"
    if deploy:
        return (
            f"it waits for its rollout against version {outcome.status.champion}: the controller starts it (trimtab up)"
        )
    return f"Next: trimtab deploy {record.version}"
