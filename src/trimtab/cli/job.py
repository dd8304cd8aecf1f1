"""The process of a job: ``python -m trimtab.cli.job PROJECT_FILE JOB``, started by the controller, never by hand.

It reads its spec, trains, and leaves a result; whatever goes wrong becomes a result too, so that the loop can say why.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """0 when there is a result to read, whatever it says; 2 for a wrong call or no such job."""
    words = list(sys.argv[1:] if argv is None else argv)
    if len(words) != 2:
        sys.stderr.write("usage: python -m trimtab.cli.job PROJECT_FILE JOB\n")
        return 2
    from trimtab.core.domain.errors import NotFoundError
    from trimtab.training.job import run_job
    from trimtab.wiring import STATE, note_job, open_workspace

    project_file, job = Path(words[0]).absolute(), words[1]
    home = project_file.parent / STATE / "jobs" / job
    if home.is_dir():
        note_job(home)
    try:
        run_job(lambda: open_workspace(project_file).services(), home, _say)
    except NotFoundError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _say(text: str) -> None:
    stream = sys.stderr if text.startswith("failed: ") else sys.stdout
    with contextlib.suppress(BrokenPipeError):  # who started it is gone; the result counts
        stream.write(f"{text}\n")
        stream.flush()


if __name__ == "__main__":
    sys.exit(main())
