"""Routing, swaps, refusals, shutdown and a failing disk, with the real server under load."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.serving.servers import INFER, Server, eventually, row, start, write_routes
from trimtab.serving.scoring.router import share_of


class Load:
    """Keep-alive clients in threads; remembers what was answered."""

    def __init__(self, server: Server, clients: int = 3) -> None:
        self.server = server
        self.answers: list[dict[str, Any]] = []
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(i,)) for i in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _client(self, index: int) -> None:
        connection, count = None, 0
        while not self._stop.is_set():
            count += 1
            entity = f"{index}-{count % 50}"
            body = json.dumps(row(parameters={"entity": entity}, id=entity))
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=20)
                connection.request("POST", INFER, body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                answer = json.loads(response.read())
                if response.status != 200:
                    self.failures.append(f"{response.status} {answer}")
                else:
                    self.answers.append(answer)
                if response.getheader("Connection") == "close":
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                if connection is not None:
                    connection.close()
                connection = None
                if self.server.process.poll() is not None:
                    return


def versions_of(server: Server, entities: list[str]) -> dict[str, str]:
    return {e: server.post(INFER, row(parameters={"entity": e}))[1]["model_version"] for e in entities}


def test_sticky_and_monotone_routing(packages: Path, tmp_path: Path) -> None:
    """A canary grows from 20 to 60 percent: who was in stays in, and everybody keeps the version until then."""
    versions = {1: packages / "plain-1", 2: packages / "plain-2"}
    entities = [f"user-{i}" for i in range(60)]
    with start(tmp_path, versions, {1: 80, 2: 20}, arms={"1": "champion", "2": "challenger"}) as server:
        first = versions_of(server, entities)
        assert first == {e: "2" if share_of("s", e) < 0.2 else "1" for e in entities}
        assert versions_of(server, entities) == first
        write_routes(server.deployment, 2, {1: 40, 2: 60}, arms={"1": "champion", "2": "challenger"})
        eventually(lambda: server.status()["generation"] == 2)
        second = versions_of(server, entities)
        assert second == {e: "2" if share_of("s", e) < 0.6 else "1" for e in entities}
        assert all(second[e] == "2" for e in entities if first[e] == "2")


def test_a_batch_may_split_over_versions(packages: Path, tmp_path: Path) -> None:
    """A batch job sends rows of many users at once; each row goes where its user belongs."""
    versions = {1: packages / "plain-1", 2: packages / "plain-2"}
    with start(tmp_path, versions, {1: 50, 2: 50}, arms={"1": "champion", "2": "challenger"}) as server:
        users = [f"u{i}" for i in range(20)]
        data = [float(i % 7) for i in range(80)]
        body = {
            "inputs": [{"name": "x", "shape": [20, 4], "datatype": "FP64", "data": data}],
            "parameters": {"entity": users},
        }
        status, answer = server.post(INFER, body)
        assert status == 200, answer
        assert "model_version" not in answer
        expected = ["2" if share_of("s", user) < 0.5 else "1" for user in users]
        assert answer["parameters"]["model_versions"] == expected
        scores = answer["outputs"][1]["data"]
        for i, user in enumerate(users):
            alone = server.post(INFER, row(*data[4 * i : 4 * i + 4], parameters={"entity": user}))[1]
            assert alone["outputs"][1]["data"] == pytest.approx(scores[2 * i : 2 * i + 2], abs=1e-9)
        ids = answer["parameters"]["prediction_ids"]
        eventually(lambda: server.status()["log"]["waiting"] == 0)
        logged = {r["prediction_id"]: str(r["version"]) for r in server.predictions().to_pylist()}
        assert [logged[i] for i in ids] == expected


def test_shadow_scores_what_the_other_answered(packages: Path, tmp_path: Path) -> None:
    """During a canary both versions score each request; only one answer is returned, both are logged."""
    versions = {1: packages / "plain-1", 2: packages / "plain-2"}
    arms = {"1": "champion", "2": "challenger"}
    with start(tmp_path, versions, {1: 50, 2: 50}, shadow=[1, 2], arms=arms) as server:
        answers = [server.post(INFER, row(0.1 * i, 1, 2, 3, parameters={"entity": f"u{i}"}))[1] for i in range(30)]
        eventually(lambda: server.predictions().num_rows == 60)
        rows = server.predictions().to_pylist()
        for answer in answers:
            identity = answer["parameters"]["prediction_ids"][0]
            pair = sorted((r for r in rows if r["prediction_id"] == identity), key=lambda r: r["shadow"])
            assert [r["shadow"] for r in pair] == [False, True]
            assert str(pair[0]["version"]) == answer["model_version"]
            assert {r["version"] for r in pair} == {1, 2}
            assert pair[0]["x.a"] is not None
            assert pair[1]["x.a"] is None
            assert pair[1]["y.score.true"] is not None
            assert pair[0]["arm"] == arms[str(pair[0]["version"])]
        assert server.status()["counters"]["shadow_dropped"] == 0


@pytest.mark.parametrize("fault", ["changed model", "missing", "wrong answers", "not json", "weights"])
def test_a_broken_version_is_refused_and_the_old_keeps_serving(packages: Path, tmp_path: Path, fault: str) -> None:
    """A copy was cut short, a file was edited, somebody wrote routes by hand."""
    with start(tmp_path, {1: packages / "plain-1"}) as server:
        broken = server.deployment / "versions" / "2"
        if fault != "missing":
            shutil.copytree(packages / "plain-2", broken)
        if fault == "changed model":
            model = next(p for p in broken.iterdir() if p.name.startswith("model."))
            model.write_bytes(model.read_bytes()[:-1] + b"?")
        if fault == "wrong answers":
            (broken / "example.json").write_bytes((packages / "plain-1" / "example.json").read_bytes())
            from trimtab.serving.package import seal

            seal(broken)
        if fault == "not json":
            (server.deployment / "routes.json").write_text("{")
        else:
            write_routes(server.deployment, 2, {1: 90, 2: 20 if fault == "weights" else 10})
        eventually(lambda: server.status()["refusal"] is not None)
        report = server.status()
        assert report["generation"] == 1
        assert report["ready"]
        if fault not in ("not json", "weights"):
            assert [refused["version"] for refused in report["refused"]] == [2]
        assert report["refusal"] in server.get("/v2")[1]["refusal"]
        assert b"trimtab_routes_refused 1" in server.request("GET", "/metrics")[2]
        assert server.post(INFER, row())[1]["model_version"] == "1"
        write_routes(server.deployment, 3, {1: 100})
        eventually(lambda: server.status()["generation"] == 3)
        assert server.status()["refusal"] is None


def test_a_server_without_a_deployment_waits_for_one(packages: Path, tmp_path: Path) -> None:
    """The server starts before the first training has finished."""
    with start(tmp_path, {}) as server:
        assert server.get("/v2/health/live")[0] == 200
        assert server.get("/v2/health/ready")[0] == 503
        status, headers, body = server.request("POST", INFER, json.dumps(row()))
        assert status == 503
        assert headers["retry-after"] == "1"
        assert b"routes.json is not there yet" in body
        shutil.copytree(packages / "plain-1", server.deployment / "versions" / "1")
        write_routes(server.deployment, 1, {1: 100})
        eventually(lambda: server.get("/v2/health/ready")[0] == 200)
        assert server.post(INFER, row())[0] == 200


@pytest.mark.parametrize("durability", ["batch", "sync"])
def test_sigterm_under_load_loses_no_acknowledged_prediction(packages: Path, tmp_path: Path, durability: str) -> None:
    """A pod is moved while traffic flows: each id that a client holds stands in the log exactly once."""
    with start(tmp_path, {1: packages / "plain-1"}, None, "--durability", durability) as server:
        with Load(server) as load:
            eventually(lambda: len(load.answers) > 150)
            assert server.stop() == 0
        acknowledged = [answer["parameters"]["prediction_ids"][0] for answer in load.answers]
        assert len(acknowledged) > 150
        assert all("40" not in failure[:3] and "500" not in failure[:3] for failure in load.failures)
        logged = Counter(server.predictions().column("prediction_id").to_pylist())
        assert {logged[identity] for identity in acknowledged} == {1}
        assert not list(server.logs.rglob("*.tmp"))
        assert not list((server.deployment / "servers").iterdir())


def test_sync_durability_survives_kill_9(packages: Path, tmp_path: Path) -> None:
    """With durability sync nothing acknowledged may be lost, whatever happens to the process."""
    with start(tmp_path, {1: packages / "plain-1"}, None, "--durability", "sync") as server:
        ids = [server.post(INFER, row())[1]["parameters"]["prediction_ids"][0] for _ in range(10)]
        label = server.post("/labels", {"prediction_id": ids[0], "label": True})
        assert label[0] == 200
        server.process.kill()
        server.process.wait()
        assert set(ids) <= set(server.predictions().column("prediction_id").to_pylist())
        assert server.labels().column("prediction_id").to_pylist() == [ids[0]]


def test_an_unwritable_log_directory_stops_nothing_and_is_shown(packages: Path, tmp_path: Path) -> None:
    """The volume of the logs is gone for a while: answers go on, the failure is shown, the rows come later."""
    with start(tmp_path, {1: packages / "plain-1"}, None, "--flush", "0.05") as server:
        server.logs.write_text("a file where the directory should be")
        ids = [server.post(INFER, row())[1]["parameters"]["prediction_ids"][0] for _ in range(5)]
        eventually(lambda: server.status()["log"]["error"] is not None)
        assert server.status()["log"]["write_errors"] > 0
        assert server.status()["log"]["waiting"] == 5
        server.logs.unlink()
        eventually(lambda: server.status()["log"]["waiting"] == 0)
        assert server.status()["log"]["error"] is None
        assert sorted(server.predictions().column("prediction_id").to_pylist()) == ids


def test_what_never_reached_the_disk_is_counted(packages: Path, tmp_path: Path) -> None:
    """The disk stays broken until the end: the server ends all the same and says how much is lost."""
    with start(tmp_path, {1: packages / "plain-1"}, None, "--flush", "0.05") as server:
        server.logs.write_text("a file")
        assert server.post(INFER, row())[0] == 200
        assert server.stop() == 0
        assert "1 rows of the log were not written at the end" in (tmp_path / "stderr.txt").read_text()


def test_servers_can_be_found(packages: Path, tmp_path: Path) -> None:
    """The control plane looks into the deployment directory to find whom to ask; a dead server's file is tidied up."""
    stale = tmp_path / "deployment" / "servers"
    stale.mkdir(parents=True)
    (stale / "999999999.json").write_text(json.dumps({"url": "http://x", "host": os.uname().nodename}))
    with start(tmp_path, {1: packages / "plain-1"}) as server:
        files = list((server.deployment / "servers").glob("*.json"))
        assert [int(path.stem) for path in files] == [server.process.pid]
        assert json.loads(files[0].read_text())["url"] == f"http://{server.host}:{server.port}"


