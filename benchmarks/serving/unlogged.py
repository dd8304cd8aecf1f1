"""The server with its log switched off, to show what logging costs: DEPLOYMENT PORT."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from unittest import mock

from trimtab.serving.record.writer import LogWriter
from trimtab.serving.run import run_worker
from trimtab.serving.scoring import scorer
from trimtab.serving.settings import ServerSettings

if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory() as logs,
        mock.patch.object(scorer, "_rows_block", lambda *_: None),  # noqa: PT008  a Mock remembers its calls
        mock.patch.object(LogWriter, "add", lambda *_: None),  # noqa: PT008
    ):
        run_worker(ServerSettings(Path(sys.argv[1]), Path(logs), port=int(sys.argv[2])), 0)
