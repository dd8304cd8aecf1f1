"""Registered versions trained again from their records; what has changed since is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.training.rows import START, frame
from trimtab.adapters.git import Git
from trimtab.cli.main import main
from trimtab.core.domain.errors import DataError, IntegrityError, UserError
from trimtab.core.domain.gate import VersionRecord
from trimtab.core.domain.times import DAY_S
from trimtab.training import rebuild
from trimtab.training.difference import difference
from trimtab.training.job import run_and_record
from trimtab.training.pipeline import run
from trimtab.training.regate import regate
from trimtab.training.reproduce import Reproduction, environment_differences, reproduce
from trimtab.training.spec import TrainSpec
from trimtab.wiring import Workspace, open_workspace

NOW = START + 60 * DAY_S
PROJECT = """\
name: parcels
task: classification
data:
  files: data/history.parquet
  time: sent_at
  target: late
  ignore: [row, customer]
estimator:
  function: model:build
  parameters: {max_iter: 20}
"""
MODEL = """\
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder


def build(max_iter):
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer([("codes", codes, ["carrier"])], remainder="passthrough")
    trees = HistGradientBoostingClassifier(max_iter=max_iter, random_state=0)
    return Pipeline([("columns", columns), ("trees", trees)])
"""


def make(root: Path) -> Workspace:
    """A project as a person has it: under git, code committed."""
    (root / "data").mkdir(parents=True)
    frame(1500).to_parquet(root / "data/history.parquet")
    (root / "trimtab.yaml").write_text(PROJECT)
    (root / "model.py").write_text(MODEL)
    Git(root).init()
    return open_workspace(root)


def train(desk: Workspace, job: str) -> VersionRecord:
    result = run(TrainSpec(job, "demand", now=NOW), desk.services())
    return desk.registry.get(result["version"])


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = make(tmp_path_factory.mktemp("project"))
    train(made, "first")
    return made


@pytest.fixture
def copy(desk: Workspace, tmp_path: Path) -> Path:
    """The project's folder as it was, to change at will; the registry stays where it is."""
    root = tmp_path / "project"
    shutil.copytree(desk.root, root, symlinks=True)
    return root


def again(root: Path, desk: Workspace, work: Path, version: int = 1, **more: bool) -> Reproduction:
    """With the files of ``root`` and the registry of ``desk``."""
    here = open_workspace(root)
    services = here.services()
    services = type(services)(here.project, root, desk.registry, here.store, None, here.project_file, services.git)
    work.mkdir()
    return reproduce(version, services, desk.runs, work, **more)


def test_a_version_is_trained_again_to_the_byte(desk: Workspace, copy: Path, tmp_path: Path) -> None:
    found = again(copy, desk, tmp_path / "work")
    assert found.equal
    assert found.manifest_equal
    assert found.files == ()
    assert found.differences == ()
    assert found.rows > 0
    assert "to the byte" in found.text


