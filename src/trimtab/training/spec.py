"""What a training job is asked to do. Plain values, written to ``jobs/<job>/spec.json`` by whoever starts the job."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from trimtab.core.domain.errors import UserError

Strategy = Literal["full", "sliding-window", "incremental", "recalibrate", "blend", "auto"]
"""``incremental`` goes on from the fitted champion with newer rows, ``recalibrate`` maps its scores, ``blend`` lets
registered versions answer together."""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A stretch of event time that was judged broken: its rows are neither trained on nor evaluated with."""

    since: float
    """First event time, seconds since the epoch; included."""
    until: float | None
    """Included; None: not over yet."""
    features: tuple[str, ...] = ()
    """The columns that were at fault; for the record (the whole row is left out)."""


@dataclass(frozen=True, slots=True)
class TrainSpec:
    """One training run, complete: the same spec on the same data gives the same rows."""

    job: str
    """Name of the job; the registry keeps one version per job."""
    trigger: str
    """Why: ``demand``, ``schedule``, ``drift``, ``performance``, …"""
    now: float
    """When the run was asked for, seconds since the epoch. Labels known later do not count."""
    strategy: Strategy = "full"
    window_s: float | None = None
    """Length of the sliding window in event time, seconds."""
    since: float | None = None
    """No row before this event time, e.g. the change point."""
    until: float | None = None
    """No row after this event time."""
    evaluate_from: float | None = None
    """Rows from this event time on are held out; None: the newest ``retraining.evaluation_share`` of them."""
    quarantines: tuple[Quarantine, ...] = ()
    champion: int | None = None
    """The version to compare with; None for the first."""
    actor: str = "controller"
    parent: int | None = None
    """With ``incremental`` and ``recalibrate``: the version that is continued or corrected, once it was looked up."""
    members: tuple[int, ...] = ()
    """With ``blend``: the versions that answer together."""
    weights: tuple[float, ...] = ()
    """With ``blend``: how much each member counts; empty: by the evidence."""
    retained: tuple[int, ...] = ()
    """Versions that the new one is blended with afterwards, where that gains; empty: it answers alone."""

    def __post_init__(self) -> None:
        if self.strategy not in get_args(Strategy):
            raise UserError(f"strategy '{self.strategy}' is not known; write one of {', '.join(get_args(Strategy))}")
        if self.strategy == "sliding-window" and not (self.window_s and self.window_s > 0):
            raise UserError(f"a sliding window needs window_s > 0, found {self.window_s}")
        if self.strategy == "blend":
            self._check_members()
        if self.since is not None and self.until is not None and self.since > self.until:
            raise UserError(f"since {self.since} lies after until {self.until}")

    def _check_members(self) -> None:
        found = ", ".join(map(str, self.members)) or "none"
        if len(set(self.members)) < 2 or len(set(self.members)) < len(self.members):
            raise UserError(f"a blend needs at least two different versions, found {found}")
        if self.weights and (len(self.weights) != len(self.members) or min(self.weights) <= 0):
            weights = ", ".join(map(str, self.weights))
            raise UserError(f"a blend needs one weight above 0 for each version; versions {found}, weights {weights}")


def to_json(spec: TrainSpec) -> dict[str, Any]:
    """Plain JSON of a spec."""
    return asdict(spec) | {"quarantines": [[q.since, q.until, list(q.features)] for q in spec.quarantines]}


def from_json(data: dict[str, Any]) -> TrainSpec:
    """The spec of its plain JSON.

    Raises:
        UserError: a field is unknown or missing, or its value cannot be.

    >>> spec = TrainSpec("t1", "demand", now=10.0, quarantines=(Quarantine(1.0, 2.0, ("temp",)),))
    >>> from_json(to_json(spec)) == spec
    True
    """
    known = {field.name for field in fields(TrainSpec)}
    if unknown := sorted(set(data) - known):
        raise UserError(f"training spec has unknown fields {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    if missing := sorted({"job", "trigger", "now"} - set(data)):
        raise UserError(f"training spec lacks {', '.join(missing)}")
    quarantines = tuple(_quarantine(item) for item in data.get("quarantines", ()))
    sequences: dict[str, Any] = {name: tuple(data[name]) for name in ("members", "weights", "retained") if name in data}
    return TrainSpec(**(data | {"now": float(data["now"]), "quarantines": quarantines} | sequences))


def _quarantine(item: Any) -> Quarantine:
    if isinstance(item, Quarantine):
        return item
    try:
        since, until, *rest = item
        return Quarantine(float(since), None if until is None else float(until), tuple(rest[0]) if rest else ())
    except (TypeError, ValueError) as error:
        raise UserError(f"a quarantine is [since, until, [features]], found {item!r}") from error
