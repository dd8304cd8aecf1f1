"""The table of transitions: what is legal, what is refused, and that the diagram in the docs is this table."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab.core.domain.errors import InvariantError, RefusedError
from trimtab.core.rollout.table import FINAL, TRANSITIONS, Event, Phase, legal_events, mermaid, next_phase


def test_persisted_names_are_golden() -> None:
    """Journals of last year hold these words."""
    assert [str(phase) for phase in Phase] == [
        "pending",
        "shadowing",
        "progressing",
        "paused",
        "promoted",
        "aborted",
        "superseded",
    ]
    assert [str(event) for event in Event] == [
        "shadow",
        "start",
        "advance",
        "pause",
        "resume-shadow",
        "resume",
        "promote",
        "abort",
        "supersede",
    ]


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("event", list(Event))
def test_every_pair_is_in_the_table_or_raises(phase: Phase, event: Event) -> None:
    """A double click on 'abort', a late 'advance' after a promotion, a resume of what runs."""
    if (phase, event) in TRANSITIONS:
        assert next_phase(phase, event) is TRANSITIONS[phase, event]
        assert event in legal_events(phase)
        return
    with pytest.raises(InvariantError, match=f"'{event}' is not a legal move of a rollout that is {phase}"):
        next_phase(phase, event)
    with pytest.raises(RefusedError, match=r"legal now: |the rollout has ended"):
        next_phase(phase, event, by_person=True)


def test_a_final_phase_is_left_by_nothing_and_each_other_can_end() -> None:
    """Whatever happens, every rollout can be aborted until it has ended."""
    for phase in Phase:
        if phase in FINAL:
            assert legal_events(phase) == ()
        else:
            assert Event.ABORT in legal_events(phase)


def test_every_phase_can_be_reached() -> None:
    """No phase that only the documentation knows."""
    reached, todo = {Phase.PENDING}, [Phase.PENDING]
    while todo:
        phase = todo.pop()
        for event in legal_events(phase):
            after = next_phase(phase, event)
            if after not in reached:
                reached.add(after)
                todo.append(after)
    assert reached == set(Phase)


def test_the_diagram_in_the_docs_is_the_table() -> None:
    """Somebody adds a transition: the picture may not lie."""
    page = (Path(__file__).parents[2] / "docs" / "rollouts.md").read_text(encoding="utf-8")
    assert f"```mermaid\n{mermaid()}```" in page
