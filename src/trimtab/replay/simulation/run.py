"""Runs seeds and adds up what happened. A seed that breaks a rule is told again from its beginning."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from trimtab.controller import converge
from trimtab.core.rollout import analysis
from trimtab.replay.simulation.checks import Violation
from trimtab.replay.simulation.endpoint import PRODUCTION, Build, Endpoint
from trimtab.replay.simulation.evidence import Remembered


@dataclass(frozen=True, slots=True)
class Finding:
    """A seed that broke a rule."""

    seed: int
    step: int
    rule: str
    story: tuple[str, ...]
    """Everything that happened, in order, to the end."""


@dataclass(slots=True)
class Campaign:
    """What many seeds did."""

    seeds: int = 0
    steps: int = 0
    """Of each seed."""
    steps_done: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    @property
    def steps_per_second(self) -> float:
        """Including all checks and the quiet ticks at the end of each seed, which are not counted as steps."""
        return self.steps_done / self.seconds if self.seconds else 0.0

    def figures(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "seeds": self.seeds,
            "steps": self.steps,
            "violations": len(self.findings),
            "steps_done": self.steps_done,
            "seconds": round(self.seconds, 3),
            "steps_per_second": round(self.steps_per_second, 1),
            **{name: self.counts[name] for name in COUNTED},
            "findings": [
                {"seed": f.seed, "step": f.step, "rule": f.rule, "story": list(f.story)} for f in self.findings
            ],
        }


COUNTED = (
    "crashes",
    "failures",
    "outages",
    "interleaved",
    "conflicts",
    "problems",
    "ticks",
    "commands",
    "refusals",
    "decisions",
    "rollouts",
    "promotions",
    "aborts",
    "rollbacks",
    "trainings",
    "incidents",
    "questions",
    "alerts",
    "supersedes",
    "unfit",
    "held",
    "jumps",
)

_KINDS = {
    "StartRollout": "rollouts",
    "Promote": "promotions",
    "Abort": "aborts",
    "RollBack": "rollbacks",
    "StartTraining": "trainings",
    "OpenIncident": "incidents",
    "AskApproval": "questions",
    "Alert": "alerts",
    "Supersede": "supersedes",
    "HoldWatch": "held",
}


def campaign(
    seeds: Iterable[int],
    steps: int,
    *,
    build: Build = PRODUCTION,
    findings_max: int = 1,
) -> Campaign:
    """Run each seed for ``steps`` steps and let it settle.

    Args:
        seeds: each is one story.
        steps: things that happen in each.
        build: what runs; a broken one to see that it is caught.
        findings_max: stop after so many broken seeds.
    """
    total = Campaign(steps=steps)
    began = time.perf_counter()
    with remembering():
        for seed in seeds:
            endpoint = Endpoint(seed, build)
            done, rule = _run(endpoint, steps)
            total.seeds += 1
            total.steps_done += done
            _add_up(total.counts, endpoint)
            if rule is not None:
                total.findings.append(_told(seed, steps, build))
            if len(total.findings) >= findings_max:
                break
    total.seconds = time.perf_counter() - began
    return total


def tell(seed: int, steps: int, line: Callable[[str], None], build: Build = PRODUCTION) -> Campaign:
    """One seed, with every line of its story as it happens."""
    total = Campaign(seeds=1, steps=steps)
    began = time.perf_counter()
    lines: list[str] = []

    def both(text: str) -> None:
        lines.append(text)
        line(text)

    with remembering():
        endpoint = Endpoint(seed, build, both)
        total.steps_done, rule = _run(endpoint, steps)
    _add_up(total.counts, endpoint)
    if rule is not None:
        total.findings.append(Finding(seed, total.steps_done, rule, tuple(lines)))
    total.seconds = time.perf_counter() - began
    return total


def _run(endpoint: Endpoint, steps: int) -> tuple[int, str | None]:
    """Steps done, and the rule that was broken."""
    done = 0
    try:
        endpoint.begin()
        for _ in range(steps):
            endpoint.step()
            done += 1
        endpoint.settle()
    except Violation as violation:
        return done, str(violation)
    except Exception as error:  # noqa: BLE001 - whatever a controller dies of in a sound process is a finding
        return done, f"a defect ended the controller: {type(error).__name__}: {error}"
    return done, None


def _told(seed: int, steps: int, build: Build) -> Finding:
    lines: list[str] = []
    done, rule = _run(Endpoint(seed, build, lines.append), steps)
    return Finding(seed, done, rule or "not the same when told again: the story is not repeatable", tuple(lines))


def _add_up(counts: Counter[str], endpoint: Endpoint) -> None:
    counts.update(endpoint.counts)
    entries = endpoint.journal.read()
    counts["decisions"] += len(entries)
    counts["unfit"] += sum(r["code"] == "PreflightFailed" for entry in entries for r in entry.reasons)
    counts.update(name for entry in entries for a in entry.actions if (name := _KINDS.get(a["type"])) is not None)


@contextmanager
def remembering() -> Iterator[None]:
    """Each piece of scripted evidence is measured once, and packages, which are only names here, get no directory."""
    with (
        substituted(analysis, "_metrics", Remembered(analysis._metrics)),
        substituted(converge, "TemporaryDirectory", _nowhere),
    ):
        yield


def _nowhere(prefix: str) -> nullcontext[str]:
    return nullcontext(f"/nowhere/{prefix}")


@contextmanager
def substituted(owner: Any, name: str, value: Any) -> Iterator[None]:
    """``owner.name`` is ``value`` for a while."""
    kept = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, kept)
