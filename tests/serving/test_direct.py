"""The compiled shortcut answers and records as the general way does, or leaves a request to it."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import struct
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier

from tests.serving.load import IdLoad
from tests.serving.servers import INFER, eventually, row, start, write_routes
from trimtab.serving.net.http import Later, Request
from trimtab.serving.run import Worker
from trimtab.serving.runtimes.trees import compiled
from trimtab.serving.settings import ServerSettings
from trimtab.training.compile import build_package

pytestmark = pytest.mark.skipif(not compiled(), reason="installed without a C compiler: there is no shortcut")
COLUMNS = ["a", "b", "c", "d"]


def build_trees(to: Path, seed: int = 0, kind: str = "boosting") -> None:
    """Four numbers to trees, and an entity."""
    rng = np.random.default_rng(seed)
    features = pd.DataFrame(rng.normal(size=(300, 4)), columns=COLUMNS)
    if kind == "regression":
        estimator: Any = HistGradientBoostingRegressor(max_iter=12).fit(features, features.sum(axis=1))
    else:
        forest = RandomForestClassifier(11, max_depth=4, random_state=0)
        estimator = forest if kind == "forest" else HistGradientBoostingClassifier(max_iter=12)
        estimator.fit(features, (features.sum(axis=1) + rng.normal(size=300)) > 0)
    build_package(
        to,
        estimator=estimator,
        task="regression" if kind == "regression" else "classification",
        model="plain",
        target="y",
        time=None,
        entity="user",
        features=features,
        classes=None if kind == "regression" else [False, True],
        positive=None if kind == "regression" else True,
        baseline=b"-",
        requirements="",
        hostile=False,
    )


@pytest.fixture(scope="module", params=["boosting", "forest", "regression"])
def package(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(request.param) / "v"
    build_trees(path, kind=request.param)
    return path


@pytest.fixture(scope="module")
def boosting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("boosting") / "v"
    build_trees(path)
    return path


def deployed(folder: Path, packages: dict[int, Path], split: dict[int, int] | None = None, **more: Any) -> Path:
    """A deployment directory that links to these packages."""
    (folder / "versions").mkdir(parents=True)
    for version, path in packages.items():
        (folder / "versions" / str(version)).symlink_to(path)
    write_routes(folder, 1, split or {next(iter(packages)): 100}, **more)
    return folder


class Desk:
    """A worker without sockets: bodies in, answers out, with the shortcut and without."""

    def __init__(self, deployment: Path, logs: Path, durability: str = "batch") -> None:
        settings_ = ServerSettings(deployment, logs, durability=durability)  # type: ignore[arg-type]
        self.worker = Worker(settings_, 0, lambda: 1_370_088_000.25)
        self.app = self.worker.app
        self.shortcut = self.app._shortcut

    async def open(self) -> Desk:
        await self.worker.live.refresh()
        await self.general(b'{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[1,2,3,4]}]}')  # path known
        return self

    def direct(self, body: bytes, path: bytes = INFER.encode()) -> bytes | None:
        assert self.shortcut is not None
        return self.shortcut.take(_request(body, path))

    async def general(self, body: bytes, path: bytes = INFER.encode()) -> tuple[int, Any]:
        take = self.shortcut and self.shortcut.take
        if self.shortcut is not None:
            self.shortcut.take = lambda _request: None
        try:
            answer = self.app.handle(_request(body, path))
        finally:
            if self.shortcut is not None and take is not None:
                self.shortcut.take = take
        if isinstance(answer, Later):
            future = asyncio.get_running_loop().create_future()
            answer.deliver = future.set_result
            answer = await future
        elif not isinstance(answer, bytes) and not hasattr(answer, "status"):
            answer = await answer
        return (200, json.loads(answer)) if isinstance(answer, bytes) else (answer.status, json.loads(answer.body))

    def logged(self) -> Any:
        self.app.close()
        self.worker.log.start()
        self.worker.log.close()
        import pyarrow.parquet as pq

        return pq.read_table(self.worker.settings.logs / "predictions").to_pandas()


def _request(body: bytes, path: bytes) -> Request:
    request = Request()
    request.method, request.url, request.body = b"POST", path, body
    request.headers = {b"content-type": b"application/json"}
    return request


def without_id(answer: Any) -> Any:
    answer["parameters"].pop("prediction_ids")
    return answer


TAKEN = [
    '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[0.25,-1.5e-3,3,-0]}]}',
    ' {"inputs" : [ {"name":"x", "shape" : [1, 4],\n"datatype":"FP32","data"\t:\r\n[ 1 , 2.0 , 3E2 ,4e-1 ] } ] } ',
    '{"id":"r-1","inputs":[{"data":[1,2,3,4],"name":"other","shape":[1,4],"datatype":"FP64"}]}',
    '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[1,2,3,4]}],"id":"\\u00e9\\"%b"}',
    '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[1,2,3,4],"parameters":{"content_type":"np"}}]}',
    '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[1e308,-1e308,1e-320,123456789012345678901]}]}',
]
LEFT = [
    '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[1,2,3,null]}]}',
    '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[1,2,3]}]}',
    '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[1,2,3,4,5]}]}',
    '{"inputs":[{"name":"x","shape":[1,5],"datatype":"FP64","data":[1,2,3,4]}]}',
    '{"inputs":[{"name":"x","shape":[4],"datatype":"FP64","data":[1,2,3,4]}]}',
    '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[[1,2,3,4]]}]}',
    '{"inputs":[{"name":"x","shape":[2,4],"datatype":"FP64","data":[1,2,3,4,1,2,3,4]}]}',
    '{"inputs":[{"name":"x","shape":[1,4],"datatype":"INT64","data":[1,2,3,4]}]}',
    '{"inputs":[{"name":"x","shape":[1,4],"datatype":"BYTES","data":["1","2","3","4"]}]}',
    '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[1,2,3,1e400]}]}',
    '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[1,2,3,NaN]}]}',
    '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[01,2,3,4]}]}',
    '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[1,2,3,4,]}]}',
    '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[1,2,3,4]}]',
    '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[1,2,3,4]}],"outputs":[{"name":"predict"}]}',
    '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[1,2,3,4]}],"parameters":{"entity":"e"}}',
    '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[1,2,3,4]}],"parameters":{"event_time":"x"}}',
    '{"parameters":{"data":[1,2,3,4]},"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[5,6,7,8]}]}',
    '{"parameters":{"data":[1,2,3,4]},"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[]}]}',
    '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[1,2,3,4],"data":[5,6,7,8]}]}',
    '{"inputs":[{"name":"a","shape":[1,1],"datatype":"FP64","data":[1]},{"name":"b","shape":[1,1],"datatype":"FP64","data":[1]}]}',
    "[1,2,3,4]", "", '{"data"', '{"data":', '{"data":[', '{"data":[1', '{"data":[1,2,3,4', '{"data":[1,2,3,4]', "\x00",
]  # fmt: skip


def test_what_is_answered_is_what_the_general_way_answers(package: Path, tmp_path: Path) -> None:
    """Clients write the same message in many ways; ids come and go between requests."""

    async def ask() -> None:
        desk = await Desk(deployed(tmp_path / "d", {1: package}), tmp_path / "logs").open()
        for body in [*TAKEN, *reversed(TAKEN), TAKEN[0]]:
            found = desk.direct(body.encode())
            assert found is not None, body
            status, expected = await desk.general(body.encode())
            assert status == 200
            assert without_id(json.loads(found)) == without_id(expected), body

    asyncio.run(ask())


def test_what_is_of_another_form_is_left_to_the_general_way(boosting: Path, tmp_path: Path) -> None:
    """Also after a message of the right form was seen, whose frame is remembered."""

    async def ask() -> None:
        desk = await Desk(deployed(tmp_path / "d", {1: boosting}), tmp_path / "logs").open()
        for body in LEFT:
            assert desk.direct(body.encode()) is None, body
            assert desk.direct(TAKEN[0].encode()) is not None
            assert desk.direct(body.encode()) is None, body
        for headers in ({b"content-type": b"text/csv"}, {b"content-encoding": b"gzip"}):
            request = _request(TAKEN[0].encode(), INFER.encode())
            request.headers = headers
            assert desk.shortcut is not None
            assert desk.shortcut.take(request) is None
        assert desk.direct(TAKEN[0].encode(), b"/v2/models/unknown/infer") is None
        assert desk.shortcut.take(_get(TAKEN[0].encode())) is None

    asyncio.run(ask())


def _get(body: bytes) -> Request:
    request = _request(body, INFER.encode())
    request.method = b"GET"
    return request


def test_the_record_holds_what_came_and_what_was_answered(package: Path, tmp_path: Path) -> None:
    """More rows than a block holds; the ids of the answers join the log."""

    async def ask() -> tuple[Desk, list[Any], list[list[float]]]:
        desk = await Desk(deployed(tmp_path / "d", {1: package}), tmp_path / "logs").open()
        rng, answers, sent = np.random.default_rng(3), [], []
        for _ in range(600):
            values = rng.normal(size=4).tolist()
            found = desk.direct(json.dumps(row(*values)).encode())
            assert found is not None
            answers.append(json.loads(found))
            sent.append(values)
        return desk, answers, sent

    desk, answers, sent = asyncio.run(ask())
    log = desk.logged().set_index("prediction_id")
    log = log.loc[[answer["parameters"]["prediction_ids"][0] for answer in answers]]
    assert len(log) == 600
    assert log.index.is_unique
    np.testing.assert_array_equal(log[[f"x.{name}" for name in COLUMNS]].to_numpy(), np.array(sent))
    outputs = [answer["outputs"] for answer in answers]
    said = [one[0]["data"][0] for one in outputs]
    if len(outputs[0]) == 1:
        np.testing.assert_array_equal(log["y.prediction"], said)
    else:
        assert log["y.prediction"].tolist() == [str(value).lower() for value in said]
        np.testing.assert_array_equal(log[["y.score.false", "y.score.true"]], [one[1]["data"] for one in outputs])
    assert set(log["version"]) == {1}
    assert set(log["generation"]) == {1}
    assert log["entity"].isna().all()
    assert log["error"].isna().all()
    assert (log["latency_ms"] > 0).all()
    assert (log["time"] == log["event_time"]).all()
    arm = desk.worker.metrics.arms["plain", "1", "champion"]
    assert arm.successes == 601  # and the one that made the path known


def test_each_version_answers_for_itself_in_a_canary(tmp_path: Path) -> None:
    """Half of the requests each; the log says which version each id got, and that version's score is in its answer."""
    for version in (1, 2):
        build_trees(tmp_path / f"v{version}", seed=version)
    packages = {1: tmp_path / "v1", 2: tmp_path / "v2"}

    async def ask() -> tuple[Desk, list[Any], dict[int, Any]]:
        desk = await Desk(deployed(tmp_path / "d", packages, {1: 50, 2: 50}), tmp_path / "logs").open()
        body = TAKEN[0].encode()
        scores = {}
        for version in (1, 2):
            path = f"/v2/models/plain/versions/{version}/infer".encode()
            scores[version] = (await desk.general(body, path))[1]["outputs"]
            only = json.loads(desk.direct(body, path) or b"")
            assert only["model_version"] == str(version)
            assert only["outputs"] == scores[version]
        return desk, [json.loads(desk.direct(body) or b"null") for _ in range(200)], scores

    desk, answers, scores = asyncio.run(ask())
    log = desk.logged().set_index("prediction_id")["version"]
    counts = {1: 0, 2: 0}
    for answer in answers:
        version = int(answer["model_version"])
        assert answer["outputs"] == scores[version]
        assert log[answer["parameters"]["prediction_ids"][0]] == version
        counts[version] += 1
    assert min(counts.values()) > 60


