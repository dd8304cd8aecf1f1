"""``trimtab score``: a file of rows in, a file of answers out, by the runtime that serves."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from trimtab.cli.options import Common, Json, Start, workspace
from trimtab.cli.show import show, show_json
from trimtab.core.domain.errors import NotFoundError, UserError

if TYPE_CHECKING:
    from trimtab.serving.batch.log import ScoreLog
    from trimtab.serving.batch.score import Progress, Scoring, Tally
    from trimtab.serving.record.settings import LogSettings
    from trimtab.serving.runtimes import Model

PROGRESS_S = 0.2


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the version comes from and where its log is."""

    deployment: Path | None
    logs: Path | None
    project: Path | None
    recorded: LogSettings | None = None


def score(
    file: Annotated[Path, Parameter(help="Rows to score: .parquet, .csv, .csv.gz or Arrow (.arrow, .feather).")],
    *,
    out: Annotated[Path, Parameter(alias="-o", help="File to write; its ending says in which format.")],
    model: Annotated[Path | None, Parameter(help="A package (a folder with a MANIFEST). No project is needed.")] = None,
    deployment: Annotated[Path | None, Parameter(help="A deployment directory. No project is needed.")] = None,
    version: Annotated[int | None, Parameter(help="The version that scores. Default: the champion.")] = None,
    keep: Annotated[
        tuple[str, ...] | None,
        Parameter(
            help="Columns of FILE to keep; '*' keeps all. Default: the entity and the time.",
            consume_multiple=True,
        ),
    ] = None,
    log: Annotated[bool, Parameter(help="Record the predictions in the prediction log, as the server does.")] = False,
    logs: Annotated[Path | None, Parameter(help="Where --log records. Default: as 'trimtab serve' has it.")] = None,
    overwrite: Annotated[bool, Parameter(help="Replace OUT where it exists.")] = False,
    threads: Annotated[int | None, Parameter(help="Threads that score. Default: one for each core.")] = None,
    json: Json = False,
    project: Start = Path(),
) -> int:
    """Score a file with the version that serves. OUT has the rows in the same order:
    what is kept, then y.prediction and y.score.CLASS as in the prediction log
    (with --log also prediction_id, to send labels to). It is whole or not there.

    For example:
        trimtab score tonight.parquet --out scores.parquet --keep order_id
        trimtab score rows.csv --out scores.csv --version 7 --log
        trimtab score rows.parquet -o scores.parquet --deployment /srv/flights/deployment
    """
    from trimtab.serving.batch.score import Scoring

    log = log or logs is not None
    if model is not None and (deployment is not None or version is not None or log):
        raise UserError("--model is a package by itself: leave --deployment, --version and --log out")
    if threads is not None and threads < 1:
        raise UserError(f"--threads must be at least 1, found {threads}")
    with _opened(model, deployment, logs, version, project) as (place, number, loaded):
        work = Scoring(file, out, keep, overwrite, number, threads)
        recorder = _log(place, number, loaded) if log else None
        began = time.perf_counter()
        done = _score(work, loaded, recorder)
        _tell(done, work, time.perf_counter() - began, json)
    return 0


def _score(work: Scoring, model: Model, log: ScoreLog | None) -> Tally:
    from trimtab.serving.batch.score import score_file

    with _progress() as progress:
        return score_file(work, model, log, progress)


@contextlib.contextmanager
def _opened(
    model: Path | None, deployment: Path | None, logs: Path | None, version: int | None, project: Path
) -> Iterator[tuple[_Place, int | None, Model]]:
    """The model that scores, and where it came from."""
    from trimtab.serving.batch.model import champion_of, installed_model
    from trimtab.serving.runtimes import load

    if model is not None:
        yield _Place(None, None, None), None, load(model)
        return
    place = _place(deployment, logs, project)
    assert place.deployment is not None  # noqa: S101  only a package by itself has none
    number = champion_of(place.deployment) if version is None else version
    try:
        yield place, number, installed_model(place.deployment, number)
    except NotFoundError:
        if place.project is None:
            raise
        with tempfile.TemporaryDirectory() as folder:
            package = workspace(Common(project=place.project)).registry.fetch(number, Path(folder, str(number)))
            yield place, number, load(package)


def _place(deployment: Path | None, logs: Path | None, project: Path) -> _Place:
    """As ``trimtab serve`` finds it, with what the endpoint records."""
    from trimtab.project.environment import environment

    if deployment is not None:
        from trimtab.serving.record.settings import log_of

        beside = logs or deployment.absolute().parent / "logs"
        return _Place(deployment, beside, None, log_of(None, environment()))
    from trimtab.project.recording import log_settings

    desk = workspace(Common(project=project))
    return _Place(desk.deployment, logs or desk.logs, project, log_settings(desk.project, desk.root, environment()))


def _log(place: _Place, version: int | None, model: Model) -> ScoreLog:
    import secrets

    from trimtab.serving.batch.log import ScoreLog
    from trimtab.serving.batch.model import recording_slot
    from trimtab.serving.record.recorder import Recorder

    assert place.deployment is not None and place.logs is not None and version is not None  # noqa: S101, PT018
    assert place.recorded is not None  # noqa: S101  a place with a deployment has settings
    clock = time.time  # noqa: TID251  an entry point, like the server's: no project, so no clock of one
    slot, generation = recording_slot(place.deployment, version, model)
    recorder = Recorder(place.recorded, place.deployment)
    return ScoreLog(place.logs, slot, generation, recorder, secrets.token_hex(5), clock)


@contextlib.contextmanager
def _progress() -> Iterator[Progress | None]:
    """A line that is written over on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    began = time.monotonic()
    shown = 0.0

    def progress(rows: int, total: int | None) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown < PROGRESS_S:
            return
        shown = now
        sys.stderr.write(f"\r\x1b[K{progress_line(rows, total, now - began)}")
        sys.stderr.flush()

    try:
        yield progress
    finally:
        sys.stderr.write("\r\x1b[K")


def progress_line(rows: int, total: int | None, seconds: float) -> str:
    """What is shown on the way.

    >>> progress_line(250_000, 1_000_000, 1.0)
    '250,000 of 1,000,000 rows (25 %), 250,000 a second, 3 s left'
    """
    rate = rows / max(seconds, 1e-9)
    if not total:
        return f"{rows:,} rows, {rate:,.0f} a second"
    left = (total - rows) / max(rate, 1e-9)
    return f"{rows:,} of {total:,} rows ({rows / total:.0%}), {rate:,.0f} a second, {left:.0f} s left".replace(
        "%", " %"
    )


def _tell(done: Tally, work: Scoring, seconds: float, json: bool) -> None:
    if json:
        show_json({
            "rows": done.rows, "version": work.version, "seconds": round(seconds, 3), "output": str(work.output),
            "columns": list(done.columns), "logged": done.logged,
        })  # fmt: skip
        return
    by = "" if work.version is None else f" with version {work.version}"
    logged = f"; {done.logged:,} recorded" if done.logged else ""
    rate = done.rows / max(seconds, 1e-9)
    show(f"scored {done.rows:,} rows{by} in {seconds:.1f} s ({rate:,.0f} a second): {work.output}{logged}")
