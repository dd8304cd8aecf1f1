"""The process of a job: ``python -m trimtab.cli.job PROJECT_FILE JOB``, started by the controller, never by hand.

It reads its spec, trains, and leaves a result; whatever goes wrong becomes a result too, so that the loop can say why.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trimtab.wiring import Workspace


def main(argv: Sequence[str] | None = None) -> int:
    """0 when there is a result to read, whatever it says; 2 for a wrong call."""
    words = list(sys.argv[1:] if argv is None else argv)
    if len(words) != 2:
        sys.stderr.write("usage: python -m trimtab.cli.job PROJECT_FILE JOB\n")
        return 2
    from trimtab.wiring import open_workspace

    workspace = open_workspace(Path(words[0]))
    workspace.finish_job(words[1], attempt(workspace, words[1]))
    return 0


def attempt(workspace: Workspace, job: str) -> dict[str, Any]:
    """The job's result: what training returned, or ``failed`` and why."""
    from trimtab.core.domain.errors import TrimtabError
    from trimtab.training.pipeline import run
    from trimtab.training.spec import from_json

    try:
        return run(from_json(workspace.job_spec(job)), workspace.services(), _say)
    except TrimtabError as error:
        return _failed(str(error))
    except Exception as error:  # noqa: BLE001  a defect must end as a result too: a job without one counts as lost
        traceback.print_exc()
        return _failed(f"{type(error).__name__}: {error}")


def _failed(why: str) -> dict[str, Any]:
    sys.stderr.write(f"failed: {why}\n")
    return {"outcome": "failed", "version": None, "record": None, "gates": [], "error": why}


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
