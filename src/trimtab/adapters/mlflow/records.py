"""How a run and a version are written in MLflow's terms, and read back exactly."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Any

import msgspec

from trimtab.core.domain.errors import IntegrityError, InvariantError
from trimtab.core.domain.gate import VersionRecord
from trimtab.ports import RunLine, RunLog

RECORD = "trimtab.record"
"""Tag of a version (or of a run without a model): the ``VersionRecord`` as JSON, without version and run."""

MODEL = "logged_model"
"""Tag of a version: the id of MLflow's logged model that holds its package."""

_PARAMETER_CHARS_MAX = 6000
_TAG_CHARS_MAX = 8000
_RECORD_CHARS_MAX = 100_000
_BATCH = 100


def encode(record: VersionRecord) -> str:
    """The record as JSON.

    Raises:
        InvariantError: a number in it is not finite, or it is too long for a tag.
    """
    for name, value in record.metrics.items():
        if not math.isfinite(value):
            raise InvariantError(f"metric '{name}' of the version is {value}: a verdict says 'error' instead")
    text = msgspec.json.encode(record, enc_hook=_plain).decode()
    if decode(text, record.version, record.run_id) != record:
        raise InvariantError(
            "the version's record cannot be read back as it was: a gate's value or limit is not finite"
        )
    if len(text) > _RECORD_CHARS_MAX:
        raise InvariantError(f"the version's record has {len(text)} characters, at most {_RECORD_CHARS_MAX} are kept")
    return text


def decode(text: str, version: int, run_id: str) -> VersionRecord:
    """The record of its JSON.

    Raises:
        IntegrityError: it is not what ``encode`` wrote.
    """
    try:
        return with_ids(msgspec.json.decode(text, type=VersionRecord), version, run_id)
    except msgspec.DecodeError as error:
        raise IntegrityError(
            f"the record of version {version} (run {run_id}) was changed in MLflow: {error}"
        ) from error


def with_ids(record: VersionRecord, version: int, run_id: str) -> VersionRecord:
    """The record of a version that has its number."""
    return dataclasses.replace(record, version=version, run_id=run_id)


def from_version(version: Any) -> VersionRecord | None:
    """The record of one of MLflow's model versions; None when Trimtab did not make it."""
    text = version.tags.get(RECORD)
    return None if text is None else decode(text, int(version.version), str(version.run_id))


def version_tags(run: RunLog, draft: VersionRecord, model_id: str) -> dict[str, str]:
    """Tags of a version: the record, and what people filter by in MLflow."""
    return {
        **{key: value[:_TAG_CHARS_MAX] for key, value in run.tags.items()},
        "job": run.job,
        "manifest": draft.manifest,
        "verdict": str(run.verdict),
        "validation_status": "approved" if draft.deployable else "rejected",
        MODEL: model_id,
        RECORD: encode(draft),
    }


def run_tags(run: RunLog) -> dict[str, str]:
    """Tags of a run: its own, and MLflow's names for what its UI shows."""
    tags = {key: value[:_TAG_CHARS_MAX] for key, value in run.tags.items()}
    tags |= {"verdict": str(run.verdict), "mlflow.source.type": "JOB", "mlflow.source.name": "trimtab"}
    if run.tags.get("git.commit"):
        tags["mlflow.source.git.commit"] = run.tags["git.commit"]
    tags["mlflow.note.content"] = description(run)
    return tags


def description(run: RunLog) -> str:
    """What the gates said, as Markdown."""
    lines = [f"**{run.verdict}**"]
    lines += [f"- {result.gate}: {result.verdict}: {result.text}" for result in run.gates]
    return "\n".join(lines)[:_TAG_CHARS_MAX]


def log_run(client: Any, run_id: str, run: RunLog, model_id: str | None) -> None:
    """Parameters, metrics, the data's version and artifacts of a run."""
    from mlflow.entities import Metric, Param

    at = start_ms(run)
    parameters = [Param(key, value[:_PARAMETER_CHARS_MAX]) for key, value in texts(run.parameters).items()]
    metrics = [Metric(_key(name), value, at, 0, model_id=model_id) for name, value in sorted(run.metrics.items())]
    for start in range(0, len(parameters), _BATCH):
        client.log_batch(run_id, params=parameters[start : start + _BATCH])
    for start in range(0, len(metrics), _BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + _BATCH])
    _log_data(client, run_id, run)
    client.log_text(run_id, json.dumps(run.parameters, indent=2, default=str, sort_keys=True), "parameters.json")
    for path, folder in run.artifacts:
        if path.is_dir():
            client.log_artifacts(run_id, str(path), folder or None)
        else:
            client.log_artifact(run_id, str(path), folder or None)


def run_line(run: Any, version: Any) -> RunLine | None:
    """One of MLflow's runs as people compare them; None for one that was cut off half-way."""
    tags = dict(run.data.tags)
    failed = version is None
    if failed and RECORD not in tags:
        return None
    status = "failed" if failed else "registered" if tags.get("verdict") == "successful" else "rejected"
    return RunLine(
        run_id=str(run.info.run_id),
        name=str(run.info.run_name),
        at=run.info.start_time / 1000.0,
        status=status,
        version=None if failed else int(version.version),
        parameters=dict(run.data.params),
        metrics={name: float(value) for name, value in run.data.metrics.items()},
        tags={key: value for key, value in tags.items() if not key.startswith("mlflow.") and key != RECORD},
        error=tags.get("error", ""),
    )


def log_output(client: Any, run_id: str, model_id: str) -> None:
    """Link the logged model to the run that made it."""
    from mlflow.entities import LoggedModelOutput

    client.log_outputs(run_id, [LoggedModelOutput(model_id, 0)])


def texts(parameters: dict[str, Any]) -> dict[str, str]:
    """Parameters as MLflow keeps them: nested ones as JSON; the full ones stand in the artifact parameters.json."""
    return {
        _key(name): value if isinstance(value, str) else json.dumps(value, default=str, sort_keys=True)
        for name, value in sorted(parameters.items())
    }


def start_ms(run: RunLog) -> int:
    """When the run was asked for, by the loop's clock, in milliseconds."""
    return round(run.created_at * 1000)


def end_ms(run: RunLog) -> int:
    """Start and the metric ``duration_s`` where there is one: the loop's clock may be far from the machine's."""
    return start_ms(run) + round(1000 * max(run.metrics.get("duration_s", 0.0), 0.0))


def _log_data(client: Any, run_id: str, run: RunLog) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    version = run.tags.get("data.version")
    if not version:
        return
    pointer = run.tags.get("data.pointer", "")
    source = json.dumps({"uri": pointer, "md5": version})
    data = Dataset(name=pointer or "data", digest=version[:36], source_type="dvc", source=source)
    client.log_inputs(run_id, datasets=[DatasetInput(data, [InputTag("mlflow.data.context", "training")])])


def _plain(value: Any) -> Any:
    """A numpy scalar as the number it is."""
    import numpy as np

    if isinstance(value, np.generic):
        return value.item()
    raise InvariantError(f"the version's record holds a {type(value).__name__}, which JSON cannot")


def _key(name: str) -> str:
    """The name with what MLflow does not take in a key replaced."""
    return re.sub(r"[^\w\-./: ]", "_", name)[:250]
