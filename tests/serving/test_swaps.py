"""Hot swaps under load, judged by the code of ``benchmarks/serving/swaps.py``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.serving.servers import INFER, row, start, write_routes
from trimtab.serving.runtimes import load

SCRIPTS = Path(__file__).parents[2] / "benchmarks" / "serving"
ROWS = [[0.1 * i, 0.2, -0.3, 0.05 * i] for i in range(16)]


@pytest.fixture
def swaps(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark's own module."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import swaps  # type: ignore[import-not-found]

    monkeypatch.delitem(sys.modules, "swaps")
    return swaps  # type: ignore[no-any-return]


def test_swaps_under_load_fail_and_mix_nothing(swaps: ModuleType, packages: Path, tmp_path: Path) -> None:
    """Versions are promoted one after the other while clients keep sending; each one is loaded anew."""
    sources = [packages / "plain-2", packages / "plain-1"]
    models = [load(source) for source in sources]
    bodies = [json.dumps(row(*values)).encode() for values in ROWS]
    with start(tmp_path, {1: packages / "plain-1"}) as server:
        client = swaps.Client(server.port, INFER, bodies, "application/json", 4)
        done, answers = swaps.campaign(
            client,
            server.deployment,
            sources,
            lambda generation, version: write_routes(server.deployment, generation, {version: 100}),
            lambda: swaps.generation_at(server.port),
            20,
            swaps.Swap(1, 1, 0.0, 0.0),
        )
        found = swaps.judge(
            done, answers, client.tally.broken, lambda v, i: models[v % 2].predict_row(ROWS[i]).scores[1]
        )
        assert (found.failed, found.misrouted, found.mixed) == ([], [], [])
        assert found.answered == len(answers) > 0
        assert found.versions > 10
        client.close()
        assert server.stop() == 0
        logged = {(each["generation"], each["version"]) for each in server.predictions().to_pylist()}
        assert logged <= {(each.generation, each.version) for each in done}
        assert server.predictions().num_rows == len(answers)


def test_what_the_campaign_would_notice(swaps: ModuleType) -> None:
    """An answer too early or too late, of a version that never was, of another's model, and an error."""
    timeline = [swaps.Swap(1, 1, 0.0, 0.0), swaps.Swap(2, 2, 10.0, 10.5), swaps.Swap(3, 3, 20.0, 20.5)]

    def answer(version: int, due: float, at: float, score: float = 0.0, status: int = 200) -> object:
        body = {"model_version": str(version), "outputs": [{}, {"data": [1.0 - score, score]}]}
        return swaps.Answer(status, b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps(body).encode(), 0, due, at)

    fine = [answer(1, 1, 2), answer(1, 10.4, 10.6), answer(2, 9.9, 10.1), answer(2, 20.4, 21), answer(3, 30, 31)]
    assert swaps.judge(timeline, fine, 0, lambda _v, _i: 0.0).clean
    wrong = [answer(2, 9.0, 9.9), answer(1, 10.6, 10.7), answer(4, 1, 2), answer(1, 1, 2, 0.5), answer(1, 1, 2, 0, 503)]
    found = swaps.judge(timeline, wrong, 1, lambda _v, _i: 0.0)
    assert (len(found.misrouted), len(found.mixed), len(found.failed)) == (3, 1, 2)
