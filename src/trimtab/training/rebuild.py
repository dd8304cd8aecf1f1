"""Putting a run's surroundings back: code from git, and the environment from its exact versions."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

from trimtab.core.domain.errors import ExternalError
from trimtab.project.environment import environment as variables_of_process

INSTALL_S = 1800.0
READY = "ready"
_OURS = "trimtab"


def pins(requirements: str) -> dict[str, str]:
    """Versions by name of a requirements file of exact versions; Trimtab itself left out.

    >>> pins("# Python 3.11.2\\nNumpy==2.0.0\\ntrimtab==0.1.0\\n")
    {'numpy': '2.0.0'}
    """
    found = {}
    for line in requirements.splitlines():
        name, sign, version = line.partition("#")[0].strip().partition("==")
        if sign and name.strip().lower() != _OURS:
            found[name.strip().lower().replace("_", "-")] = version.strip()
    return found


def environment(requirements: str, folder: Path, progress: Callable[[str], None]) -> Path:
    """A virtual environment with the exact versions, made once under ``folder``; its interpreter.

    By uv where it is there, else by pip. Trimtab is not installed in it: this one's code is used.

    Raises:
        ExternalError: a version cannot be installed any more; the installer's words.
    """
    wanted = "".join(f"{name}=={version}\n" for name, version in sorted(pins(requirements).items()))
    home = folder / hashlib.sha256((sys.version.split()[0] + wanted).encode()).hexdigest()[:16]
    python = home / "bin" / "python"
    if (home / READY).exists():
        return python
    shutil.rmtree(home, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    listed = folder / f"{home.name}.txt"
    listed.write_text(wanted, encoding="utf-8")
    uv = shutil.which("uv") or _beside("uv")
    progress(f"installing {len(wanted.splitlines())} packages with {'uv' if uv else 'pip'}")
    if uv:
        _install([uv, "venv", "--quiet", "--python", sys.executable, str(home)])
        _install([uv, "pip", "install", "--quiet", "--no-deps", "--python", str(python), "-r", str(listed)])
    else:
        _install([sys.executable, "-m", "venv", str(home)])
        _install([str(python), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(listed)])
    (home / READY).touch()
    return python


def _beside(name: str) -> str | None:
    path = Path(sys.executable).parent / name
    return str(path) if path.exists() else None


def _install(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ExternalError(f"the environment cannot be rebuilt: {error}; --no-env trains in this one") from error
    if done.returncode:
        words = " ".join(done.stderr.split())[-400:]
        raise ExternalError(f"the environment cannot be rebuilt: {words}; --no-env trains in this one")


def importable(work: Path) -> Path:
    """A folder that holds a link to this Trimtab and nothing else, for the module path of another environment."""
    home = work / "trimtab-path"
    home.mkdir(exist_ok=True)
    link = home / _OURS
    if not link.exists():
        link.symlink_to(Path(__file__).resolve().parents[1], target_is_directory=True)
    return home


def variables(home: Path) -> Mapping[str, str]:
    """The variables of this process, with Trimtab importable from ``home``."""
    return {**variables_of_process(), "PYTHONPATH": str(home), "PYTHONDONTWRITEBYTECODE": "1"}


def checkout(root: Path, commit: str, to: Path) -> bool:
    """Write the project's files of a commit to ``to``; False where git does not have it, or none of them."""
    done = _git(root, "archive", "--format=tar", commit, "--", ".")
    if done is None or not done:
        return False
    with tarfile.open(fileobj=io.BytesIO(done)) as archive:
        members = [member for member in archive.getmembers() if member.isfile()]
        if not members:
            return False
        archive.extractall(to, members=members, filter="data")
    return True


def apply(root: Path, patch: Path, to: Path) -> bool:
    """Apply a run's uncommitted changes to what ``checkout`` wrote; False where they touch nothing of the project."""
    prefix = (_git(root, "rev-parse", "--show-prefix") or b"").decode().strip().rstrip("/")
    depth = 1 + (len(prefix.split("/")) if prefix else 0)
    text = patch.read_text(encoding="utf-8")
    if "diff --git" not in text:
        return False
    command = ["git", "apply", f"-p{depth}", str(patch.resolve())]
    # In a repository git would take the patch's paths from its top and silently pass over these files.
    outside = {**variables_of_process(), "GIT_CEILING_DIRECTORIES": str(to.resolve().parent)}
    try:
        done = subprocess.run(command, cwd=to, env=outside, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _git(root: Path, *arguments: str) -> bytes | None:
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):  # no git here: the run's own files will do
        return None
    return done.stdout if done.returncode == 0 else None
