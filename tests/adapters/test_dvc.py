"""Data versions, judged by the real dvc: it finds them clean, restores, pushes and pulls them."""

import contextlib
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from trimtab.adapters.dvc import DvcStore
from trimtab.adapters.dvc.objects import Objects
from trimtab.core.domain.errors import DataError, ExternalError, IntegrityError, NotFoundError, UserError

ENVIRONMENT = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}


def dvc(project: Path, *arguments: str) -> int:
    """The exit code of the real command, in this process to save its start."""
    from dvc.cli import main

    with contextlib.chdir(project):
        return int(main([*arguments, "-q"]))


def git(project: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=project, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a directory and a file of data."""
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    home = tmp_path / "project"
    (home / "data" / "sub").mkdir(parents=True)
    (home / "data" / "a.csv").write_text("a\n1\n")
    (home / "data" / "sub" / "b é.csv").write_text("b\n2\n")
    (home / "day 1.parquet").write_bytes(bytes(range(256)) * 1000)
    return home


@pytest.fixture
def store(project: Path) -> DvcStore:
    return DvcStore(project)


@pytest.mark.parametrize("with_git", [True, False], ids=["in a git repository", "without git"])
def test_the_real_dvc_takes_what_we_write(project: Path, tmp_path: Path, with_git: bool) -> None:
    """A project is initialised and trained in; then somebody uses dvc on it, here and on another machine."""
    if with_git:
        git(project, "init", "-q")
    store = DvcStore(project)
    store.ensure_initialised()
    directory, file = store.snapshot(Path("data")), store.snapshot(project / "day 1.parquet")
    assert (directory.files, directory.size, directory.pointer) == (2, 8, "data.dvc")
    assert (file.files, file.size, file.pointer) == (1, 256_000, "day 1.parquet.dvc")
    assert file.digest == hashlib.md5((project / "day 1.parquet").read_bytes()).hexdigest()
    assert dvc(project, "status") == 0
    written = (project / "data.dvc").read_bytes(), (project / "day 1.parquet.dvc").read_bytes()
    assert dvc(project, "add", "data", "day 1.parquet") == 0
    assert written == ((project / "data.dvc").read_bytes(), (project / "day 1.parquet.dvc").read_bytes())
    if with_git:
        untracked = git(project, "status", "--porcelain", "--untracked-files=all")
        assert "data/a.csv" not in untracked
        assert "cache" not in untracked
    shutil.rmtree(project / "data")
    assert dvc(project, "remote", "add", "-d", "shared", str(tmp_path / "remote")) == 0
    assert dvc(project, "push") == 0
    shutil.rmtree(project / ".dvc" / "cache")
    assert dvc(project, "pull") == 0
    assert (project / "data" / "sub" / "b é.csv").read_text() == "b\n2\n"
    store.restore(directory, tmp_path / "restored")
    assert (tmp_path / "restored" / "a.csv").read_text() == "a\n1\n"


def test_changed_data_are_a_new_version_and_the_old_one_comes_back(project: Path, store: DvcStore) -> None:
    """The data grow; an old version is trained again from its record."""
    first = store.snapshot(Path("data"))
    (project / "data" / "a.csv").write_text("a\n1\n2\n")
    second = store.snapshot(Path("data"))
    assert second.digest != first.digest
    assert store.snapshot(Path("data")) == second
    store.restore(first, project / "data")
    assert store.snapshot(Path("data")) == first
    store.restore(second, project / "old" / "data")
    assert (project / "old" / "data" / "a.csv").read_text() == "a\n1\n2\n"
    assert not [path.name for path in project.iterdir() if path.name.startswith(".data")]


def test_the_users_files_stay_as_they_were(project: Path, store: DvcStore) -> None:
    """A snapshot must not make a file read-only, move it, or tie it to the cache."""
    file = project / "day 1.parquet"
    before = file.stat()
    version = store.snapshot(file)
    after = file.stat()
    kept = ("st_ino", "st_mode", "st_mtime_ns", "st_nlink")
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
    stored = project / ".dvc" / "cache" / "files" / "md5" / version.digest[:2] / version.digest[2:]
    assert stored.stat().st_mode & 0o777 == 0o444
    file.write_bytes(b"new")
    store.restore(version, project / "copy")
    assert (project / "copy").stat().st_size == 256_000
    assert (project / "copy").stat().st_mode & 0o200


def test_unchanged_files_are_not_read_again(project: Path, store: DvcStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A retraining every hour on the same hundred gigabytes."""
    first = store.snapshot(Path("data"))
    reads: list[Path] = []
    real = Objects._store
    monkeypatch.setattr(Objects, "_store", lambda self, path: reads.append(path) or real(self, path))
    assert DvcStore(project).snapshot(Path("data")) == first
    assert reads == []
    (project / "data" / "a.csv").write_text("new")
    DvcStore(project).snapshot(Path("data"))
    assert reads == [project / "data" / "a.csv"]


def test_a_cache_that_was_emptied_is_filled_again(project: Path, store: DvcStore) -> None:
    """`dvc gc` removed what is remembered as stored; a damaged memory of hashes is only a slower start."""
    version = store.snapshot(Path("data"))
    shutil.rmtree(project / ".dvc" / "cache")
    assert store.snapshot(Path("data")) == version
    (project / ".dvc" / "tmp" / "trimtab-hashes.json").write_text("{")
    assert store.snapshot(Path("data")) == version
    store.restore(version, project / "copy")


def test_links_as_the_cache_is_set_to(project: Path, store: DvcStore) -> None:
    """A team set `cache.type` to hardlink and shares a cache: then a file is stored without a copy, as dvc does."""
    store.ensure_initialised()
    (project / ".dvc" / "config.local").write_text(
        "[cache]\n    dir = ../../shared\n    type = hardlink,copy\n['remote \"x\"']\n    url = /x\n"
    )
    version = store.snapshot(Path("day 1.parquet"))
    stored = project.parent / "shared" / "files" / "md5" / version.digest[:2] / version.digest[2:]
    assert stored.samefile(project / "day 1.parquet")
    assert not (project / ".dvc" / "cache").exists()


def test_what_people_wrote_into_a_pointer_stays(project: Path, store: DvcStore) -> None:
    """Somebody described the data."""
    store.snapshot(Path("data"))
    pointer = project / "data.dvc"
    pointer.write_text(
        "# from the warehouse\n" + pointer.read_text() + "  desc: flights out of New York\nmeta:\n  owner: Zoë\n"
    )
    (project / "data" / "a.csv").write_text("new")
    version = store.snapshot(Path("data"))
    text = pointer.read_text()
    assert version.digest in text
    for kept in ("# from the warehouse", "desc: flights out of New York", "owner: Zoë", "path: data"):
        assert kept in text


def test_ignored_files_are_left_out_as_dvc_does(project: Path, store: DvcStore) -> None:
    """The directory also has notes and a checkout's leftovers."""
    clean = store.snapshot(Path("data"))
    (project / "data" / "notes.tmp").write_text("x")
    (project / "data" / ".git").mkdir()
    (project / "data" / ".git" / "HEAD").write_text("x")
    (project / ".dvcignore").write_text("# ours\n*.tmp\n")
    assert store.snapshot(Path("data")) == clean
    assert dvc(project, "status") == 0
    (project / "data" / "notes.csv").write_text("x")
    assert dvc(project, "status") == 1


def test_data_that_another_pointer_tracks_get_no_second_one(project: Path, store: DvcStore) -> None:
    """The user did `dvc add data`; the project file names one file in it. DVC refuses overlapping outputs."""
    store.snapshot(Path("data"))
    inner = store.snapshot(Path("data/a.csv"))
    assert inner.pointer == "data.dvc"
    assert not (project / "data" / "a.csv.dvc").exists()
    store.restore(inner, project / "copy.csv")
    (project / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  load:\n    cmd: x\n    outs:\n    - path: day 1.parquet\n"
    )
    assert store.snapshot(Path("day 1.parquet")).pointer == "dvc.lock"


def test_a_directory_with_a_pointer_inside_is_refused(project: Path, store: DvcStore) -> None:
    """The other way round: a part is tracked already."""
    store.snapshot(Path("data/a.csv"))
    with pytest.raises(DataError, match=r"a\.csv\.dvc inside it"):
        store.snapshot(Path("data"))


def test_a_project_inside_a_dvc_repository_uses_it(project: Path) -> None:
    """A monorepo with dvc at its root."""
    DvcStore(project).ensure_initialised()
    (project / "models" / "late").mkdir(parents=True)
    inner = DvcStore(project / "models" / "late")
    inner.ensure_initialised()
    version = inner.snapshot(project / "day 1.parquet")
    assert version.pointer == "../../day 1.parquet.dvc"
    assert not (project / "models" / "late" / ".dvc").exists()


def test_the_ignore_file_keeps_its_lines(project: Path) -> None:
    """The user has a .gitignore without a last line end, and names with signs in them."""
    git(project, "init", "-q")
    (project / ".gitignore").write_text("*.pyc\n/data")
    (project / "day[1]*.csv").write_text("x")
    store = DvcStore(project)
    for name in ("data", "day[1]*.csv", "day[1]*.csv"):
        store.snapshot(Path(name))
    assert (project / ".gitignore").read_text() == "*.pyc\n/data\n/day\\[1\\]\\*.csv\n"
    assert git(project, "check-ignore", "day[1]*.csv") == "day[1]*.csv\n"


def test_a_damaged_object_is_found_out(project: Path, store: DvcStore) -> None:
    """A disk error in the cache; nothing is put in the place of the user's file."""
    version = store.snapshot(Path("data"))
    victim = project / ".dvc" / "cache" / "files" / "md5" / version.digest[:2] / version.digest[2:]
    victim.chmod(0o644)
    victim.write_text("[]")
    with pytest.raises(IntegrityError, match="the cache is damaged"):
        store.restore(version, project / "data")
    assert (project / "data" / "a.csv").exists()


def test_a_version_that_is_elsewhere_says_how_to_get_it(project: Path, store: DvcStore) -> None:
    """A colleague's data were not pulled."""
    version = store.snapshot(Path("data"))
    shutil.rmtree(project / ".dvc" / "cache")
    with pytest.raises(NotFoundError, match="dvc pull"):
        store.restore(version, project / "copy")
    assert not (project / "copy").exists()


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("data/missing.csv", NotFoundError, "does not exist"),
        ("../outside.csv", DataError, "is outside the project"),
        (".", DataError, "is outside the project"),
        ("empty", DataError, "has no files"),
    ],
)
def test_what_cannot_be_a_version_is_refused(
    project: Path, store: DvcStore, path: str, error: type[UserError], message: str
) -> None:
    """A wrong path in the project file."""
    (project / "empty").mkdir()
    (project.parent / "outside.csv").write_text("x")
    with pytest.raises(error, match=message):
        store.snapshot(Path(path))
    assert not list(project.rglob("*.csv.dvc"))


