"""What a run was made from besides data: the code with its uncommitted changes, and the exact environment."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from trimtab.core.domain.errors import ExternalError

DIFF_BYTES_MAX = 2_000_000
_TEXT = frozenset({".py", ".yaml", ".yml", ".toml", ".cfg", ".txt", ".sql"})


@dataclass(frozen=True, slots=True)
class CodeState:
    """The user's code as git sees it."""

    commit: str | None = None
    """None outside of a git repository and before the first commit."""
    dirty: bool = False
    """Whether files differ from the commit; pointers that Trimtab writes itself (``.dvc``) do not count."""
    diff: str = ""
    """The changes, new code files included; cut off after two megabytes."""


def git_state(root: Path) -> CodeState:
    """The state of the repository that ``root`` lies in.

    Raises:
        ExternalError: there is a repository and git cannot read it.
    """
    if not any((folder / ".git").exists() for folder in (root, *root.parents)):
        return CodeState()
    try:
        status = _git(root, "status", "--porcelain", "--untracked-files=all", "-z")
    except FileNotFoundError:
        raise ExternalError(f"{root} is a git repository, but there is no git command") from None
    entries = [entry for entry in status.split("\0") if len(entry) > 3 and not _own(entry[3:])]
    has_commit = _git_ok(root, "rev-parse", "--verify", "--quiet", "HEAD")
    commit = _git(root, "rev-parse", "HEAD").strip() if has_commit else None
    diff = _git(root, "diff", "HEAD", "--no-ext-diff") if entries and has_commit else ""
    top = Path(_git(root, "rev-parse", "--show-toplevel").strip())
    for entry in entries:
        path = top / entry[3:]
        if entry.startswith("??") and path.suffix in _TEXT and path.is_file() and len(diff) < DIFF_BYTES_MAX:
            diff += f"\n--- /dev/null\n+++ b/{entry[3:]}\n" + _added(path)
    return CodeState(commit, bool(entries), diff[:DIFF_BYTES_MAX])


def _own(name: str) -> bool:
    return name.endswith((".dvc", "data/.gitignore")) or "data/snapshots/" in name


def _added(path: Path) -> str:
    text = path.read_text(encoding="utf-8", errors="replace")
    return "".join(f"+{line}\n" for line in text.splitlines())


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False)
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise ExternalError(f"git {arguments[0]} in {root} failed: {words[0] if words else done.returncode}")
    return done.stdout.decode(errors="replace")


def _git_ok(root: Path, *arguments: str) -> bool:
    return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False).returncode == 0


def environment() -> str:
    """Exact versions of every installed distribution, in the form of a requirements file, one a line."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        name, version = distribution.metadata["Name"], distribution.version
        if name:
            found.setdefault(name.lower().replace("_", "-"), f"{name}=={version}")
    lines = [f"# Python {platform.python_version()}", *(found[name] for name in sorted(found))]
    return "\n".join(lines) + "\n"
