"""``trimtab simulate``: the core and the loop in a fake world, with crashes and faults between any two steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from trimtab.cli.options import Json
from trimtab.cli.show import show, show_json
from trimtab.core.domain.errors import NotFoundError, UserError

if TYPE_CHECKING:
    from trimtab.replay.simulation import Campaign

HELD, BROKEN = 0, 1
FINDINGS_MAX = 10


def simulate(
    *,
    seed: Annotated[int, Parameter(help="The first story.")] = 0,
    seeds: Annotated[int, Parameter(help="How many stories, one seed after the other.")] = 1,
    steps: Annotated[int, Parameter(help="Things that happen in each.")] = 200,
    verbose: Annotated[bool, Parameter(alias="-v", help="Tell the story of the first seed as it happens.")] = False,
    broken: Annotated[str | None, Parameter(help="A build that is broken on purpose: it must be caught.")] = None,
    json: Json = False,
) -> int:
    """Try to break the loop: time, traffic, faults, people's commands, crashes at
    any call of the outside, two controllers at once. Every invariant is checked
    after every step; a seed that breaks one is told from its beginning, and the
    exit code is 1. No project is needed, and nothing is written.

    For example:
        trimtab simulate --seeds 1000 --steps 200 --json
        trimtab simulate --seed 7 --verbose
        trimtab simulate --seeds 1000 --broken lost-compare
    """
    if seeds < 1 or steps < 1 or seed < 0:
        raise UserError(f"--seeds and --steps must be 1 or more and --seed 0 or more, found {seeds}, {steps}, {seed}")
    if verbose and (seeds > 1 or json):
        raise UserError("--verbose tells one story: leave --seeds and --json out")
    done = _run(range(seed, seed + seeds), steps, verbose, broken)
    if json:
        show_json(done.figures())
    else:
        _tell(done, with_story=not verbose)
    return BROKEN if done.findings else HELD


def _run(seeds: range, steps: int, verbose: bool, broken: str | None) -> Campaign:
    from trimtab.replay.simulation import campaign, tell
    from trimtab.replay.simulation.mutants import MUTANTS, Mutant

    mutants = {mutant.name: mutant for mutant in MUTANTS}
    if broken is not None and broken not in mutants:
        raise NotFoundError(f"there is no broken build '{broken}'; there are {', '.join(mutants)}")
    with (Mutant("", "") if broken is None else mutants[broken]).built() as build:
        if verbose:
            return tell(seeds[0], steps, print, build)
        return campaign(seeds, steps, build=build, findings_max=FINDINGS_MAX if broken is None else 1)


def _tell(done: Campaign, *, with_story: bool) -> None:
    from trimtab.replay.simulation.run import COUNTED

    for finding in done.findings:
        if with_story:
            print(f"the story of seed {finding.seed}:", *finding.story, sep="\n")
        print(f"seed {finding.seed}, step {finding.step}: {finding.rule}")
    figures = done.figures()
    show(", ".join(f"{figures[name]} {name}" for name in COUNTED if figures[name]))
    show(
        f"{done.seeds} seeds, {done.steps_done} steps, {len(done.findings)} violations; "
        f"{done.steps_per_second:,.0f} steps a second"
    )
