"""Every server that is compared: how it is started, in which form it takes a row, where its answer has the score."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments import REQUIREMENTS, python_of, version_of
from processes import Server

HERE = Path(__file__).parent
PEERS = HERE / "peers"
Row = Sequence[float]
JSON = "application/json"


@dataclass(frozen=True)
class Contender:
    """One server with its own protocol; the rows, the model and the cores are everybody's."""

    name: str
    path: str
    body: Callable[[Row], Any]
    score: Callable[[Any], float]
    """The positive class's probability in a decoded answer; NaN where the answer is a constant."""
    command: Callable[[Path, Path, int], list[str]]
    """(work directory with the model, cache of environments, port) to a command."""
    environment: Callable[[Path, int], dict[str, str]] = lambda _work, _port: {}

    def bodies(self, rows: Sequence[Row]) -> list[bytes]:
        return [json.dumps(self.body(row)).encode() for row in rows]

    def start(self, work: Path, cache: Path, port: int, core: int) -> Server:
        command = self.command(work, cache, port)
        more = self.environment(work, port)
        if self.name in REQUIREMENTS:  # some start their own programs by name
            more["PATH"] = f"{python_of(self.name, cache).parent}{os.pathsep}{os.environ['PATH']}"
        return Server(command, core, work / f"{self.name}.log", work, more)

    def version(self, cache: Path) -> str | None:
        return version_of(self.name, cache) if self.name in REQUIREMENTS else None


def _tensor(row: Row) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [1, len(row)], "datatype": "FP64", "data": list(row)}]}


def _mlserver_body(row: Row) -> dict[str, Any]:
    return {**_tensor(row), "outputs": [{"name": "predict_proba"}]}


def _named(row: Row) -> dict[str, Any]:
    return {"row": list(row)}


def _score(answer: Any) -> float:
    return float(answer["score"])


def _second_output(answer: Any) -> float:
    return float(answer["outputs"][1]["data"][1])


def _trimtab(work: Path, _cache: Path, port: int) -> list[str]:
    logs = work / "logs"
    options = ["--deployment", str(work / "deployment"), "--logs", str(logs), "--port", str(port)]
    return [sys.executable, "-m", "trimtab.serving", *options]


def _unlogged(work: Path, _cache: Path, port: int) -> list[str]:
    return [sys.executable, str(HERE / "unlogged.py"), str(work / "deployment"), str(port)]


def _ceiling(_work: Path, _cache: Path, port: int) -> list[str]:
    return [sys.executable, str(HERE / "constant.py"), str(port)]


def _script(name: str, file: str) -> Callable[[Path, Path, int], list[str]]:
    def command(work: Path, cache: Path, port: int) -> list[str]:
        return [str(python_of(name, cache)), str(PEERS / file), str(work / "model.joblib"), str(port)]

    return command


def _bentoml(_work: Path, cache: Path, port: int) -> list[str]:
    bentoml = ["-m", "bentoml", "serve", "bento_service:Scores", "--working-dir", str(PEERS)]
    return [str(python_of("bentoml", cache)), *bentoml, "--host", "127.0.0.1", "--port", str(port)]


def _mlflow(work: Path, cache: Path, port: int) -> list[str]:
    python = python_of("mlflow", cache)
    model = work / "mlflow-model"
    if not model.exists():
        subprocess.run([python, PEERS / "mlflow_model.py", work / "model.joblib", model], check=True)
    serve = [
        "models",
        "serve",
        "-m",
        str(model),
        "--env-manager",
        "local",
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-w",
        "1",
    ]
    return [str(python), "-m", "mlflow", *serve]


def _mlserver(work: Path, cache: Path, port: int) -> list[str]:
    """Without its worker processes: on one core that is its faster way, by half."""
    folder = work / "mlserver"
    folder.mkdir(exist_ok=True)
    settings = {"host": "127.0.0.1", "http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
    (folder / "settings.json").write_text(json.dumps({**settings, "parallel_workers": 0, "debug": False}))
    model = {"name": "bench", "implementation": "mlserver_sklearn.SKLearnModel"}
    model["parameters"] = {"uri": str(work / "model.joblib")}  # type: ignore[assignment]
    (folder / "model-settings.json").write_text(json.dumps(model))
    python = python_of("mlserver", cache)
    return [str(python.with_name("mlserver")), "start", str(folder)]


INFER = "/v2/models/bench/infer"

CONTENDERS: dict[str, Contender] = {
    each.name: each
    for each in (
        Contender("ceiling", INFER, _tensor, lambda _: float("nan"), _ceiling),
        Contender("trimtab", INFER, _tensor, _second_output, _trimtab),
        Contender("trimtab-unlogged", INFER, _tensor, _second_output, _unlogged),
        Contender("fastapi", "/predict", _named, _score, _script("fastapi", "fastapi_app.py")),
        Contender("litserve", "/predict", _named, _score, _script("litserve", "litserve_app.py")),
        Contender(
            "bentoml", "/predict", _named, _score, _bentoml,
            lambda work, _: {"BENCHMARK_MODEL": str(work / "model.joblib"), "BENTOML_DO_NOT_TRACK": "True"},
        ),
        Contender(
            "mlserver", INFER, _mlserver_body, lambda answer: float(answer["outputs"][0]["data"][1]), _mlserver,
        ),
        Contender(
            "mlflow", "/invocations", lambda row: {"inputs": [list(row)]},
            lambda answer: float(answer["predictions"][0][1]), _mlflow,
        ),
        Contender(
            "ray", "/predict", _named, _score, _script("ray", "ray_app.py"),
            lambda _work, _port: {"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "100"},
        ),
    )
}  # fmt: skip
OURS = ("ceiling", "trimtab", "trimtab-unlogged")