def test_sighup_looks_again(packages: Path, tmp_path: Path) -> None:
    """An operator who does not trust the poll."""
    with start(tmp_path, {1: packages / "plain-1"}) as server:
        server.process.send_signal(signal.SIGHUP)
        assert server.post(INFER, row())[0] == 200
        assert server.status()["generation"] == 1


def test_a_missing_value_that_the_model_cannot_score_is_the_callers(packages: Path, tmp_path: Path) -> None:
    """An upstream fault empties a column that was never empty in training: 400 with its name, and a row in the log."""
    with start(tmp_path, {1: packages / "plain-1"}) as server:
        for body in (row(0.1, None, 0.3, 0.4), row(0.1, 1e300, 0.3, 0.4)):
            status, answer = server.post(INFER, body)
            if status != 200:
                assert status == 400
                assert "'b'" in answer["error"]
        batch = {"inputs": [{"name": "x", "shape": [2, 4], "datatype": "FP64", "data": [1, None, 3, 4, 5, 6, 7, 8]}]}
        status, answer = server.post(INFER, batch)
        assert status == 400
        assert "'b' is null" in answer["error"]
        eventually(lambda: server.status()["log"]["waiting"] == 0)
        logged = server.predictions().to_pylist()
        assert [r["x.b"] for r in logged[:1]] == [None]
        assert logged[0]["error"] is not None
        assert logged[0]["y.prediction"] is None


def test_earlier_versions_stay_loaded_beside_the_routes(packages: Path, tmp_path: Path) -> None:
    """Three promotions ago is one change of weights away; a broken version among them harms nothing."""
    plain = packages / "plain-1"
    with start(tmp_path, {1: plain, 2: packages / "plain-2", 3: plain, 4: plain}) as server:
        (server.deployment / "versions" / "3" / "signature.json").write_text("{}")
        write_routes(server.deployment, 2, {1: 100}, warm=[2, 3, 4])
        eventually(lambda: server.status()["warm"] == [2, 4])
        report = server.status()
        assert (report["generation"], report["loaded"], report["refused"]) == (2, [1, 2, 4], [])
        assert [refused["version"] for refused in report["warm_refused"]] == [3]
        write_routes(server.deployment, 3, {2: 100}, warm=[4, 1])
        eventually(lambda: server.status()["generation"] == 3)
        assert server.status()["loaded"] == [1, 2, 4], "nothing was loaded again"