def test_what_changed_since_is_named_and_the_record_still_holds(desk: Workspace, copy: Path, tmp_path: Path) -> None:
    """A year later: another parameter, an edited module, the data file rewritten, a month of the snapshot touched."""
    (copy / "trimtab.yaml").write_text(PROJECT.replace("max_iter: 20", "max_iter: 40"))
    (copy / "model.py").write_text(MODEL + "\n# changed\n")
    content = bytearray((copy / "data/history.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "data/history.parquet").write_bytes(content)
    month = sorted((copy / "data/snapshots/first").glob("*.parquet"))[0]
    month.chmod(0o644)
    rewritten = month.read_bytes() + b"\0"
    month.unlink()
    month.write_bytes(rewritten)
    found = again(copy, desk, tmp_path / "work")
    assert found.equal
    named = {(each.kind, each.name) for each in found.differences}
    assert named == {
        ("config", "estimator.parameters.max_iter"),
        ("code", "model.py"),
        ("data", "data/history.parquet"),
        ("data", f"data/snapshots/first/{month.name}"),
    }
    told = next(str(each) for each in found.differences if each.kind == "config")
    assert told == "config: estimator.parameters.max_iter: recorded 20, now 40"


def test_a_damaged_store_is_refused_with_its_place(desk: Workspace, copy: Path, tmp_path: Path) -> None:
    """A byte of the cache was changed: the rows are not what was trained on."""
    objects = [path for path in (copy / ".dvc/cache/files/md5").rglob("*") if path.is_file()]
    largest = max(objects, key=lambda path: path.stat().st_size)
    largest.chmod(0o644)
    content = bytearray(largest.read_bytes())
    content[100] ^= 1
    largest.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"data of version 1 .*first.* cannot be restored: .* has md5"):
        again(copy, desk, tmp_path / "work")


def test_another_library_is_named() -> None:
    found = environment_differences("# Python 3.11.2\nscikit-learn==1.0\nnumpy==2.0.0\n", "numpy==2.0.0\nnew==1\n")
    assert [str(each) for each in found] == ["environment: scikit-learn: recorded 1.0, now not installed"]


def test_without_its_environment_the_result_says_so(
    desk: Workspace, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--no-env`` on a machine with another version of a library."""
    true = rebuild.pins
    monkeypatch.setattr(rebuild, "pins", lambda text: true(text) | ({"tzdata": "1900.1"} if "# Python" in text else {}))
    monkeypatch.setattr("trimtab.training.reproduce.environment", lambda: "tzdata==2025.1\n" + _pins(true))
    found = again(copy, desk, tmp_path / "work", rebuild_environment=False)
    assert found.equal
    assert found.where == "this environment, which is not the recorded one"
    assert ("environment", "tzdata") in {(each.kind, each.name) for each in found.differences}


def _pins(true) -> str:  # type: ignore[no-untyped-def]
    from trimtab.training.provenance import environment

    return "".join(f"{name}=={version}\n" for name, version in true(environment()).items() if name != "tzdata")


def test_two_versions_are_told_apart(desk: Workspace, tmp_path: Path) -> None:
    """More rows and another parameter."""
    table = pd.concat([frame(1500), frame(500, seed=9, start=START + 30 * DAY_S).assign(row=lambda t: t["row"] + 5000)])
    table.to_parquet(desk.root / "data/history.parquet")
    (desk.root / "trimtab.yaml").write_text(PROJECT.replace("max_iter: 20", "max_iter: 10"))
    later = open_workspace(desk.root)
    second = train(later, "second")
    found = difference(1, second.version, later.services(), later.runs, tmp_path)
    assert ("estimator.parameters.max_iter", "20", "10") in found.config
    assert ("rows that only one has", "0", "500") in found.data
    assert found.environment == ()
    assert found.predictions["differing"] > 0
    assert {name for name, _, _ in found.metrics} >= {"log_loss", "auroc"}
    lines = later.runs.runs()
    assert [line.parameters["estimator.max_iter"] for line in lines] == ["20", "10"]


def test_the_gates_are_asked_again_by_todays_settings(desk: Workspace) -> None:
    """A stricter limit than when the version was made."""
    (desk.root / "trimtab.yaml").write_text(PROJECT + "gates: {memory: {mb: 1}}\n")
    here = open_workspace(desk.root)
    gates = {gate.gate: gate for gate in regate(1, here.services(), None, NOW, lambda _: None)}
    assert gates["memory"].verdict.value == "failed"
    assert gates["performance"].verdict.value == "successful"
    assert gates["parity"].text.endswith("when it was made")


def test_a_run_that_fails_is_kept_with_its_reason(desk: Workspace) -> None:
    """The data file is gone; the same job may be tried again and registers then."""
    (desk.root / "trimtab.yaml").write_text(PROJECT.replace("history", "histroy"))
    here = open_workspace(desk.root)
    spec = TrainSpec("third", "demand", now=NOW)
    with pytest.raises(DataError, match="names no file"):
        run_and_record(spec, here.services(), lambda _: None)
    failed = [line for line in here.runs.runs() if line.status == "failed"]
    assert [line.name for line in failed] == ["third"]
    assert "names no file" in failed[0].error
    (desk.root / "trimtab.yaml").write_text(PROJECT)
    result = run_and_record(spec, open_workspace(desk.root).services(), lambda _: None)
    assert result["version"] > 1
    assert {line.status for line in here.runs.runs() if line.name == "third"} == {"failed", "registered"}


def test_code_comes_from_git_where_the_run_kept_none(tmp_path: Path) -> None:
    """An older run: the commit has the module, and an uncommitted change is in the run's patch."""
    import subprocess

    root = tmp_path / "repo" / "project"
    root.mkdir(parents=True)
    git = ["git", "-C", str(tmp_path / "repo"), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    (root / "model.py").write_text("A = 1\n")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    (root / "model.py").write_text("A = 2\n")
    patch = tmp_path / "changes.diff"
    patch.write_text(Git(root).diff())
    (root / "model.py").write_text("A = 3\n")
    to = tmp_path / "restored"
    to.mkdir()
    assert rebuild.checkout(root, commit, to)
    assert (to / "model.py").read_text() == "A = 1\n"
    assert rebuild.apply(root, patch, to)
    assert (to / "model.py").read_text() == "A = 2\n"
    assert not rebuild.checkout(root, "0" * 40, to)


def test_conditions_of_runs() -> None:
    """``trimtab runs --where``."""
    from trimtab.cli.runs import matches
    from trimtab.ports import RunLine

    line = RunLine("id", "t1", 0.0, "registered", 3, {"estimator.depth": "4"}, {"log_loss": 0.4}, {"strategy": "full"})
    assert matches(line, "log_loss<0.5")
    assert not matches(line, "log_loss >= 0.5")
    assert matches(line, "strategy=full")
    assert matches(line, "estimator.depth>=4")
    assert not matches(line, "f1>0", [line, RunLine("b", "t2", 0.0, "failed", None, {}, {"f1": 0.1}, {})])
    with pytest.raises(UserError, match="no condition"):
        matches(line, "log_loss")
    with pytest.raises(UserError, match="no run has 'lgo_loss'"):
        matches(line, "lgo_loss<1", [line])


def test_the_commands_tell_it(desk: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """``trimtab gate``, ``runs``, ``diff`` and ``reproduce``, as people and scripts call them."""
    (desk.root / "trimtab.yaml").write_text(PROJECT)
    place = ["-p", str(desk.root)]
    assert main(["gate", "1", *place]) == 0
    assert "performance" in capsys.readouterr().out
    assert main(["gate", "1", "--override", "Ada", *place]) == 2
    assert "needs the person's name and --reason" in capsys.readouterr().err
    assert main(["runs", "--best", "log_loss", "--where", "status=registered", "--json", *place]) == 0
    losses = [run["metrics"]["log_loss"] for run in json.loads(capsys.readouterr().out)]
    assert losses == sorted(losses)
    assert main(["runs", "--best", "lgo_loss", *place]) == 2
    assert "no run has a metric 'lgo_loss'" in capsys.readouterr().err
    assert main(["diff", "1", "1", "--json", *place]) == 0
    assert json.loads(capsys.readouterr().out)["predictions"]["differing"] == 0
    assert main(["reproduce", "1", "--json", *place]) == 0
    assert json.loads(capsys.readouterr().out)["equal"] is True
    assert main(["reproduce", "99", *place]) == 2
    assert "no version 99" in capsys.readouterr().err
