"""The reference and the schema say what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from trimtab.project import reference
from trimtab.project.load import parse
from trimtab.project.settings import Project

DOCS = Path(__file__).parents[2] / "docs"
HINT = "run: python -m trimtab.project.reference"


def test_the_reference_in_the_docs_is_up_to_date() -> None:
    assert (DOCS / reference.MARKDOWN).read_text(encoding="utf-8") == reference.markdown(), HINT


def test_the_schema_in_the_docs_is_up_to_date() -> None:
    assert json.loads((DOCS / reference.SCHEMA).read_text(encoding="utf-8")) == reference.schema(), HINT


def test_every_setting_says_what_it_is() -> None:
    for path, model in reference.sections():
        assert model.__doc__, path
        for name, field in model.model_fields.items():
            assert field.description, f"{path}.{name}"


def test_persisted_names_are_golden() -> None:
    """A renamed setting would break every project file there is: this list only grows."""
    names = {f"{path}.{name}".strip(".") for path, model in reference.sections() for name in model.model_fields}
    assert names >= {
        "name", "task", "data", "data.files", "data.time", "data.target", "data.positive", "data.label_time",
        "data.label_delay", "data.label_maturity", "data.entity", "data.slices", "data.ignore", "data.collect",
        "estimator.function", "estimator.parameters", "retraining.on", "retraining.every", "retraining.cooldown",
        "retraining.strategy", "retraining.window", "retraining.evaluation_share", "retraining.budget",
        "retraining.breaker", "gates.metric", "gates.performance.tolerance", "gates.performance.rows_min",
        "gates.latency.p95_ms", "gates.parity.tolerance", "rollout.strategy", "rollout.steps", "rollout.bake",
        "rollout.requests_min", "rollout.labels_min", "rollout.paired", "rollout.alpha", "rollout.margin",
        "rollout.longest", "rollout.on_longest", "rollout.guardrails.error_rate", "rollout.guardrails.p95_ms",
        "rollout.guardrails.invalid_rate", "rollout.guardrails.rate_margin", "rollout.watch", "rollout.keep",
        "monitoring.every", "monitoring.block", "monitoring.alpha", "monitoring.tolerance", "monitoring.rows_min",
        "response.mode", "serving.host", "serving.port", "serving.workers", "serving.durability", "serving.flush",
        "notification.urls", "notification.severity", "tracking.uri", "tracking.experiment", "clock",
        "console.host", "console.port", "rollout.disagreement_max", "rollout.score_shift_max",
    }  # fmt: skip


def _defaults(model: Any) -> dict[str, Any]:
    return model.model_dump(mode="json")


def test_the_defaults_of_the_reference_read_as_settings() -> None:
    """Somebody copies a default from the reference into the file: it must be taken."""
    base = {"name": "a", "task": "classification", "data": {"files": "a.parquet", "time": "t", "target": "y"}}
    project = parse(json.dumps(base))
    for section in ("gates", "monitoring", "response", "serving", "tracking", "rollout"):
        copied = {key: value for key, value in _defaults(getattr(project, section)).items() if value is not None}
        assert parse(json.dumps({**base, section: copied})) == project.model_copy(
            update={section: getattr(project, section)}
        )


@pytest.mark.parametrize("text", ["90s", "1d12h", "2w", "0.5s", "5 min", "0"])
def test_the_schema_takes_every_duration_that_the_loader_takes(text: str) -> None:
    pattern = reference.schema()["$defs"]["Rollout"]["properties"]["bake"]["pattern"]
    assert re.search(pattern, text)
    assert Project.model_validate(
        {"name": "a", "task": "regression", "data": {"files": "a", "time": "t", "target": "y", "label_delay": text}}
    )


def test_the_schema_refuses_unknown_settings() -> None:
    for name, section in reference.schema()["$defs"].items():
        assert section["additionalProperties"] is False, name


def test_the_terminal_reference_names_every_setting() -> None:
    shown = {f"{path}.{name}".strip(".") for path, lines in reference.plain() for name, _ in lines}
    assert {"rollout.steps", "data.files", "gates.latency.p95_ms", "clock"} <= shown
