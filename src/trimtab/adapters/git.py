"""The state of the user's code, through the git command."""

from __future__ import annotations

import subprocess
from pathlib import Path

from trimtab.core.domain.errors import ExternalError, UserError

_TIMEOUT_S = 60.0


class Git:
    """A working tree. Nothing is changed but by ``init``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def is_repository(self) -> bool:
        """Whether the directory is in a git working tree. False too where git is not installed."""
        try:
            found = self._ask("rev-parse", "--is-inside-work-tree")
        except UserError:
            return False
        return found.returncode == 0 and found.stdout.strip() == b"true"

    def commit(self) -> str | None:
        """The commit that is checked out, 40 hex digits; None before the first one."""
        found = self._ask("rev-parse", "--verify", "--quiet", "HEAD")
        return found.stdout.decode().strip() if found.returncode == 0 else None

    def is_dirty(self) -> bool:
        """Whether the tree differs from the commit: changed, staged, removed or new files that are not ignored.

        Pointers that a training run itself wrote (``*.dvc``) are data, not code.
        """
        return bool(self._tell("status", "--porcelain", "--untracked-files=all", "--", ".", ":(exclude,glob)**/*.dvc"))

    def diff(self) -> str:
        """What differs from the commit, as a patch that ``git apply`` takes, and the names of new files as comments.

        Before the first commit, what is staged.
        """
        base = ["HEAD"] if self.commit() else ["--cached"]
        patch = self._tell("diff", "--binary", "--no-color", "--no-ext-diff", *base, "--", ".").decode(errors="replace")
        new = self._tell("ls-files", "-z", "--others", "--exclude-standard").decode(errors="replace")
        names = "".join(f"# new file, not in the patch: {name}\n" for name in new.split("\0") if name)
        return names + patch

    def init(self) -> None:
        """Make a repository where there is none."""
        if not self.is_repository():
            self._tell("init", "--quiet")

    def _tell(self, *arguments: str) -> bytes:
        found = self._ask(*arguments)
        if found.returncode != 0:
            reason = found.stderr.decode(errors="replace").strip().splitlines()
            raise ExternalError(f"git {arguments[0]} in {self._root}: {reason[0] if reason else found.returncode}")
        return found.stdout

    def _ask(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        # --no-optional-locks: looking must not fight over the index with the person who works there.
        command = ["git", "--no-optional-locks", "-C", str(self._root), *arguments]
        try:
            return subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)
        except FileNotFoundError as error:
            raise UserError("git is not installed or not on the PATH; on Debian: apt-get install git") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ExternalError(f"git {arguments[0]} in {self._root}: {error}") from error
