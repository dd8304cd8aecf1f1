"""Starting: settings, the command line, and what is imported."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from trimtab.core.domain.errors import UserError
from trimtab.serving.__main__ import arguments, main
from trimtab.serving.settings import ServerSettings

HEAVY = ("mlflow", "dvc_data", "pandas", "sklearn", "matplotlib", "sqlalchemy", "scipy", "pydantic", "onnxruntime")


def test_the_server_imports_nothing_heavy() -> None:
    """A serving image has neither MLflow nor pandas nor scikit-learn."""
    code = f"import sys, trimtab.serving.__main__; print([m for m in {HEAVY} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_logging_rows_imports_no_pandas() -> None:
    """pyarrow brings pandas in at the first pa.array(); the writer must not."""
    code = """
import sys, tempfile, pathlib
from tests.serving.test_records import LogWriter, record, slot
writer = LogWriter(pathlib.Path(tempfile.mkdtemp()), "w", 0.05, 100)
writer.start()
writer.add(record(slot(), "a", [0.5, 3, True, None, None]))
writer.close()
print(writer.written, "pandas" in sys.modules)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "1 False"


def test_settings_name_every_problem() -> None:
    """Somebody mistypes two flags at once."""
    with pytest.raises(UserError) as raised:
        ServerSettings(Path("d"), Path("l"), port=70_000, workers=0)
    assert "port" in str(raised.value)
    assert "workers" in str(raised.value)


def test_the_command_line() -> None:
    """What `trimtab serve` and images pass on."""
    settings = arguments(["--deployment", "d", "--logs", "l", "--port", "0", "--durability", "sync", "--flush", "1"])
    assert (settings.port, settings.durability, settings.flush_s) == (0, "sync", 1.0)
    assert main(["--deployment", "d", "--logs", "l", "--port", "99999"]) == 2


def test_a_port_in_use_is_one_clear_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Another server runs already."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = str(sock.getsockname()[1])
        command = [
            sys.executable,
            "-m",
            "trimtab.serving",
            "--deployment",
            str(tmp_path),
            "--logs",
            str(tmp_path / "l"),
        ]
        out = subprocess.run([*command, "--port", port], capture_output=True, text=True, check=False, timeout=60)
    assert out.returncode == 1
    assert out.stderr.strip().splitlines()[-1] == f"cannot listen on 127.0.0.1:{port}: Address already in use"
    assert "Traceback" not in out.stderr
