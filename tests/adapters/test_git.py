"""The state of the code: what is recorded of a training run, in every state that a working tree has."""

import os
import subprocess
from pathlib import Path

import pytest

from trimtab.adapters.git import Git
from trimtab.core.domain.errors import ExternalError, UserError


def git(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    return subprocess.run(
        ["git", *who, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A repository with one commit, one tracked and one ignored file."""
    folder = tmp_path / "code"
    folder.mkdir()
    Git(folder).init()
    (folder / "model.py").write_text("depth = 6\n")
    (folder / ".gitignore").write_text("*.log\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    (folder / "run.log").write_text("ignored")
    return folder


def test_a_clean_tree(code: Path) -> None:
    """The best case: the commit says everything."""
    state = Git(code)
    assert state.is_repository()
    assert state.commit() == git(code, "rev-parse", "HEAD").strip()
    assert (state.is_dirty(), state.diff()) == (False, "")


def test_a_changed_tree_can_be_had_again_from_its_diff(code: Path, tmp_path: Path) -> None:
    """Somebody trains with an edit that is not committed; the version is reproduced from commit and diff."""
    (code / "model.py").write_text("depth = 8\n")
    (code / "icon.png").write_bytes(bytes(range(256)))
    git(code, "add", "icon.png")
    (code / "new.py").write_text("x = 1\n")
    state = Git(code)
    assert state.is_dirty()
    patch = state.diff()
    assert patch.startswith("# new file, not in the patch: new.py\n")
    (tmp_path / "state.diff").write_text(patch)
    git(tmp_path, "clone", "-q", str(code), "again")
    git(tmp_path / "again", "apply", "--binary", str(tmp_path / "state.diff"))
    assert (tmp_path / "again" / "model.py").read_text() == "depth = 8\n"
    assert (tmp_path / "again" / "icon.png").read_bytes() == bytes(range(256))


def test_a_new_file_makes_a_tree_dirty(code: Path) -> None:
    """A module that was never added is code too."""
    (code / "features.py").write_text("")
    assert Git(code).is_dirty()


def test_before_the_first_commit(tmp_path: Path) -> None:
    """`trimtab init` in a new folder, then `trimtab train` at once."""
    state = Git(tmp_path)
    state.init()
    state.init()
    (tmp_path / "model.py").write_text("depth = 6\n")
    git(tmp_path, "add", "model.py")
    assert (state.is_repository(), state.commit(), state.is_dirty()) == (True, None, True)
    assert "+depth = 6" in state.diff()


def test_outside_a_repository(tmp_path: Path) -> None:
    """A folder without git is fine; asking for its diff is not."""
    state = Git(tmp_path)
    assert (state.is_repository(), state.commit()) == (False, None)
    with pytest.raises(ExternalError, match="git status"):
        state.is_dirty()


def test_only_the_projects_own_folder_counts(code: Path) -> None:
    """The project is one folder of a large repository."""
    (code / "project").mkdir()
    (code / "model.py").write_text("depth = 9\n")
    state = Git(code / "project")
    assert (state.is_repository(), state.is_dirty(), state.diff()) == (True, False, "")


def test_without_git_the_message_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slim image without git."""
    monkeypatch.setenv("PATH", str(tmp_path))
    state = Git(tmp_path)
    assert not state.is_repository()
    with pytest.raises(UserError, match="apt-get install git"):
        state.init()
