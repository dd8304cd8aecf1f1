"""A training job: a spec comes in, a result goes out, and the exit code says which kind."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from trimtab.core.domain.errors import ExternalError, TrimtabError, UserError
from trimtab.training.pipeline import Progress, Services, run
from trimtab.training.spec import from_json

EXIT_REGISTERED, EXIT_FAILED, EXIT_USER, EXIT_REJECTED = 0, 1, 2, 3


def run_job(
    services: Services, spec: dict[str, Any], write_result: Callable[[dict[str, Any]], None], progress: Progress
) -> int:
    """Run the spec and write its result, whatever happens; the result is the last thing written.

    Args:
        spec: plain JSON of a ``TrainSpec``.
        write_result: puts the result where the loop looks, at once or not at all.
        progress: gets one line per step.

    Returns:
        0 registered, 3 rejected by the gates, 2 the user must mend something, 1 a failure of ours or outside.
    """
    try:
        result = run(from_json(spec), services, progress)
        code = EXIT_REGISTERED if result["outcome"] == "registered" else EXIT_REJECTED
    except TrimtabError as error:
        result, code = _failed(str(error), _kind(error)), EXIT_USER if isinstance(error, UserError) else EXIT_FAILED
    except Exception as error:  # noqa: BLE001 - the process's last line: a defect must reach the loop as a failed job
        progress(traceback.format_exc())
        result, code = _failed(f"{type(error).__name__}: {error}", "defect"), EXIT_FAILED
    if result["error"]:
        progress(f"failed: {result['error']}")
    write_result(result)
    return code


def _kind(error: TrimtabError) -> str:
    if isinstance(error, UserError):
        return "user"
    return "external" if isinstance(error, ExternalError) else "defect"


def _failed(error: str, fault: str) -> dict[str, Any]:
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
