"""``trimtab blend``: registered versions that answer together, as a version of its own."""

from __future__ import annotations

import secrets
from typing import Annotated

from cyclopts import Parameter

from trimtab.cli.options import COMMON, By, Common, actor, workspace
from trimtab.core.domain.errors import UserError


def blend(
    *versions: Annotated[int, Parameter(help="Numbers of the versions, as in 'trimtab versions'.")],
    weights: Annotated[
        str | None, Parameter(help="How much each counts, e.g. 3,1,1. Default: by what their mixture loses lately.")
    ] = None,
    deploy: Annotated[bool, Parameter(negative="--no-deploy", help="Let it meet traffic if it passes.")] = True,
    by: By = None,
    common: Common = COMMON,
) -> int:
    """Let registered versions answer together: the mean of their scores, as a
    version of its own.

    It is weighed and judged on labelled rows that none of them was trained on,
    passes the same gates, and is rolled out like any other. Every request is
    scored by each of them: it costs their time and memory together. Without
    --weights it is refused where it gains nothing over the best of them.

    For example:
        trimtab blend 3 5 7
        trimtab blend 3 5 --weights 2,1 --no-deploy
    """
    from trimtab.cli.train import progress, registered
    from trimtab.controller import commands
    from trimtab.training.job import run_and_record
    from trimtab.training.spec import Quarantine, TrainSpec

    desk = workspace(common)
    status, now = commands.current(desk), desk.clock.now()
    asked = TrainSpec(
        job=f"b{status.seq + 1}-{secrets.token_hex(3)}",
        trigger="demand",
        now=now,
        strategy="blend",
        members=versions,
        weights=_numbers(weights),
        quarantines=tuple(Quarantine(a, now if b is None else b, tuple(f)) for a, b, f in status.quarantines),
        champion=status.champion,
        actor=actor(by),
    )
    with progress(quiet=common.json) as say:
        result = run_and_record(asked, desk.services(), say)
    return registered(desk, result, deploy=deploy, actor=actor(by), common=common)


def _numbers(text: str | None) -> tuple[float, ...]:
    if text is None:
        return ()
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--weights '{text}' are not numbers; write e.g. 3,1,1") from None
