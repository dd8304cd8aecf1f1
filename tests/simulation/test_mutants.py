"""Broken builds: a simulation that does not catch them proves nothing."""

from __future__ import annotations

import re

import pytest

from trimtab.controller import converge, loop
from trimtab.replay.simulation import campaign
from trimtab.replay.simulation.mutants import MUTANTS, Mutant, hunt

RULES = {
    "journal-after-acting": "in force|was started before any entry|was sent and no entry",
    "moves-twice": "one tick changed the traffic 2 times",
    "two-steps": "is next",
    "no-evidence-is-success": "without evidence|what was seen is inconclusive",
    "ignores-harm": "what was seen shows harm",
    "lost-compare": "is under way|cannot be|is not under way|runs already|is not running",
    "no-gates": "did not pass",
    "loses-alerts": "alerts were never sent",
    "trains-on-faults": "begins while a fault of the data is open",
    "keeps-quarantined": "does not leave out the quarantined windows",
    "two-champions": "that no entry decided",
    "unannounced-split": "that no entry decided",
    "stale-routes": "routes ran back",
    "deaf": "paused",
    "blind": "while a fault of the data is open",
    "nagging": "asked again",
    "rewrites": "hash chain",
    "trusts-aliases": "aliases are",
    "dies-of-races": "a defect ended the controller",
    "waits-for-the-registry": "registry is away",
    "counts-too-early": "before its bake time since the servers took it",
    "never-tries": "traffic goes back to version",
    "forgetful": "a defect ended the controller|cannot be|liveness",
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_broken_build_is_caught(mutant: Mutant) -> None:
    """By the rule that it breaks, well within 1,000 seeds."""
    done = hunt(mutant, seeds=400, steps=200)
    assert done.findings, f"{mutant.name} ({mutant.what}) was not caught in {done.seeds} seeds"
    finding = done.findings[0]
    assert re.search(RULES[mutant.name], finding.rule), finding.rule
    assert len(finding.story) > 2, "the story that led there"


def test_the_production_is_whole_again_afterwards() -> None:
    """A mutant leaves nothing behind."""
    before = (loop.decide, converge._messages, converge.ALIAS_LOOKS)
    for mutant in MUTANTS:
        with mutant.built():
            pass
    assert (loop.decide, converge._messages, converge.ALIAS_LOOKS) == before
    assert campaign(range(3), 60).findings == []
