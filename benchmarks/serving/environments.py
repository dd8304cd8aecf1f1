"""One virtual environment for each peer, outside the repository, made when it is first needed.

All have the scikit-learn and numpy of the environment that trained the model, so that the same model runs everywhere.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "fastapi": ("fastapi>=0.115", "uvicorn[standard]>=0.30"),
    "litserve": ("litserve>=0.2.10",),
    "bentoml": ("bentoml>=1.4",),
    "mlserver": ("mlserver>=1.7", "mlserver-sklearn>=1.7", "uvloop<0.22"),  # with a newer uvloop its workers crash
    "mlflow": ("mlflow>=3.10,<3.18",),
    "ray": ("ray[serve]>=2.50",),
}
MODEL = ("scikit-learn", "numpy", "joblib")


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/trimtab-benchmarks``, or under ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trimtab-benchmarks"


def python_of(name: str, cache: Path) -> Path:
    """The interpreter of a peer's environment; installs it when it is not there or was made for something else.

    Raises:
        SystemExit: it could not be installed; the installer's output has been shown.
    """
    wanted = [*(f"{each}=={metadata.version(each)}" for each in MODEL), *REQUIREMENTS[name]]
    digest = hashlib.sha256("\n".join([sys.version, *wanted]).encode()).hexdigest()
    home, stamp = cache / name, cache / name / "installed"
    python = home / "bin" / "python"
    if stamp.exists() and stamp.read_text() == digest:
        return python
    print(f"installing {name} into {home}: {' '.join(wanted)}", flush=True)
    shutil.rmtree(home, ignore_errors=True)
    uv = _uv()
    make = (
        [uv, "venv", "--quiet", "--python", sys.executable, str(home)] if uv else [sys.executable, "-m", "venv", home]
    )
    pip = [uv, "pip", "install", "--quiet", "--python", str(python)] if uv else [python, "-m", "pip", "install", "-q"]
    for command in (make, [*pip, *wanted]):
        if subprocess.run(command, check=False).returncode != 0:
            raise SystemExit(f"{name} could not be installed; leave it out with --without {name}")
    stamp.write_text(digest)
    return python


def version_of(name: str, cache: Path) -> str:
    """The installed version of the peer itself."""
    package = {"ray": "ray"}.get(name, name)
    code = f"from importlib.metadata import version; print(version('{package}'))"
    done = subprocess.run([python_of(name, cache), "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _uv() -> str | None:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")