def test_shadows_and_synchronous_records_take_the_general_way(boosting: Path, tmp_path: Path) -> None:
    """A second version has to score the row too; a record has to be on disk before its answer."""

    async def ask() -> None:
        shadowed = deployed(tmp_path / "d", {1: boosting, 2: boosting}, {1: 100}, shadow=[2])
        desk = await Desk(shadowed, tmp_path / "logs").open()
        assert desk.direct(TAKEN[0].encode()) is None
        assert Desk(deployed(tmp_path / "s", {1: boosting}), tmp_path / "logs2", "sync").shortcut is None

    asyncio.run(ask())


def test_a_new_deployment_is_not_answered_for_by_the_old_one(boosting: Path, tmp_path: Path) -> None:
    """The routes move between two requests of one path."""
    build_trees(tmp_path / "v2", seed=2)

    async def ask() -> None:
        folder = deployed(tmp_path / "d", {1: boosting, 2: tmp_path / "v2"}, {1: 100})
        desk = await Desk(folder, tmp_path / "logs").open()
        body = TAKEN[0].encode()
        assert b'"model_version":"1"' in (desk.direct(body) or b"")
        write_routes(folder, 2, {2: 100})
        await desk.worker.live.refresh()
        assert desk.direct(body) is None
        assert (await desk.general(body))[1]["model_version"] == "2"
        assert b'"model_version":"2"' in (desk.direct(body) or b"")

    asyncio.run(ask())


