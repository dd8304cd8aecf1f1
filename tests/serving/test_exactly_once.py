"""Every prediction id that a client holds stands in the log exactly once, however the server was ended politely."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.serving.load import IdLoad
from tests.serving.servers import INFER, eventually, read_log, row, start
from trimtab.core.profiles import Baseline


@pytest.mark.parametrize("flush", ["0.5", "0.02"])
def test_sigterm_under_load_of_several_workers(packages: Path, tmp_path: Path, flush: str) -> None:
    """A deployment is rolled again and again while traffic flows; with 0.02 s the log changes files all the time."""
    held: list[str] = []
    for round_ in range(2):
        place = tmp_path / str(round_)
        place.mkdir()
        more = ("--workers", "2", "--flush", flush)
        with start(place, {1: packages / "plain-1"}, None, *more) as server:
            # the kernel deals connections to workers by chance: of 4, one run in eight gave one worker none
            load = IdLoad(server.host, server.port, INFER, row(), clients=16)
            load.start()
            eventually(lambda load=load: load.count > 1000)
            assert server.stop() == 0
            load.stop()
            ids = load.ids
            logged = Counter(server.predictions().column("prediction_id").to_pylist())
            assert {logged[identity] for identity in ids} == {1}
            assert set(logged.values()) == {1}
            assert len(set(ids)) == len(ids)
            assert not list(server.logs.rglob("*.tmp"))
            workers = {path.name.split("-")[0] for path in server.logs.rglob("*.parquet")}
            assert workers == {"w0", "w1"}
            held += ids
    assert len(set(held)) == len(held), "ids are unique over restarts"


def with_baseline(package: Path, to: Path) -> Path:
    """The package with a baseline that its traffic can be counted in."""
    shutil.copytree(package, to)
    rng = np.random.default_rng(0)
    content = Baseline.fit({name: rng.normal(size=400) for name in "abcd"}).to_bytes()
    (to / "baseline.bin").write_bytes(content)
    manifest = json.loads((to / "MANIFEST.json").read_text())
    manifest["files"]["baseline.bin"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    (to / "MANIFEST.json").write_text(json.dumps(manifest))
    return to


def test_profiles_count_every_answer_once_too(packages: Path, tmp_path: Path) -> None:
    """Rows are off: what was answered before SIGTERM is in the profiles' sums."""
    package = with_baseline(packages / "plain-1", tmp_path / "package")
    with start(tmp_path, {1: package}, None, "--workers", "2", "--log", '{"rows": false}') as server:
        load = IdLoad(server.host, server.port, INFER, row())
        load.start()
        eventually(lambda: load.count > 1000)
        assert server.stop() == 0
        load.stop()
        assert server.predictions().num_rows == 0
        counted = sum(read_log(server.logs / "profiles").column("rows").to_pylist())
        assert 0 <= counted - load.count <= 4, "at most one answer for each client was on its way at the end"
