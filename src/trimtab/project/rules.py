"""Settings that contradict each other, or that would have no effect beside another one.

A setting that nobody reads is a mistake waiting to be found at three in the morning, so it is an error. The rules look
at what was *written* (plain mappings, defaults left out), so that they also work on a file that has other errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.core.domain.errors import UserError
from trimtab.core.domain.times import parse_duration

Path = tuple[str | int, ...]
Written = Mapping[str, Any]

_METRICS = {
    "classification": ("log_loss", "brier", "accuracy", "f1", "auroc"),
    "regression": ("mae", "rmse"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One contradiction: where, what, and what to do."""

    path: Path
    message: str
    hint: str = ""


def contradictions(written: Any) -> list[Finding]:
    """All findings of all rules. Parts of the wrong type are passed over: they are reported where types are checked."""
    if not isinstance(written, Mapping):
        return []
    return [finding for rule in RULES for finding in rule(written)]


def _section(written: Written, name: str) -> Written:
    section = written.get(name)
    return section if isinstance(section, Mapping) else {}


def _label(written: Written) -> Iterator[Finding]:
    data = _section(written, "data")
    if data.get("label_time") is not None and "label_delay" in data:
        yield Finding(
            ("data", "label_delay"), "has no effect beside 'data.label_time'", "keep the one that is true of your data"
        )
    if data.get("label_time") is None and "label_maturity" in data:
        yield Finding(("data", "label_maturity"), "has no effect without 'data.label_time'")


def _columns(written: Written) -> Iterator[Finding]:
    data = _section(written, "data")
    roles = {role: data[role] for role in ("target", "time", "label_time", "entity") if isinstance(data.get(role), str)}
    seen: dict[str, str] = {}
    for role, column in roles.items():
        if column in seen and {role, seen[column]} != {"time", "label_time"}:
            yield Finding(("data", role), f"'{column}' is 'data.{seen[column]}' already")
        seen.setdefault(column, role)
    barred_from = {
        "ignore": (("target", "time"), "it is no feature anyway"),
        "slices": (("target", "label_time"), "it is not known when a request comes"),
    }
    for field, (barred, why) in barred_from.items():
        columns = data.get(field)
        for i, column in enumerate(columns if isinstance(columns, (list, tuple)) else []):
            taken = [role for role in barred if roles.get(role) == column]
            if taken:
                yield Finding(("data", field, i), f"'{column}' is 'data.{taken[0]}'", why)
            elif list(columns or ()).index(column) < i:
                yield Finding(("data", field, i), f"'{column}' stands twice")


def _positive(written: Written) -> Iterator[Finding]:
    if written.get("task") == "regression" and _section(written, "data").get("positive") is not None:
        yield Finding(("data", "positive"), "has no effect with task 'regression'")


def _metric(written: Written) -> Iterator[Finding]:
    metric, task = _section(written, "gates").get("metric"), written.get("task")
    fitting = _METRICS.get(task) if isinstance(task, str) else None
    other = {m for metrics in _METRICS.values() for m in metrics}
    if fitting and isinstance(metric, str) and metric in other and metric not in fitting:
        yield Finding(("gates", "metric"), f"'{metric}' does not fit task '{task}'", f"one of {', '.join(fitting)}")


def _triggers(written: Written) -> Iterator[Finding]:
    retraining = _section(written, "retraining")
    on = retraining.get("on", ("drift",))
    on = (on,) if isinstance(on, str) else on
    if not isinstance(on, (list, tuple)):
        return
    if not on:
        yield Finding(("retraining", "on"), "is empty", "write [manual] for trainings by hand only")
    if "manual" in on and len(on) > 1:
        yield Finding(
            ("retraining", "on", list(on).index("manual")),
            "'manual' has no effect beside others",
            "'trimtab train' is always possible",
        )
    if "schedule" in on and retraining.get("every") is None:
        yield Finding(("retraining",), "needs 'every' with 'on: schedule'", "e.g. every: 30d")
    if "schedule" not in on and retraining.get("every") is not None:
        yield Finding(
            ("retraining", "every"), "has no effect without 'schedule' in 'retraining.on'", "on: [drift, schedule]"
        )
    if "payoff" not in on:
        for field in ("price", "block"):
            if field in retraining:
                yield Finding(
                    ("retraining", field), "has no effect without 'payoff' in 'retraining.on'", "on: [drift, payoff]"
                )
    if list(on) == ["manual"]:
        for field in ("cooldown", "budget", "breaker"):
            if field in retraining:
                yield Finding(("retraining", field), "has no effect with 'on: [manual]'")