def test_every_answered_id_is_in_the_log_once_after_sigterm(boosting: Path, tmp_path: Path) -> None:
    """The last rows are in a block that is not full when the server is told to stop."""
    with start(tmp_path, {1: boosting}, None, "--workers", "2") as server:
        load = IdLoad(server.host, server.port, INFER, row())
        load.start()
        eventually(lambda: load.count > 3000)
        assert server.stop() == 0
        load.stop()
        logged = server.predictions().column("prediction_id").to_pylist()
        assert len(logged) == len(set(logged))
        assert set(load.ids) <= set(logged)


def test_a_flood_on_one_connection_leaves_turns_to_others(boosting: Path, tmp_path: Path) -> None:
    """A client sends thousands of requests ahead: others are answered between them, and it gets every answer."""
    ahead = 20_000
    body = json.dumps(row()).encode()
    one = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (INFER.encode(), len(body), body)
    with start(tmp_path, {1: boosting}) as server:
        server.post(INFER, row())
        with socket.create_connection((server.host, server.port), timeout=30) as flood:
            got = [0]

            def read_all() -> None:
                while more := flood.recv(1 << 20):
                    got[0] += more.count(b"HTTP/1.1 200 OK")  # a status line cut in two is found by the count below

            reader = threading.Thread(target=read_all, daemon=True)
            reader.start()
            sender = threading.Thread(target=flood.sendall, args=(one * ahead,), daemon=True)
            sender.start()
            between = []
            while got[0] < ahead * 0.9:
                assert server.post(INFER, row())[0] == 200
                between.append(got[0])
            sender.join()
            flood.shutdown(socket.SHUT_WR)
            reader.join(30)
        assert len([count for count in between if 0 < count < ahead * 0.9]) >= 10, "others were answered meanwhile"
        assert server.stop() == 0
        logged = server.predictions().column("prediction_id").to_pylist()
        assert len(logged) == len(set(logged)) == ahead + 1 + len(between)


