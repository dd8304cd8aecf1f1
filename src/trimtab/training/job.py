"""A training job: ``jobs/<job>/spec.json`` goes in, ``result.json`` comes out, and the exit code says which kind."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trimtab.core.domain.errors import ExternalError, IntegrityError, NotFoundError, TrimtabError, UserError
from trimtab.training import losses, written
from trimtab.training.files import write_bytes
from trimtab.training.pipeline import Progress, Services, run
from trimtab.training.spec import TrainSpec, from_json

EXIT_DONE, EXIT_FAILED, EXIT_USER, EXIT_REJECTED = 0, 1, 2, 3
SPEC, RESULT = "spec.json", "result.json"


def run_job(services: Callable[[], Services], home: Path, progress: Progress) -> int:
    """Run the spec in the job's directory and write its result, whatever happens; the result is the last thing written.

    Args:
        services: opens the project; what it raises becomes the result too.
        home: ``jobs/<job>``.
        progress: gets one line per step.

    Returns:
        0 registered or measured, 3 rejected by the gates, 2 the user must mend something, 1 a failure of ours or
        outside.

    Raises:
        NotFoundError: there is no such job.
    """
    if not home.is_dir():
        jobs = ", ".join(sorted(path.name for path in home.parent.glob("*") if path.is_dir())) or "none"
        raise NotFoundError(f"there is no job '{home.name}' in {home.parent}; there are {jobs}")
    opened: list[Services] = []
    try:
        work = _work(read_spec(home))
        opened.append(services())
        result = work(opened[0], progress)
        code = EXIT_REJECTED if result["outcome"] == "rejected" else EXIT_DONE
    except TrimtabError as error:
        result, code = failed(str(error), fault_of(error)), EXIT_USER if isinstance(error, UserError) else EXIT_FAILED
    except Exception as error:  # noqa: BLE001 - the process's last line: a defect must reach the loop as a failed job
        progress(traceback.format_exc())
        result, code = failed(f"{type(error).__name__}: {error}", "defect"), EXIT_FAILED
    if result["error"]:
        progress(f"failed: {result['error']}")
        if opened and read_spec(home).get("kind") != losses.KIND:
            log_failure(home, opened[0], result["error"], result["fault"], progress)
    write_bytes(home / RESULT, json.dumps(result, indent=2).encode() + b"\n")
    return code


def _work(asked: dict[str, Any]) -> Callable[[Services, Progress], dict[str, Any]]:
    """What a job does, by its spec: it trains, or measures what retained versions lose."""
    if asked.get("kind") == losses.KIND:
        measuring = losses.from_json(asked)
        return lambda services, progress: losses.measure(measuring, services, progress)
    training = from_json(asked)
    return lambda services, progress: run(training, services, progress)


def run_and_record(spec: TrainSpec, services: Services, progress: Progress) -> dict[str, Any]:
    """``pipeline.run``; a run that fails is told to the tracking before its error goes on.

    Raises:
        UserError: as ``run``.
        ExternalError: as ``run``.
    """
    try:
        return run(spec, services, progress)
    except TrimtabError as error:
        try:
            record_failure(spec, services, str(error), fault_of(error))
        except TrimtabError as second:
            progress(f"the failure could not be recorded: {second}")
        raise


def log_failure(home: Path, services: Services, error: str, fault: str, progress: Progress) -> None:
    """Tell the tracking of a job that came to no model. Where that fails too, the job's own result is what is left."""
    try:
        record_failure(from_json(read_spec(home)), services, error, fault)
    except TrimtabError as second:
        progress(f"the failure could not be recorded: {second}")


def record_failure(spec: TrainSpec, services: Services, error: str, fault: str) -> None:
    """Log a run that failed, with its reason.

    Raises:
        ExternalError: the tracking failed.
    """
    services.registry.register(written.failed_log(spec, services.project, error, fault))


def fault_of(error: TrimtabError) -> str:
    """Whose fault it is: ``user``, ``external`` or ``defect``."""
    if isinstance(error, UserError):
        return "user"
    return "external" if isinstance(error, ExternalError) else "defect"


def read_spec(home: Path) -> dict[str, Any]:
    """The job's spec as plain JSON.

    Raises:
        IntegrityError: it is not there or no JSON object.
    """
    path = home / SPEC
    try:
        spec = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{path} cannot be read: {error}") from error
    if not isinstance(spec, dict):
        raise IntegrityError(f"{path} holds {type(spec).__name__}, not an object")
    return spec


def failed(error: str, fault: str) -> dict[str, Any]:
    """The result of a run that came to no version. ``fault``: ``user``, ``external`` or ``defect``."""
    return {
        "outcome": "failed",
        "version": None,
        "record": None,
        "gates": [],
        "rows": {},
        "seconds": {},
        "error": error,
        "fault": fault,
    }
