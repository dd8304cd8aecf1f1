"""All policies over one history, and what each would have cost."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from trimtab.core.domain.errors import UserError
from trimtab.core.domain.times import iso
from trimtab.core.policy.facts import FIRST, FULL, WINDOW, Kind
from trimtab.replay.backtest.catalogue import parse
from trimtab.replay.backtest.fits import Fits
from trimtab.replay.backtest.history import History, Question, load
from trimtab.replay.backtest.labels import Schedule, schedule
from trimtab.replay.backtest.oracle import oracle
from trimtab.replay.backtest.policy import Policy
from trimtab.replay.backtest.world import Bench, Mixture, Model, View, default_metric, single

DEFAULT_POLICIES = ("never", "every:1", "every:4", "error:0.1", "drift:psi0.2", "adwin", "trimtab", "oracle")
PART = 0.05
"""Of the answers: less is none."""
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Action:
    """What a policy did before a batch."""

    batch: int
    action: str
    """``retrain`` or ``rollback``."""
    reason: str
    strategy: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One policy over the whole history."""

    name: str
    loss: tuple[float, ...]
    cost: float
    """(sum of the losses + price of the runs) / sum of the losses of ``never``."""
    regret: float | None
    """(cost - oracle) / (1 - oracle): 0 is the oracle, 1 is ``never``; None where the oracle never trains."""
    retrains: int
    rejected: int
    """Runs whose version had less than a twentieth of the answers as soon as it was judged by labels."""
    rollbacks: int
    versions: float
    """Versions that scored each request, on average: what blending costs in serving."""
    actions: tuple[Action, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """All policies, and what it took to compare them."""

    metric: str
    target: str
    price: float
    rows: int
    initial_rows: int
    batches: tuple[str, ...]
    """Time of the first row of each."""
    batch_s: float
    """Mean length of a batch."""
    never: tuple[float, ...]
    """Loss of the first version on each batch."""
    policies: tuple[Outcome, ...]
    fits: int
    fit_seconds: float
    """In fitting alone, over all threads."""
    seconds: float
    notes: tuple[str, ...] = ()


def compare(
    source: Any,
    question: Question,
    policies: Sequence[str] = DEFAULT_POLICIES,
    price: float = 0.1,
    jobs: int | None = None,
    progress: Progress = lambda _: None,
) -> Comparison:
    """Play the history once for each policy, with the same models.

    Args:
        source: Parquet or CSV file, a folder of Parquet files, or a table.
        question: which columns mean what, and how the history is cut.
        policies: as in ``trimtab.replay.backtest.catalogue``.
        price: of a run, in units of the mean loss of ``never`` on one batch.
        jobs: fits at a time; None: as many as there are processors.

    Raises:
        DataError: a column or value is not what it should be.
        UserError: an option cannot be.
    """
    started = perf_counter()
    if not price >= 0:
        raise UserError(f"--retrain-cost must be 0 or more, found {price:g}")
    names = tuple(dict.fromkeys(policies))
    players = {name: parse(name, price) for name in names if name != "oracle"}
    history = load(source, question)
    metric = default_metric(history, question.metric)
    when = schedule(history)
    with Fits(history, when, jobs or os.cpu_count() or 1) as fits:
        wanted = list(_all_models(history, when))
        progress(f"{len(wanted)} models of {len(history.at):,} rows")
        fits.begin(wanted)
        bench = Bench(history, when, fits, metric)
        never, charge, floor = baseline(bench, price)
        outcomes = []
        for name in names:
            progress(name)
            outcomes.append(
                _oracle_outcome(bench, charge, never)
                if name == "oracle"
                else play(players[name], bench, charge, never, floor)
            )
        return Comparison(
            metric=metric,
            target=question.target,
            price=price,
            rows=len(history.at),
            initial_rows=history.initial_rows,
            batches=tuple(iso(history.starts(batch)) for batch in range(history.batches)),
            batch_s=(float(history.at[-1]) - history.starts(0)) / history.batches,
            never=never,
            policies=tuple(outcomes),
            fits=len(fits),
            fit_seconds=fits.seconds,
            seconds=perf_counter() - started,
            notes=_notes(history, when),
        )


def baseline(bench: Bench, price: float) -> tuple[tuple[float, ...], float, float]:
    """What all policies are measured by: the losses of ``never``, the price of a run in the same unit, and the least
    cost of all (the oracle's)."""
    never = tuple(bench.loss(single(Model(FIRST, 0)), batch) for batch in range(bench.history.batches))
    charge = price * sum(never) / len(never)
    best = oracle(bench, charge)
    return never, charge, _cost(bench, [single(model) for model in best], _changes(best), charge, never)


def play(policy: Policy, bench: Bench, charge: float, never: Sequence[float], floor: float) -> Outcome:
    """One policy, batch by batch; it sees the labels of a batch only when they would have been known."""
    started = perf_counter()
    served: list[Mixture] = []
    runs: list[Model] = []
    actions: list[Action] = []
    for batch in range(bench.history.batches):
        view = View(bench, batch, tuple(served))
        run = policy.decide(view)
        if run is not None:
            model = Model(run.kind, batch)
            runs.append(model)
            policy.trained(model)
            actions.append(Action(batch, "retrain", run.reason, run.kind))
        mixture, events = policy.serve(view)
        actions.extend(Action(batch, event.action, event.reason) for event in events)
        served.append(mixture)
    cost = _cost(bench, served, len(runs), charge, never)
    return Outcome(
        name=policy.name,
        loss=tuple(bench.loss(mixture, batch) for batch, mixture in enumerate(served)),
        cost=cost,
        regret=_regret(cost, floor),
        retrains=len(runs),
        rejected=_rejected(bench, served, runs),
        rollbacks=sum(action.action == "rollback" for action in actions),
        versions=sum(len(mixture) for mixture in served) / len(served),
        actions=tuple(actions),
        seconds=perf_counter() - started,
    )


def _all_models(history: History, when: Schedule) -> Sequence[tuple[Kind, int]]:
    fresh = [batch for batch in range(1, history.batches) if when.available[batch] > history.initial_rows]
    return [(FIRST, 0), *((kind, batch) for batch in fresh for kind in (FULL, WINDOW))]


def _cost(bench: Bench, served: Sequence[Mixture], runs: int, charge: float, never: Sequence[float]) -> float:
    lost = sum(bench.loss(mixture, batch) for batch, mixture in enumerate(served))
    return (lost + charge * runs) / sum(never)


def _regret(cost: float, floor: float) -> float | None:
    return None if floor >= 1.0 - 1e-9 else (cost - floor) / (1.0 - floor)


def _rejected(bench: Bench, served: Sequence[Mixture], runs: Sequence[Model]) -> int:
    """Judged by evidence while they were the newest, and found wanting."""
    count = 0
    for place, model in enumerate(runs):
        end = runs[place + 1].batch if place + 1 < len(runs) else len(served)
        judged = [
            dict(served[batch]).get(model, 0.0)
            for batch in range(model.batch, end)
            if bench.schedule.known[batch] > bench.until(model)
        ]
        count += bool(judged) and max(judged) < PART
    return count


def _changes(best: Sequence[Model]) -> int:
    return sum(model.batch == batch and model.kind != FIRST for batch, model in enumerate(best))


def _oracle_outcome(bench: Bench, charge: float, never: Sequence[float]) -> Outcome:
    best = oracle(bench, charge)
    runs = [
        Action(batch, "retrain", "the cheapest course in hindsight", model.kind)
        for batch, model in enumerate(best)
        if model.batch == batch and model.kind != FIRST
    ]
    served = [single(model) for model in best]
    cost = _cost(bench, served, len(runs), charge, never)
    loss = tuple(bench.loss(mixture, batch) for batch, mixture in enumerate(served))
    return Outcome("oracle", loss, cost, _regret(cost, cost), len(runs), 0, 0, 1.0, tuple(runs), 0.0)


def _notes(history: History, when: Schedule) -> tuple[str, ...]:
    notes = []
    late = history.batches - int(when.known[-1])
    if late > 1:
        notes.append(f"before the last batch the labels of {late - 1} earlier ones were not known yet")
    if not int(when.known[-1]):
        notes.append("no batch was labelled before the end: no policy could learn from what it saw")
    if history.known_at is not None:
        notes.append("the rows before the first batch count as labelled from the beginning")
    return tuple(notes)
