"""What must hold after every step of the simulated world, whoever acted, failed or died in it.

The checker folds the journal by itself and looks at the world behind the ports; it trusts nothing that a controller
says of itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from trimtab.controller.codec import catch_up, decode
from trimtab.core.decide import actions as act
from trimtab.core.decide.status import Rollout, Status, check_invariants, routes_of
from trimtab.core.domain.errors import InvariantError, TrimtabError
from trimtab.core.domain.gate import VersionRecord
from trimtab.core.domain.journal import Entry
from trimtab.core.domain.routes import Routes
from trimtab.core.domain.verdict import Severity, Verdict
from trimtab.core.rollout.plan import RolloutPlan
from trimtab.replay.fakes import MemoryJobs, MemoryJournal, MemoryNotifier, MemoryRegistry

CONTROLLER = "controller"


class Violation(Exception):  # noqa: N818 - a finding, not a failure of the checker
    """A rule that must always hold was broken; the text names the rule and what was found."""


@dataclass(slots=True)
class Ledger:
    """What the ports were seen doing, noted as it happens."""

    applied: list[tuple[Routes, int]] = field(default_factory=list)
    """Routes put in force, with the head of the journal at that moment."""
    started: list[tuple[str, int]] = field(default_factory=list)
    """Jobs started, with the head."""
    ticks: list[tuple[int, int, int]] = field(default_factory=list)
    """(who, first seq, last seq) of each append; who: 0 a person, else the number of the tick."""


@dataclass(slots=True)
class Checker:
    """The invariants, over the journal as it grows and the world behind the ports."""

    journal: MemoryJournal
    registry: MemoryRegistry
    jobs: MemoryJobs
    notifier: MemoryNotifier
    ledger: Ledger
    cooldown_s: float
    """Of training: within it a training run that was declined is not asked for again."""
    unfit: dict[int, str]
    """Versions that cannot answer today's requests, whatever anybody says of them."""
    status: Status = field(default_factory=Status)
    alerts: dict[str, str] = field(default_factory=dict)
    """Id to title of every alert in the journal."""
    moved: dict[int, Rollout] = field(default_factory=dict)
    """Entries of the loop that moved a rollout on by evidence, and the rollout before."""
    _routes: dict[int, tuple[Routes, int]] = field(default_factory=dict)
    """Generation to its routes and the entry that made them so."""
    _trainings: dict[str, int] = field(default_factory=dict)
    _rejected: dict[tuple[str, str], float] = field(default_factory=dict)
    """What people said no to, and when."""
    _generation: int = 0
    _moved: dict[int, int] = field(default_factory=dict)
    _seen: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    """Of applied, started, ticks, sent: how many were checked."""

    def check(self) -> None:
        """After a step.

        Raises:
            Violation: naming the rule.
        """
        for entry in self.journal.read(self.status.seq):
            self._entry(entry)
        if len(self.ledger.applied) > self._seen[0]:
            self._applied()
        if len(self.ledger.started) > self._seen[1]:
            self._started()
        if len(self.ledger.ticks) > self._seen[2]:
            self._traffic_moves()
        if len(self.notifier.sent) > self._seen[3]:
            self._sent()

    def _entry(self, entry: Entry) -> None:
        before = self.status
        if entry.seq != before.seq + 1:
            raise Violation(f"journal: entry {entry.seq} stands after {before.seq}")
        try:
            after = catch_up(before, [entry])
            check_invariants(after)
        except (InvariantError, KeyError) as error:
            raise Violation(f"journal: entry {entry.seq} cannot be: {error}") from error
        self._sound(after)
        if after.generation < before.generation:
            raise Violation(f"generation ran back from {before.generation} to {after.generation}")
        self._tells(entry)
        for index, data in enumerate(entry.actions):
            action = decode(data)
            if isinstance(action, act.Alert):
                self.alerts[f"{entry.seq}-{index}"] = action.title
            else:
                self._action(before, entry, action)
        routes = routes_of(after)
        if routes is not None and after.generation != before.generation:
            self._routes[after.generation] = (routes, entry.seq)
        self.status = after

    def _tells(self, entry: Entry) -> None:
        """Every decision says why, follows from an earlier one or none, and none that hits users is silent."""
        kinds = {str(data["type"]) for data in entry.actions}
        if not entry.reasons and kinds - {"RecordVersion"}:
            raise Violation(f"entry {entry.seq} gives no reason for {', '.join(sorted(kinds))}")
        if entry.cause is not None and not 0 < entry.cause < entry.seq:
            raise Violation(f"entry {entry.seq} names entry {entry.cause} as its cause")
        if entry.actor == CONTROLLER and kinds & {"Abort", "RollBack", "AskApproval"} and "Alert" not in kinds:
            raise Violation(f"entry {entry.seq} tells nobody of {', '.join(sorted(kinds))}")

    def _sound(self, status: Status) -> None:
        """One champion, weights of 100, and only what passed its gates or was let through by name."""
        routes = routes_of(status)
        if routes is None:
            return
        champions = [version for version, arm in routes.arms.items() if arm == "champion"]
        if champions != [status.champion] or routes.split[0].version != status.champion:
            raise Violation(f"one champion: the routes name {champions}, the status {status.champion}")
        if sum(share.weight for share in routes.split) != 100:
            raise Violation(f"weights sum to 100: found {routes.split}")
        for version in routes.versions:
            record = status.versions.get(version)
            if record is None or not passed(record):
                raise Violation(f"gates: version {version} is routed and did not pass, nor was it overridden by name")

    def _action(self, before: Status, entry: Entry, action: act.Action) -> None:
        by_loop = entry.actor == CONTROLLER
        if isinstance(action, act.StartTraining):
            self._training(before, action)
        elif isinstance(action, act.AskApproval):
            for key in _questions(action):
                declined_at = self._rejected.get(key)
                if declined_at is not None and (
                    key[0] != "StartTraining" or 0.0 <= entry.at - declined_at < self.cooldown_s
                ):
                    raise Violation(f"a rejected question is asked again: {key[0]} {key[1]}")
        elif isinstance(action, act.Answer) and not action.approved:
            asked = before.approvals[action.approval]
            self._rejected.update(
                dict.fromkeys(_questions(act.AskApproval(asked.id, asked.title, asked.actions)), entry.at)
            )
        elif isinstance(action, act.ResumeRollout):
            self._rejected.pop(("Promote", action.rollout), None)
        elif isinstance(action, act.RollBack):
            self._return(entry, action)
        elif by_loop and isinstance(action, act.StartRollout):
            if action.version in before.barred:
                raise Violation(f"version {action.version} is barred and rolled out again by the loop")
        elif by_loop and isinstance(action, act.Promote | act.EnterStep):
            self._advance(before, entry, action)

    def _return(self, entry: Entry, action: act.RollBack) -> None:
        tried = {proof["version"]: proof["fits"] for proof in entry.evidence.get("preflight", ())}
        if not tried.get(action.version):
            raise Violation(f"traffic goes back to version {action.version} whose preflight says {tried}")
        if action.version in self.unfit:
            raise Violation(f"traffic goes back to version {action.version}: {self.unfit[action.version]}")

    def _training(self, before: Status, action: act.StartTraining) -> None:
        if action.job in self._trainings:
            raise Violation(f"jobs: {action.job} is started by two entries")
        faults = [incident.id for incident in before.open_incidents if incident.quarantines]
        if faults:
            raise Violation(f"training {action.job} begins while a fault of the data is open ({', '.join(faults)})")
        missing = set(before.quarantines) - set(action.quarantines)
        if missing:
            raise Violation(f"training {action.job} does not leave out the quarantined windows {sorted(missing)}")
        self._trainings[action.job] = before.seq + 1

    def _advance(self, before: Status, entry: Entry, action: act.Promote | act.EnterStep) -> None:
        """A step of the loop's own needs evidence, sound data, and nobody who holds it."""
        rollout = before.rollout
        if rollout is None or rollout.id != action.rollout:
            return  # the first step of a rollout that this entry starts
        if rollout.paused:
            raise Violation(f"rollout {rollout.id} is paused and moves on by itself")
        if any(incident.quarantines for incident in before.open_incidents):
            raise Violation(f"rollout {rollout.id} moves on while a fault of the data is open")
        step = rollout.step + 1
        next_weight = rollout.plan.steps[step] if step < len(rollout.plan.steps) else 100
        if isinstance(action, act.EnterStep) and (action.step, action.weight) != (step, next_weight):
            raise Violation(f"rollout {rollout.id} goes to step {action.step} at {action.weight} %, {step} is next")
        codes = {reason["code"] for reason in entry.reasons}
        if rollout.plan.strategy == "blue-green" and "Loaded" in codes:
            return
        if rollout.plan.on_longest == "promote" and "RolloutTooLong" in codes:
            return  # the policy says so, by name
        if 0.0 <= entry.at - rollout.step_started_at < rollout.plan.bake_s:  # below 0: by a clock that was ahead
            raise Violation(f"rollout {rollout.id} leaves a step before its bake time")
        self._evidence(rollout.plan, entry)
        self.moved[entry.seq] = rollout

    def _evidence(self, plan: RolloutPlan, entry: Entry) -> None:
        metrics = {metric["name"]: metric for metric in entry.evidence.get("metrics", ())}
        loss = metrics.get("loss", {}).get("verdict")
        unlabelled = plan.labels_min == 0 and loss == Verdict.INCONCLUSIVE and metrics["loss"]["value"] is None
        failed = [name for name, metric in metrics.items() if metric["verdict"] == Verdict.FAILED]
        found = entry.evidence.get("verdict")
        if found != Verdict.SUCCESSFUL or entry.evidence.get("missing") or failed:
            raise Violation(f"entry {entry.seq} moves traffic on a verdict {found}, missing or failed: {failed}")
        if loss != Verdict.SUCCESSFUL and not unlabelled:
            raise Violation(f"entry {entry.seq} moves traffic without evidence: loss {loss}")

    def _applied(self) -> None:
        for routes, head in self.ledger.applied[self._seen[0] :]:
            known = self._routes.get(routes.generation)
            if known is None or known[0] != routes:
                raise Violation(f"routes of generation {routes.generation} are in force that no entry decided")
            if known[1] > head:
                raise Violation(f"routes of generation {routes.generation} were in force before entry {known[1]}")
            if routes.generation < self._generation:
                raise Violation(f"routes ran back from generation {self._generation} to {routes.generation}")
            self._generation = routes.generation
        self._seen[0] = len(self.ledger.applied)

    def _started(self) -> None:
        for job, head in self.ledger.started[self._seen[1] :]:
            seq = self._trainings.get(job)
            if seq is None or seq > head:
                raise Violation(f"jobs: {job} was started before any entry asked for it")
        self._seen[1] = len(self.ledger.started)
        running = self.jobs.running()
        if len(running) > 1:
            raise Violation(f"jobs: {' and '.join(running)} run at once")

    def _traffic_moves(self) -> None:
        for tick, first, last in self.ledger.ticks[self._seen[2] :]:
            if not tick:
                continue
            moves = sum(first <= seq <= last for _, seq in self._routes.values())
            self._moved[tick] = self._moved.get(tick, 0) + moves
            if self._moved[tick] > 1:
                raise Violation(f"one tick changed the traffic {self._moved[tick]} times (entries {first} to {last})")
        self._seen[2] = len(self.ledger.ticks)

    def _sent(self) -> None:
        for notice in self.notifier.sent[self._seen[3] :]:
            if self.alerts.get(notice.id) != notice.title:
                raise Violation(f"messages: '{notice.title}' was sent and no entry says so")
        self._seen[3] = len(self.notifier.sent)

    def end(self, target: Routes | None, severity_min: Severity) -> None:
        """After the faults stopped and the controllers had some quiet ticks: the world is as the journal says.

        Raises:
            Violation: naming what did not come to rest.
        """
        broken = self.journal.verify()
        if broken is not None:
            raise Violation(f"hash chain: entry {broken} is not what was written")
        wanted = routes_of(self.status)
        if target != wanted:
            raise Violation(f"liveness: routes {target} are in force, {wanted} must be")
        rollout = self.status.rollout
        aliases = {"champion": self.status.champion, "challenger": None if rollout is None else rollout.version}
        found = self.registry.aliases()
        if found != {alias: version for alias, version in aliases.items() if version is not None}:
            raise Violation(f"liveness: aliases are {found}, must be {aliases}")
        told = {notice.id for notice in self.notifier.sent}
        lost = sorted(self._alerts(severity_min) - told)
        if lost:
            raise Violation(f"messages: {len(lost)} alerts were never sent, first {lost[0]} '{self.alerts[lost[0]]}'")
        training = self.status.training
        if training is not None and training.spec.job not in self.jobs.specs:
            raise Violation(f"liveness: training {training.spec.job} was decided and never started")
        self._same_from_the_beginning()

    def _alerts(self, severity_min: Severity) -> set[str]:
        order = list(Severity)
        return {
            f"{entry.seq}-{index}"
            for entry in self.journal.read()
            for index, data in enumerate(entry.actions)
            if data["type"] == "Alert" and order.index(Severity(data["severity"])) >= order.index(severity_min)
        }

    def _same_from_the_beginning(self) -> None:
        try:
            again = catch_up(Status(), self.journal.read())
        except TrimtabError as error:
            raise Violation(f"the journal cannot be read from its beginning: {error}") from error
        if again != self.status:
            raise Violation("the status from the journal's beginning is another than the one that grew with it")


def passed(record: VersionRecord) -> bool:
    """Whether it may serve, by the record alone."""
    return record.verdict is Verdict.SUCCESSFUL or bool(record.overridden_by)


def _questions(ask: act.AskApproval) -> list[tuple[str, str]]:
    """What a question is about, so that it is known when it comes again."""
    out = []
    for action in ask.actions:
        kind = str(action["type"])
        if kind == "StartRollout":
            out.append((kind, str(action["version"])))
        elif kind == "Promote":
            out.append((kind, str(action["rollout"])))
        elif kind == "StartTraining":
            out.append((kind, str(action["incident"])))
    return out