def _window(written: Written) -> Iterator[Finding]:
    retraining = _section(written, "retraining")
    strategy = retraining.get("strategy", "full")
    if strategy == "sliding-window" and retraining.get("window") is None:
        yield Finding(("retraining",), "needs 'window' with strategy 'sliding-window'", "e.g. window: 90d")
    if strategy in ("full", "incremental") and retraining.get("window") is not None:
        yield Finding(
            ("retraining", "window"), f"has no effect with strategy '{strategy}'", "strategy: sliding-window uses it"
        )


_UNUSED_IN = {
    "blue-green": ("steps", "paired", "labels_min", "disagreement_max", "score_shift_max"),
    "shadow": ("steps", "paired", "guardrails", "watch"),
}


def _rollout(written: Written) -> Iterator[Finding]:
    rollout = _section(written, "rollout")
    strategy = rollout.get("strategy", "canary")
    for field in _UNUSED_IN.get(strategy, ()) if isinstance(strategy, str) else ():
        if field in rollout:
            yield Finding(("rollout", field), f"has no effect with strategy '{strategy}'")
    bake, longest = _duration(rollout.get("bake", "1h")), _duration(rollout.get("longest", "14d"))
    if bake is not None and longest is not None and longest < bake:
        at = "longest" if "longest" in rollout else "bake"
        yield Finding(("rollout", at), "the whole rollout ('longest') may not be shorter than one step ('bake')")
    steps = rollout.get("steps")
    if isinstance(steps, (list, tuple)) and all(type(step) is int for step in steps):
        yield from _steps(list(steps))


def _duration(value: Any) -> float | None:
    """Seconds, or None for what is no duration (that is reported where types are checked)."""
    if isinstance(value, str):
        try:
            return parse_duration(value)
        except UserError:
            return None
    return float(value) if isinstance(value, (int, float)) else None


def _steps(steps: list[int]) -> Iterator[Finding]:
    if not steps:
        yield Finding(("rollout", "steps"), "is empty", "e.g. [5, 25, 50, 100]")
        return
    for i, step in enumerate(steps):
        if not 1 <= step <= 100:
            bound = "more than 100" if step > 100 else "less than 1"
            yield Finding(("rollout", "steps", i), f"{step} is {bound}", "steps are whole percents")
        elif i and step <= steps[i - 1]:
            yield Finding(("rollout", "steps", i), f"{step} is not more than the step before ({steps[i - 1]})")
    if steps[-1] < 100:
        yield Finding(("rollout", "steps"), f"ends at {steps[-1]}", "the last step is 100")


def _log(written: Written) -> Iterator[Finding]:
    log = _section(_section(written, "serving"), "log")
    data = _section(written, "data")
    collects = data.get("collect", True) is True
    entity = {"entity", data.get("entity")}
    if log.get("rows") is False:
        for name in ("sample", "hash", "omit"):
            if name in log:
                yield Finding(("serving", "log", name), "has no effect with 'rows: false'")
        if collects:
            yield Finding(
                ("serving", "log", "rows"),
                "without rows in the log nothing can be collected for training",
                "write 'data.collect: false', so that it is meant",
            )
    for name, words in (("hash", "stands hashed in"), ("omit", "is left out of")):
        columns = log.get(name)
        for i, column in enumerate([columns] if isinstance(columns, str) else columns or ()):
            if collects and column not in entity and column not in (data.get("ignore") or ()):
                yield Finding(
                    ("serving", "log", name, i),
                    f"'{column}' {words} the log, so production rows cannot be trained on with it",
                    "write 'data.collect: false', or put the column under 'data.ignore'",
                )
    if log.get("key_file") is not None and not log.get("hash"):
        yield Finding(("serving", "log", "key_file"), "has no effect without 'serving.log.hash'")
    age, longest = _duration(log.get("age")), _duration(_section(written, "rollout").get("longest", "14d"))
    if age is not None and longest is not None and age < longest:
        yield Finding(
            ("serving", "log", "age"),
            "is less than 'rollout.longest': a controller that is restarted would miss a rollout's first evidence",
        )


def _notification(written: Written) -> Iterator[Finding]:
    notification = _section(written, "notification")
    if "severity" in notification and not notification.get("urls"):
        yield Finding(("notification", "severity"), "has no effect without 'notification.urls'")


def _parameters(written: Written) -> Iterator[Finding]:
    for name in _section(_section(written, "estimator"), "parameters"):
        if not name.isidentifier():
            yield Finding(("estimator", "parameters", name), "is not a name of an argument")


Rule = Callable[[Written], Iterator[Finding]]
RULES: tuple[Rule, ...] = (
    _label,
    _columns,
    _positive,
    _metric,
    _triggers,
    _window,
    _rollout,
    _log,
    _notification,
    _parameters,
)