def test_all_that_was_sent_before_a_half_close_is_answered(boosting: Path, tmp_path: Path) -> None:
    """`nc -N` sends a file of requests and closes its sending side: more of them than a turn takes."""
    body = json.dumps(row()).encode()
    one = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (INFER.encode(), len(body), body)
    with start(tmp_path, {1: boosting}) as server:
        server.post(INFER, row())
        with socket.create_connection((server.host, server.port), timeout=30) as sock:
            sock.sendall(one * 100)
            sock.shutdown(socket.SHUT_WR)
            received = b"".join(iter(lambda: sock.recv(65536), b""))
    assert received.count(b"HTTP/1.1 200 OK") == 100


@pytest.fixture(scope="module")
def read() -> Any:
    from trimtab.serving.compiled.numbers import read_row

    return read_row


NUMBER = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**25), 10**25).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**18), max_value=10**18).map(str),
    st.from_regex(r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
)


@settings(max_examples=1500, deadline=None)
@given(text=NUMBER)
def test_a_number_is_read_as_python_reads_it(read: Any, text: str) -> None:
    """To the last bit: what is logged and scored is what the client sent."""
    found = read(b'"data":[%b]' % text.encode(), 6, 1)
    expected = float(text)
    if math.isinf(expected):
        assert found is None
    else:
        assert found is not None
        assert found[0] == struct.pack("d", expected)


@settings(max_examples=1500, deadline=None)
@given(text=st.text(alphabet='0123456789.,-+eE[]: \n\x00"n', max_size=24), width=st.integers(1, 4))
def test_only_arrays_of_numbers_are_read(read: Any, text: str, width: int) -> None:
    """Whatever comes in their place is left to the general way, and nothing behind the text is looked at."""
    found = read(b'"data"' + text.encode(), 6, width)
    if found is not None:
        packed, begin, end = found
        values = json.loads(b"[" + (b'"data"' + text.encode())[begin:end] + b"]")
        assert struct.unpack(f"{width}d", packed) == tuple(map(float, values))
        assert text.lstrip(" \n").startswith(":")


@pytest.mark.parametrize("start_at", [-1, 7, 10_000])
def test_a_key_that_is_not_there_is_no_array(read: Any, start_at: int) -> None:
    """``bytes.find`` says -1 where a message has no data."""
    assert read(b"[1,2]", start_at, 2) is None
