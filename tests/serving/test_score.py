"""Batch scoring: the server's own answers, for files, whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from tests.serving.servers import read_log, start, write_routes
from trimtab.core.domain.errors import ConflictError, DataError, NotFoundError, RefusedError, UserError
from trimtab.core.profiles import Baseline, Profile, categorical
from trimtab.core.profiles.baseline import Evaluation
from trimtab.serving.batch.log import ScoreLog
from trimtab.serving.batch.model import installed_model, recording_slot
from trimtab.serving.batch.score import BATCH_ROWS, Scoring, score_file
from trimtab.serving.batch.write import Output
from trimtab.serving.process.metrics import ArmCounters
from trimtab.serving.record.recorder import Recorder
from trimtab.serving.record.records import Layout
from trimtab.serving.record.settings import LogSettings
from trimtab.serving.runtimes import Model, load
from trimtab.serving.scoring.deployment import Slot

NOON = 1_770_000_000.0
SCORES = ["y.prediction", "y.score.late", "y.score.punctual"]


@pytest.fixture(scope="module")
def flights_model(packages: Path) -> Model:
    return load(packages / "flights-1")


@pytest.fixture(scope="module")
def plain_model(packages: Path) -> Model:
    return load(packages / "plain-1")


def flights_rows(n: int = 5) -> pa.Table:
    rng = np.random.default_rng(n)
    return pa.table({
        "tailnum": [f"N{i}" for i in range(n)],
        "departed_at": pa.array([int(NOON + 60 * i) * 1_000_000 for i in range(n)], pa.timestamp("us", "UTC")),
        "carrier": rng.choice(["UA", "DL", "XX"], n).tolist(),
        "distance": rng.uniform(100, 3000, n).round(1),
        "note": [f"note {i}" for i in range(n)],
    })  # fmt: skip


def plain_rows(n: int) -> pa.Table:
    return pa.table({name: np.random.default_rng(i).normal(size=n) for i, name in enumerate("abcd")})


def write(table: pa.Table, path: Path) -> Path:
    if path.name.endswith(".csv"):
        csv.write_csv(table, path)
    elif path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=1000)
    else:
        feather.write_feather(table, path, compression="uncompressed")
    return path


def read(path: Path) -> pa.Table:
    if ".csv" in path.name:
        return csv.read_csv(path)
    return pq.ParquetFile(path).read() if path.suffix == ".parquet" else feather.read_table(path)


@pytest.mark.parametrize("into", ["parquet", "csv", "csv.gz", "arrow"])
@pytest.mark.parametrize("source", ["parquet", "csv", "feather"])
def test_a_file_gets_the_servers_answers(flights_model: Model, tmp_path: Path, source: str, into: str) -> None:
    """Tonight's rows come as whatever the warehouse exports; answers do not depend on it."""
    rows = flights_rows(40)
    path, out = write(rows, tmp_path / f"rows.{source}"), tmp_path / f"out.{into}"
    done = score_file(Scoring(path, out), flights_model)
    found = read(out)
    assert (done.rows, done.logged) == (40, 0)
    assert found.column_names == ["tailnum", "departed_at", *SCORES] == list(done.columns)
    assert found["tailnum"].to_pylist() == rows["tailnum"].to_pylist()
    columns = zip(rows["carrier"].to_pylist(), rows["distance"].to_pylist(), strict=True)
    expected = [flights_model.predict_row(row) for row in columns]
    assert found["y.prediction"].to_pylist() == [row.prediction for row in expected]
    scores = np.column_stack([found[name].to_numpy() for name in SCORES[1:]])
    np.testing.assert_allclose(scores, [row.scores for row in expected], rtol=1e-12)


def test_many_batches_stay_in_order(plain_model: Model, tmp_path: Path) -> None:
    """Several threads score; the rows of the output are those of the input, in order."""
    n = 3 * BATCH_ROWS + 17
    rows = plain_rows(n).append_column("id", pa.array(range(n)))
    work = Scoring(write(rows, tmp_path / "rows.parquet"), tmp_path / "out.parquet", keep=("id",), threads=4)
    seen: list[tuple[int, int | None]] = []
    score_file(work, plain_model, progress=lambda done, total: seen.append((done, total)))
    found = read(work.output)
    assert found["id"].to_pylist() == list(range(n))
    expected = plain_model.predict({name: rows[name].to_numpy() for name in "abcd"}).scores
    assert expected is not None
    np.testing.assert_allclose(found["y.score.true"].to_numpy(), expected[:, 1], rtol=1e-12)
    assert found["y.prediction"].type == pa.bool_()
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (n, n)


