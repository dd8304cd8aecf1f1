"""The server with its log switched off, to show what logging costs: DEPLOYMENT PORT."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from trimtab.serving.log import LogWriter
from trimtab.serving.run import run_worker
from trimtab.serving.scoring import Scorer
from trimtab.serving.settings import ServerSettings

if __name__ == "__main__":
    Scorer._record = lambda *_: None  # type: ignore[method-assign]
    LogWriter.add = lambda *_: None  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as logs:
        run_worker(ServerSettings(Path(sys.argv[1]), Path(logs), port=int(sys.argv[2])), 0)
