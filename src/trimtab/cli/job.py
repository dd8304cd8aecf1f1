"""``python -m trimtab.cli.job PROJECT_FILE JOB``: the process of a training job, started by the loop.

Reads ``jobs/<job>/spec.json``, prints one line per step (its output is ``output.log``) and writes ``result.json`` last.
Exit code: 0 registered, 3 rejected by the gates, 2 the user must mend something, 1 a failure of ours or outside.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job that the arguments name."""
    from trimtab.core.domain.errors import TrimtabError, UserError
    from trimtab.training.job import run_job
    from trimtab.wiring import STATE, open_workspace

    arguments = list(sys.argv[1:] if argv is None else argv)
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m trimtab.cli.job PROJECT_FILE JOB\n")
        return 2
    project_file, job = Path(arguments[0]).absolute(), arguments[1]
    home = project_file.parent / STATE / "jobs" / job
    try:
        return run_job(lambda: open_workspace(project_file).services(), home, _say)
    except TrimtabError as error:
        _say(f"failed: {error}")
        return 2 if isinstance(error, UserError) else 1


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