def test_the_output_says_what_scored_it(plain_model: Model, tmp_path: Path) -> None:
    work = Scoring(write(plain_rows(3), tmp_path / "rows.parquet"), tmp_path / "out.parquet", version=7)
    score_file(work, plain_model)
    metadata = pq.ParquetFile(work.output).schema_arrow.metadata
    assert metadata[b"trimtab.version"] == b"7"
    assert metadata[b"trimtab.digest"] == plain_model.digest.encode()


def test_no_rows_make_an_empty_file(flights_model: Model, tmp_path: Path) -> None:
    """A day without orders is no error, and the next job finds the columns it reads."""
    work = Scoring(write(flights_rows(0), tmp_path / "rows.parquet"), tmp_path / "out.parquet")
    assert score_file(work, flights_model).rows == 0
    assert read(work.output).column_names == ["tailnum", "departed_at", *SCORES]


@pytest.mark.parametrize(
    ("keep", "kept"), [((), []), (("note",), ["note"]), (("*",), flights_rows(0).column_names)], ids=str
)
def test_columns_are_kept_as_asked(
    flights_model: Model, tmp_path: Path, keep: tuple[str, ...], kept: list[str]
) -> None:
    work = Scoring(write(flights_rows(), tmp_path / "rows.parquet"), tmp_path / "out.parquet", keep=keep)
    score_file(work, flights_model)
    assert read(work.output).column_names == [*kept, *SCORES]
    assert read(work.output).select(kept) == flights_rows().select(kept)


