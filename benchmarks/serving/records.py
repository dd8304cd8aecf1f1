"""The record of predictions: what it costs, and that every acknowledged id is in it exactly once.

    python benchmarks/serving/record/records.py DEPLOYMENT [--rounds 10] [--seconds 5] [--workers 2] [--json FILE]

DEPLOYMENT as ``prepare.py`` makes it. Cost: processor time of the log's thread per record (columns, profiles, files),
in this process, rows of a turn of 16 as under load; best of several rounds, since a busy machine only adds. Then
rounds of a server under load that is ended by SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.serving.load import IdLoad
from tests.serving.servers import read_log
from tests.serving.test_records import slot

from trimtab.core.profiles import Baseline
from trimtab.core.profiles.baseline import Evaluation
from trimtab.serving.package import InputSpec, RuntimeSpec, Signature
from trimtab.serving.record.recorder import Recorder
from trimtab.serving.record.records import BlockRecord
from trimtab.serving.record.settings import LogSettings
from trimtab.serving.record.writer import LogWriter

FEATURES, TURN, RECORDS = 30, 16, 32_768
SIGNATURE: dict[str, Any] = {
    "model": "m",
    "task": "classification",
    "target": "y",
    "classes": (False, True),
    "runtime": RuntimeSpec("native", ()),
}


def blocks(count: int) -> list[BlockRecord]:
    """Records of a two-class model on 30 numbers, as the event loop queues them."""
    inputs = tuple(InputSpec(f"f{i}", "float64") for i in range(FEATURES))
    at = slot(Signature(**SIGNATURE, inputs=inputs), 1)
    rng = np.random.default_rng(0)
    made, now = [], time.time()
    for first in range(0, count, TURN):
        matrix = rng.normal(size=(TURN, FEATURES))
        yes = rng.random(TURN)
        ids = [f"{int(now * 1000):012x}{first + i:06x}-0123456789" for i in range(TURN)]
        times = [now + first * 3e-5] * TURN
        scores = np.column_stack([1 - yes, yes]).tolist()
        answers = [score > 0.5 for score in yes.tolist()]
        none, latencies = [None] * TURN, rng.random(TURN).tolist()
        made.append(BlockRecord(at, 1, False, None, ids, times, times, none, latencies, matrix, answers, scores))
    return made


def cost(log: LogSettings, rounds: int = 7) -> dict[str, float]:
    """Microseconds of processor time per record: queueing, and the thread."""
    best = {"queue_us": np.inf, "thread_us": np.inf}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "deployment" / "versions" / "1"
        folder.mkdir(parents=True)
        rng = np.random.default_rng(1)
        yes = rng.random(5000)
        columns = {f"f{i}": rng.normal(size=5000) for i in range(FEATURES)}
        evaluation = Evaluation(np.column_stack([1 - yes, yes]), (yes > 0.5).astype(float), classes=("false", "true"))
        (folder / "baseline.bin").write_bytes(Baseline.fit(columns, evaluation=evaluation).to_bytes())
        recorder = Recorder(log, Path(place) / "deployment")
        writer = LogWriter(Path(place) / "logs", "w", 60.0, 10**7, recorder)
        for _ in range(rounds):
            made = blocks(RECORDS)
            began = time.thread_time()
            for block in made:
                writer.add(block)
            queued = time.thread_time()
            del made
            writer._convert()
            writer._flush()
            done = time.thread_time()
            best["queue_us"] = min(best["queue_us"], (queued - began) / RECORDS * 1e6)
            best["thread_us"] = min(best["thread_us"], (done - queued) / RECORDS * 1e6)
    return {name: round(float(value), 2) for name, value in best.items()}


def exactly_once(deployment: Path, workers: int, seconds: float) -> dict[str, Any]:
    """Serve, load, SIGTERM, and compare what clients hold with what is logged."""
    model = json.loads(next((deployment / "versions").glob("*/signature.json")).read_text())["model"]
    with tempfile.TemporaryDirectory() as logs:
        command = [sys.executable, "-m", "trimtab.serving", "--deployment", str(deployment), "--logs", logs]
        more = ["--port", "0", "--workers", str(workers)]
        with subprocess.Popen(
            [*command, *more], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as server:
            assert server.stdout is not None
            found = re.search(r"http://([\d.]+):(\d+)", server.stdout.readline())
            assert found
            body = json.loads((deployment / "row.json").read_text())
            load = IdLoad(found[1], int(found[2]), f"/v2/models/{model}/infer", body, clients=8)
            load.start()
            time.sleep(seconds)
            server.send_signal(signal.SIGTERM)
            code = server.wait(60)
            load.stop()
        logged = Counter(read_log(Path(logs) / "predictions").column("prediction_id").to_pylist())
        ids = load.ids
    return {
        "exit_code": code,
        "acknowledged": len(ids),
        "missing": sum(not logged[identity] for identity in ids),
        "twice": sum(count > 1 for count in logged.values()),
        "logged": sum(logged.values()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("deployment", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    variants = {
        "rows": LogSettings(profiles=False),
        "rows and profiles": LogSettings(),
        "profiles": LogSettings(rows=False),
        "a tenth of the rows, and profiles": LogSettings(sample=0.1),
    }
    out: dict[str, Any] = {"cost": {name: cost(log) for name, log in variants.items()}, "rounds": []}
    for name, found in out["cost"].items():
        print(f"{name:35} queue {found['queue_us']:.2f} us, thread {found['thread_us']:.2f} us a record")
    for _ in range(given.rounds):
        out["rounds"].append(exactly_once(given.deployment, given.workers, given.seconds))
        print(out["rounds"][-1], flush=True)
    print({key: sum(one[key] for one in out["rounds"]) for key in ("acknowledged", "missing", "twice", "logged")})
    if given.json:
        given.json.write_text(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
