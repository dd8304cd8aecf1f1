"""Latency and parity gates."""

from __future__ import annotations

import numpy as np

from trimtab.core.domain.verdict import Verdict
from trimtab.core.gates.latency import latency_gate, unmeasured
from trimtab.core.gates.parity import parity_gate


def test_a_quick_model_passes_with_its_figures() -> None:
    """The usual case: well under the limit."""
    result = latency_gate(np.random.default_rng(0).gamma(2.0, 1.0, 400), limit_ms=100.0)
    assert result.verdict is Verdict.SUCCESSFUL
    assert result.text.startswith("p95 ")
    assert "400 requests" in result.text
    assert result.unit == "ms"


def test_a_slow_model_fails() -> None:
    """A native forest of a thousand trees."""
    result = latency_gate(np.full(400, 250.0), limit_ms=100.0)
    assert result.verdict is Verdict.FAILED
    assert "p95 250.00 ms > 100 ms" in result.text


def test_a_slow_tail_around_the_limit_is_inconclusive() -> None:
    """One answer in twenty is slow on a busy machine: the sample cannot tell."""
    samples = np.r_[np.full(380, 5.0), np.full(20, 150.0)]
    assert latency_gate(samples, limit_ms=100.0).verdict is Verdict.INCONCLUSIVE


def test_too_few_requests_are_inconclusive() -> None:
    """A model so slow that only forty requests fitted into the time: a p95 cannot be bounded by them."""
    assert latency_gate(np.full(40, 35.0), limit_ms=100.0).verdict is Verdict.INCONCLUSIVE


def test_an_error_is_not_a_quick_answer() -> None:
    """The server refuses a row that the model was evaluated on."""
    result = latency_gate(np.full(399, 1.0), limit_ms=100.0, failures=1, failure="400 column 'temp' is missing")
    assert result.verdict is Verdict.FAILED
    assert result.text == "1 of 400 requests failed, the first with 400 column 'temp' is missing"


def test_what_could_not_be_measured_is_never_passed() -> None:
    """No server came up."""
    assert unmeasured("the server ended with code 1", 100.0).verdict is Verdict.INCONCLUSIVE
    assert latency_gate(np.array([]), limit_ms=100.0).verdict is Verdict.INCONCLUSIVE


def test_parity() -> None:
    """Equal to float rounding passes; a silent converter fault fails; nothing compared is no evidence; NaN fails."""
    assert parity_gate(difference=3e-7, rows=500, tolerance=1e-5, runtime="onnx").verdict is Verdict.SUCCESSFUL
    assert parity_gate(difference=0.15, rows=500, tolerance=1e-5, runtime="onnx").verdict is Verdict.FAILED
    assert parity_gate(difference=0.0, rows=0, tolerance=1e-5, runtime="onnx").verdict is Verdict.INCONCLUSIVE
    assert parity_gate(difference=float("nan"), rows=5, tolerance=1e-5, runtime="onnx").verdict is Verdict.FAILED
