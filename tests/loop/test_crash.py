"""The controller dies in the middle of a canary and goes on; nothing is served that did not pass its gates."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

from tests.loop.project import make_project, until
from tests.loop.traffic import Traffic


def test_kill_nine_of_the_controller_during_a_canary(tmp_path: Path) -> None:
    """The machine's memory runs out at night and the kernel takes the controller, several times."""
    project = make_project(tmp_path / "parcels", bake="2s", watch="0s")
    project.trimtab("train")
    chance = random.Random(5)
    controller = project.up()
    try:
        with Traffic(project) as traffic:
            until(lambda: traffic.sent > 20, 60, "traffic")
            project.trimtab("train")
            for _ in range(4):
                time.sleep(chance.uniform(0.2, 1.5))
                os.kill(controller.pid, signal.SIGKILL)
                controller.wait()
                routes = project.json("status")
                assert routes["champion"] in (1, 2)
                controller = project.up()
            until(lambda: project.json("status")["champion"] == 2, 90, "the promotion")
            assert project.json("history", "--verify") is not None
        assert set(traffic.versions) <= {"1", "2"}
        gates = {line["version"]: line["record"]["verdict"] for line in project.json("versions")}
        assert gates == {1: "successful", 2: "successful"}
        assert traffic.failures == [], "the server outlives a killed controller, and the next one takes it over"
    finally:
        controller.send_signal(signal.SIGTERM)
        controller.wait(30)