def test_a_pointer_of_something_else_is_not_overwritten(project: Path, store: DvcStore) -> None:
    """An import whose data were changed by hand; a file that only looks like a pointer."""
    store.ensure_initialised()
    (project / "data.dvc").write_text("deps:\n- path: x\nouts:\n- md5: abc.dir\n  path: data\n")
    with pytest.raises(DataError, match="was imported"):
        store.snapshot(Path("data"))
    for content in ("- 1\n", "outs: [\n"):
        (project / "data.dvc").write_text(content)
        with pytest.raises(DataError, match=r"data\.dvc is not"):
            store.snapshot(Path("data"))


def test_a_file_under_its_writers_hands_is_refused(
    project: Path, store: DvcStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export is still running: the content would be of no moment at all."""
    real = Objects._store

    def appending(self: Objects, path: Path) -> str:
        md5 = real(self, path)
        with path.open("a") as file:
            file.write("more\n")
        return md5

    monkeypatch.setattr(Objects, "_store", appending)
    with pytest.raises(DataError, match=r"a\.csv changes while it is being read"):
        store.snapshot(Path("data/a.csv"))


def test_settings_that_cannot_be_read_are_named(project: Path, store: DvcStore) -> None:
    """Somebody edited .dvc/config by hand."""
    store.ensure_initialised()
    (project / ".dvc" / "config").write_text("cache dir\n")
    with pytest.raises(UserError, match="config cannot be read"):
        store.snapshot(Path("data"))


def test_a_disk_that_refuses_is_ours_to_say(project: Path) -> None:
    """A file stands where the cache should be."""
    store = DvcStore(project)
    store.ensure_initialised()
    (project / ".dvc" / "cache").write_text("in the way")
    with pytest.raises(ExternalError, match="cache"):
        store.snapshot(Path("data"))
