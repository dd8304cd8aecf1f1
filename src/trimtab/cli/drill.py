"""``trimtab drill``: break a copy of the project's data and see what the loop would do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from trimtab.cli.options import Start
from trimtab.cli.show import coloured, columns, show
from trimtab.core.domain.errors import NotFoundError, UserError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from trimtab.replay.drill import Drill

PRINT = Path("-")
WRONG = 3


def drill(
    *,
    scenario: Annotated[
        tuple[str, ...],
        Parameter(
            consume_multiple=True,
            help="unit, nulls, stuck, rename, swap, duplicates, gap, labels, sudden, gradual, segment, prior, "
            "harmless, nothing, release. Default: all.",
        ),
    ] = (),
    all: Annotated[bool, Parameter(help="Every scenario, which is the default.")] = False,  # noqa: A002
    severity: Annotated[Literal["low", "middle", "high"], Parameter(help="How bad it gets.")] = "middle",
    seed: Annotated[int, Parameter(help="Which columns are hit, and how.")] = 0,
    rows: Annotated[int, Parameter(help="Most rows; of a longer history the newest are taken.")] = 20_000,
    order: Annotated[
        Literal["blocks", "real"],
        Parameter(help="'blocks': days change places by chance, so that nothing drifts but what is put in."),
    ] = "blocks",
    mend_after: Annotated[
        str | None, Parameter(help="How long after they were told people mend a pipeline, e.g. 3d. Default: 3 blocks.")
    ] = None,
    json: Annotated[
        Path | None, Parameter(help="Write everything to this file; '-' prints it.", allow_leading_hyphen=True)
    ] = None,
    html: Annotated[Path | None, Parameter(help="Write a report with pictures to this file.")] = None,
    project: Start = Path(),
) -> int:
    """Break a copy of the project's own data (data.files) in one way after the other
    and play it through the real loop in simulated time: what would be noticed, when,
    what would be decided, what it would cost, and whether that is right. The project's
    journal, registry, deployment and data are not touched.

    Exits with 3 where an answer is not right.

    For example:
        trimtab drill
        trimtab drill --scenario unit labels release --html drill.html
        trimtab drill --all --severity high --seed 7 --json drill.json
    """
    from trimtab.core.domain.times import parse_duration
    from trimtab.replay.drill import Wish
    from trimtab.replay.drill import drill as play
    from trimtab.replay.drill.report import to_json
    from trimtab.wiring import open_workspace

    for path in (None if json == PRINT else json, html):
        if path is not None and not path.absolute().parent.is_dir():
            raise NotFoundError(f"there is no folder {path.absolute().parent} to write {path.name} into")
    if seed < 0:
        raise UserError(f"--seed must be 0 or more, found {seed}")
    if all and scenario:
        raise UserError("--all and --scenario exclude each other")
    wish = Wish(
        scenarios=tuple(name.strip() for each in scenario for name in each.split(",") if name.strip()),
        severity=severity,
        seed=seed,
        rows=rows,
        order=order,
        mend_s=None if mend_after is None else parse_duration(mend_after),
    )
    desk = open_workspace(project)
    done = play(desk.project, desk.root, desk.policy, desk.watching, wish, _progress)
    if json is not None and json != PRINT:
        write(json, to_json(done))
    if html is not None:
        from trimtab.replay.drill.html import to_html

        write(html, to_html(done))
    if json == PRINT:
        sys.stdout.write(to_json(done))
    else:
        _tell(done)
    return 0 if done.passed else WRONG


def write(path: Path, text: str) -> None:
    """Whole or not at all."""
    aside = path.with_name(f".{path.name}.tmp")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


def _progress(text: str) -> None:
    sys.stderr.write(f"{text} …\n")


def _tell(done: Drill) -> None:
    """The table, what was not right, and what it is based on."""
    from trimtab.replay.drill.report import about

    show(_table(done))
    for found in done.findings:
        for each in found.wrong:
            show(coloured("failed", f"{found.title}: {each}"))
    right = sum(found.right for found in done.findings)
    verdict = "successful" if done.passed else "failed"
    show("", coloured(verdict, f"{right} of {len(done.findings)} answers right, {done.seconds:.0f} s"), about(done))
    show("without, with: mean loss since the onset without and with the loop, against the unbroken world")
    for name, why in done.skipped:
        show(f"{name}: not played, {why}")
    for note in done.notes:
        show(f"note: {note}")


def _table(done: Drill) -> RenderableType:
    from rich.text import Text

    from trimtab.replay.drill.report import cost, decided, delay

    heads = ("scenario", "what happened", "decided", "noticed", "without", "with", "")
    rows = (
        (
            found.title,
            Text(found.recipe),
            Text(decided(found)),
            delay(found),
            *cost(found),
            coloured("successful", "right") if found.right else coloured("failed", "wrong"),
        )
        for found in done.findings
    )
    return columns(heads, rows, right=(4, 5))
