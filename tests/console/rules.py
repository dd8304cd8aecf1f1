"""The rules by which Argo Rollouts and Flagger act on answers, as read in their sources (August and July 2026).

Argo: ``metricproviders/webmetric``, ``utils/evaluate``, ``assessMetricStatus`` in ``analysis``. Flagger:
``callWebhook`` (anything above 202 is a no), ``advanceCanary`` in ``scheduler``.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_COMPARISONS: Mapping[type, Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


class EvaluationError(Exception):
    """Argo could not evaluate the condition: the measurement is an error."""


def holds(condition: str, result: Any) -> bool:
    """A condition of expr-lang: fields, texts, numbers, nil, comparisons, ``&&``, ``||``, ``!``, ``isNil``,
    ``default``.
    """
    text = re.sub(r"!(?!=)", " not ", condition.replace("&&", " and ").replace("||", " or "))
    try:
        value = _value(ast.parse(re.sub(r"\bnil\b", "None", text).strip(), mode="eval").body, result)
    except (TypeError, KeyError, SyntaxError) as error:
        raise EvaluationError(str(error)) from error
    if not isinstance(value, bool):
        raise EvaluationError(f"expected bool, but got {type(value).__name__}")
    return value


def _value(node: ast.AST, result: Any) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id="result"):
            return result
        case ast.Attribute(value=owner, attr=name):
            found = _value(owner, result)
            if not isinstance(found, dict):
                raise EvaluationError(f"cannot fetch {name} from {type(found).__name__}")
            return found.get(name)  # a field that is not there is nil
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_value(part, result) for part in parts)
        case ast.BoolOp(values=parts):
            return any(_value(part, result) for part in parts)
        case ast.UnaryOp(op=ast.Not(), operand=part):
            return not _value(part, result)
        case ast.Compare(left=left, ops=[sign], comparators=[right]):
            return _COMPARISONS[type(sign)](_value(left, result), _value(right, result))
        case ast.Call(func=ast.Name(id="isNil"), args=[part]):
            return _value(part, result) is None
        case ast.Call(func=ast.Name(id="default"), args=[part, other]):
            found = _value(part, result)
            return _value(other, result) if found is None else found
    raise EvaluationError(f"'{ast.unparse(node)}' is not covered here")


def measured(metric: Mapping[str, Any], code: int, result: Any) -> str:
    """The phase of one measurement of a web metric."""
    if not 200 <= code < 300:
        return "Error"
    try:
        failed, successful = holds(metric["failureCondition"], result), holds(metric["successCondition"], result)
    except EvaluationError:
        return "Error"
    return "Failed" if failed else "Successful" if successful else "Inconclusive"


@dataclass
class AnalysisRun:
    """A metric over its measurements."""

    metric: Mapping[str, Any]
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("Failed", "Inconclusive", "Successful"), 0))
    errors_in_a_row: int = 0
    successes_in_a_row: int = 0

    def take(self, phase: str) -> str:
        """One more measurement; the phase of the run after it."""
        self.errors_in_a_row = self.errors_in_a_row + 1 if phase == "Error" else 0
        self.successes_in_a_row = self.successes_in_a_row + 1 if phase == "Successful" else 0
        if phase != "Error":
            self.counts[phase] += 1
        metric, count = self.metric, sum(self.counts.values())
        if self.errors_in_a_row > metric.get("consecutiveErrorLimit", 4):
            return "Error"
        if self.counts["Inconclusive"] > metric.get("inconclusiveLimit", 0):
            return "Inconclusive"
        if self.counts["Failed"] > metric.get("failureLimit", 0):
            return "Failed"
        wanted = metric.get("consecutiveSuccessLimit", 0)
        if wanted and self.successes_in_a_row >= wanted:
            return "Successful"
        if count >= metric.get("count", 1 if "interval" not in metric else 10**9):
            return "Inconclusive" if wanted else "Successful"
        return "Running"


@dataclass
class Canary:
    """A Flagger canary; ``call`` answers a webhook with a status code, None where nobody answers."""

    analysis: Mapping[str, Any]
    call: Callable[[Mapping[str, Any]], int | None]
    phase: str = "Progressing"
    failed_checks: int = 0
    iterations: int = 0

    def _yes(self, kind: str) -> list[bool]:
        codes = [self.call(hook) for hook in self.analysis["webhooks"] if hook["type"] == kind]
        return [code is not None and code <= 202 for code in codes]

    def advance(self) -> str:
        """One interval; the phase after it."""
        if self.phase not in ("Progressing", "Waiting", "WaitingPromotion"):
            return self.phase
        if any(self._yes("rollback")) or self.failed_checks >= self.analysis["threshold"]:
            self.phase = "Failed"
        elif self.iterations == 0 and not all(self._yes("confirm-rollout")):
            self.phase = "Waiting"
        elif not all(self._yes("pre-rollout" if self.iterations == 0 else "rollout")):
            self.failed_checks += 1
        elif self.iterations < self.analysis["iterations"]:
            self.phase, self.iterations = "Progressing", self.iterations + 1
        else:
            self.phase = "Succeeded" if all(self._yes("confirm-promotion")) else "WaitingPromotion"
        return self.phase