def test_csv_to_csv_leaves_kept_columns_as_they_are_written(flights_model: Model, tmp_path: Path) -> None:
    """An account number with leading zeros is no number."""
    (tmp_path / "rows.csv").write_text("account,carrier,distance\n007,UA,10\n010,DL,20\n")
    score_file(Scoring(tmp_path / "rows.csv", tmp_path / "out.csv", keep=("account",)), flights_model)
    assert [line.split(",")[0].strip('"') for line in (tmp_path / "out.csv").read_text().splitlines()[1:]] == [
        "007",
        "010",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.drop_columns(["distance"]), "input 'distance' (float64) is missing"),
        (
            lambda t: t.rename_columns(["tailnum", "departed_at", "carier", "distance", "note"]),
            "did you mean 'carier'?",
        ),
        (lambda t: t.set_column(3, "distance", t["note"]), "input 'distance' takes float64, found string"),
        (lambda t: t.set_column(2, "carrier", t["distance"]), "input 'carrier' takes string, found double"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_before_anything_is_scored(  # type: ignore[no-untyped-def]
    flights_model: Model, tmp_path: Path, change, said: str
) -> None:
    path = write(change(flights_rows()), tmp_path / "rows.parquet")
    with pytest.raises(DataError) as raised:
        score_file(Scoring(path, tmp_path / "out.parquet"), flights_model)
    assert said in str(raised.value)
    assert str(path) in str(raised.value)
    assert [each.name for each in tmp_path.iterdir()] == ["rows.parquet"]


def test_a_value_deep_in_a_file_is_named_with_its_place(plain_model: Model, tmp_path: Path) -> None:
    """One row of millions is broken: the error leads to it, and no half output is left."""
    rows = plain_rows(2500).to_pydict()
    rows["b"][2100] = None
    path = write(pa.table(rows), tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"row group 2\)?.*input 'b' is null"):
        score_file(Scoring(path, tmp_path / "out.parquet"), plain_model)
    (tmp_path / "rows.csv").write_text("a,b,c,d\n" + "1,2,3,4\n" * 50 + "1,x,3,4\n")
    with pytest.raises(DataError, match=r"rows.csv.*'x'"):
        score_file(Scoring(tmp_path / "rows.csv", tmp_path / "out.parquet"), plain_model)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["rows.csv", "rows.parquet"]


def test_a_torn_file_is_said_to_be_one(plain_model: Model, tmp_path: Path) -> None:
    """A copy that broke off."""
    whole = write(plain_rows(5000), tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "rows.parquet").write_bytes(whole[:4] + b"\xff" * 40 + whole[44:])
    with pytest.raises(DataError, match=r"rows\.parquet: row 0 \(row group 0\) cannot be read"):
        score_file(Scoring(tmp_path / "rows.parquet", tmp_path / "out.parquet"), plain_model)
    (tmp_path / "rows.parquet").write_bytes(whole[:-10])
    with pytest.raises(DataError, match=r"rows\.parquet cannot be read as parquet"):
        score_file(Scoring(tmp_path / "rows.parquet", tmp_path / "out.parquet"), plain_model)


def test_what_cannot_be_named_or_found(plain_model: Model, tmp_path: Path) -> None:
    rows = write(plain_rows(5), tmp_path / "rows.parquet")
    with pytest.raises(NotFoundError, match=r"there is no file .*none\.parquet"):
        score_file(Scoring(tmp_path / "none.parquet", tmp_path / "out.parquet"), plain_model)
    with pytest.raises(DataError, match="expected a name that ends in"):
        score_file(Scoring(rows, tmp_path / "out.xlsx"), plain_model)
    with pytest.raises(UserError, match="there is no folder"):
        score_file(Scoring(rows, tmp_path / "none" / "out.parquet"), plain_model)
    with pytest.raises(DataError, match="no column 'idd' to keep"):
        score_file(Scoring(rows, tmp_path / "out.parquet", keep=("idd",)), plain_model)


def test_an_output_is_not_replaced_unasked(plain_model: Model, tmp_path: Path) -> None:
    work = Scoring(write(plain_rows(5), tmp_path / "rows.parquet"), tmp_path / "out.parquet")
    score_file(work, plain_model)
    with pytest.raises(UserError, match="exists already; --overwrite"):
        score_file(work, plain_model)
    assert score_file(Scoring(work.source, work.output, overwrite=True), plain_model).rows == 5


def test_two_runs_do_not_write_one_output(tmp_path: Path) -> None:
    """A cron job that takes longer than its period."""
    path = tmp_path / "out.parquet"
    with (
        Output(path, overwrite=False, logs=None),
        pytest.raises(ConflictError, match="another run is writing"),
        Output(path, overwrite=False, logs=None),
    ):
        raise AssertionError("both hold it")


# --- the log ----------------------------------------------------------------------------------------------------------


def recorder(logs: Path, model: Model, settings: LogSettings = LogSettings(profiles=False)) -> ScoreLog:  # noqa: B008
    """Without profiles: these packages have no baseline."""
    slot = Slot(1, "champion", model, Layout(model.signature), ArmCounters())
    return ScoreLog(logs, slot, 1, Recorder(settings, logs.parent / "deployment"), "0123456789", lambda: NOON)


def test_the_endpoints_settings_hold_for_batches_too(flights_model: Model, tmp_path: Path) -> None:
    """What must not be read in the log of requests must not come into it by the nightly batch; a sample is a sample."""
    settings = LogSettings(profiles=False, sample=0.5, hashed=("carrier", "entity"), key="k" * 32)
    work = Scoring(write(flights_rows(400), tmp_path / "rows.parquet"), tmp_path / "out.parquet")
    done = score_file(work, flights_model, recorder(tmp_path / "logs", flights_model, settings))
    found = read_log(tmp_path / "logs" / "predictions")
    assert done.rows == 400
    assert 100 < done.logged == found.num_rows < 300
    assert {len(text) for name in ("x.carrier", "entity") for text in found[name].to_pylist()} == {32}


def test_the_log_has_what_a_server_would_have_logged(packages: Path, flights_model: Model, tmp_path: Path) -> None:
    """Labels of a nightly batch come by prediction id, as those of requests do; the log's readers see no difference."""
    rows, logs = flights_rows(30), tmp_path / "logs"
    work = Scoring(write(rows, tmp_path / "rows.parquet"), tmp_path / "out.parquet")
    assert score_file(work, flights_model, recorder(logs, flights_model)).logged == 30
    found = read_log(logs / "predictions")
    assert found["prediction_id"].to_pylist() == read(work.output)["prediction_id"].to_pylist()
    assert len(set(found["prediction_id"].to_pylist())) == 30
    assert found["entity"].to_pylist() == rows["tailnum"].to_pylist()
    assert found["event_time"].to_pylist() == rows["departed_at"].to_pylist()
    assert not list(logs.glob(".score-*"))
    with start(tmp_path / "server", {1: packages / "flights-1"}) as server:
        for row in rows.drop_columns(["note", "departed_at"]).to_pylist():
            body = {"dataframe_records": [{**row, "departed_at": NOON}]}
            assert server.post("/invocations", body)[0] == 200
        server.stop()
        served = server.predictions()
    assert found.schema.names == served.schema.names
    assert found.schema.types == served.schema.types
    same = ["version", "arm", "shadow", "generation", "error", "entity", "x.carrier", "x.distance", "y.prediction"]
    by_entity = [("entity", "ascending")]
    assert found.sort_by(by_entity).select(same) == served.sort_by(by_entity).select(same)


def test_batches_are_in_the_profiles_too(flights_model: Model, tmp_path: Path) -> None:
    """Where no rows are logged, monitoring sees a nightly batch by its profiles alone."""
    rows = flights_rows(300)
    scores = np.random.default_rng(0).dirichlet((1, 1), 300)
    truth = (scores[:, 1] > 0.5).astype(float)
    columns = {"carrier": categorical(rows["carrier"].to_pylist()), "distance": rows["distance"].to_numpy()}
    baseline = Baseline.fit(columns, evaluation=Evaluation(scores, truth, classes=("late", "punctual")))
    folder = tmp_path / "deployment" / "versions" / "1"
    folder.mkdir(parents=True)
    (folder / "baseline.bin").write_bytes(baseline.to_bytes())
    work = Scoring(write(rows, tmp_path / "rows.parquet"), tmp_path / "out.parquet")
    log = recorder(tmp_path / "logs", flights_model, LogSettings(rows=False))
    assert score_file(work, flights_model, log).logged == 0
    assert not (tmp_path / "logs" / "predictions").exists()
    found = read_log(tmp_path / "logs" / "profiles").to_pylist()
    assert sum(Profile.from_bytes(each["profile"]).rows for each in found) == 300


def test_only_what_the_routes_would_have_answered_is_logged(packages: Path, plain_model: Model, tmp_path: Path) -> None:
    """During a rollout each arm has a known share; a million rows of the champion alone would bury it."""
    deployment = tmp_path / "deployment"
    (deployment / "versions").mkdir(parents=True)
    for version, package in ((1, "plain-1"), (2, "plain-2")):
        (deployment / "versions" / str(version)).symlink_to(packages / package)
    write_routes(deployment, 4, {1: 100})
    slot, generation = recording_slot(deployment, 1, plain_model)
    assert (slot.version, slot.arm, generation) == (1, "champion", 4)
    with pytest.raises(RefusedError, match="champion answers, which is version 1"):
        recording_slot(deployment, 2, plain_model)
    write_routes(deployment, 5, {1: 90, 2: 10})
    with pytest.raises(RefusedError, match="a rollout is under way"):
        recording_slot(deployment, 1, plain_model)
    with pytest.raises(NotFoundError, match=r"version 3 is not installed in .*; there are 1, 2"):
        installed_model(deployment, 3)


KILLED = """
import os, sys
from pathlib import Path
from tests.serving.test_score import recorder
from trimtab.serving.batch import write as score_write
from trimtab.serving.runtimes import load
from trimtab.serving.batch.score import Scoring, score_file
package, rows, out, logs, when = sys.argv[1:]
def die(*_):
    os.kill(os.getpid(), 9)
if when == "while scoring":
    progress = lambda done, total: die() if done > 20000 else None
else:
    progress = None
    renamed = Path.rename
    def rename(self, target):
        made = renamed(self, target)
        if str(self).endswith(".partial"):
            die()
        return made
    Path.rename = rename
model = load(Path(package))
score_file(Scoring(Path(rows), Path(out)), model, recorder(Path(logs), model), progress)
"""


@pytest.mark.parametrize("when", ["while scoring", "between the output and its log"])
def test_a_killed_run_is_as_if_it_had_not_been_or_had_been_whole(
    packages: Path, plain_model: Model, tmp_path: Path, when: str
) -> None:
    """kill -9 or a power cut at any moment: the rows are in the log once, and the output is whole."""
    n = 60_000
    rows, out, logs = write(plain_rows(n), tmp_path / "rows.parquet"), tmp_path / "out.parquet", tmp_path / "logs"
    command = [sys.executable, "-c", KILLED, str(packages / "plain-1"), str(rows), str(out), str(logs), when]
    killed = subprocess.run(command, cwd=Path(__file__).parents[2], check=False)
    assert killed.returncode == -9
    assert out.exists() == (when != "while scoring")
    assert read_log(logs / "predictions").num_rows == 0
    again = Scoring(rows, out)
    if when == "while scoring":
        assert score_file(again, plain_model, recorder(logs, plain_model)).rows == n
    else:
        with pytest.raises(UserError, match="was finished by an earlier run"):
            score_file(again, plain_model, recorder(logs, plain_model))
    assert read(out).num_rows == n
    assert sorted(read_log(logs / "predictions")["prediction_id"].to_pylist()) == sorted(
        read(out)["prediction_id"].to_pylist()
    )
    assert sorted(each.name for each in tmp_path.iterdir()) == ["logs", "out.parquet", "rows.parquet"]
    assert [each.name for each in logs.iterdir()] == ["predictions"]


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def deployed(packages: Path, tmp_path: Path) -> Path:
    (tmp_path / "deployment" / "versions").mkdir(parents=True)
    (tmp_path / "deployment" / "versions" / "3").symlink_to(packages / "plain-1")
    write_routes(tmp_path / "deployment", 1, {3: 100})
    write(plain_rows(2000), tmp_path / "rows.parquet")
    return tmp_path


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trimtab.cli.main", "score", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_command(deployed: Path) -> None:
    done = run(deployed, "rows.parquet", "--out", "out.parquet", "--deployment", "deployment", "--log")
    assert done.returncode == 0, done.stderr
    assert "scored 2,000 rows with version 3" in done.stdout
    assert "2,000 recorded" in done.stdout
    assert read(deployed / "out.parquet").num_rows == read_log(deployed / "logs" / "predictions").num_rows == 2000
    again = run(deployed, "rows.parquet", "--out", "out.parquet", "--deployment", "deployment")
    assert again.returncode == 2
    assert "out.parquet exists already; --overwrite" in again.stderr
    both = run(deployed, "rows.parquet", "--out", "o.csv", "--model", "deployment/versions/3", "--log")
    assert (both.returncode, both.stderr.count("\n")) == (2, 1)
    alone = run(
        deployed, "rows.parquet", "--out", "o.csv", "--model", "deployment/versions/3", "--keep", "a", "b", "--json"
    )
    assert alone.returncode == 0, alone.stderr
    assert alone.stderr == ""
    assert '"rows": 2000' in alone.stdout
    assert read(deployed / "o.csv").column_names == ["a", "b", "y.prediction", "y.score.false", "y.score.true"]


def test_the_command_needs_no_more_than_a_server(deployed: Path) -> None:
    """In the serving image there is no MLflow, no pandas, no scikit-learn."""
    code = """
import sys
class Lean:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("pandas", "sklearn", "mlflow", "pydantic", "sqlalchemy", "skops", "starlette"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Lean())
from trimtab.cli.main import main
sys.exit(main(["score", "rows.parquet", "--out", "out.parquet", "--deployment", "deployment", "--log"]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=deployed, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert read(deployed / "out.parquet").num_rows == 2000


def test_interrupting_leaves_nothing(deployed: Path) -> None:
    """Ctrl-C in the middle."""
    write(plain_rows(400_000), deployed / "many.parquet")
    command = [sys.executable, "-m", "trimtab.cli.main", "score", "many.parquet", "--out", "out.csv"]
    process = subprocess.Popen([*command, "--deployment", "deployment"], cwd=deployed, stderr=subprocess.PIPE)
    partial = deployed / ".out.csv.partial"
    until = time.monotonic() + 60
    while not partial.exists() and time.monotonic() < until:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert sorted(each.name for each in deployed.iterdir()) == ["deployment", "many.parquet", "rows.parquet"]
