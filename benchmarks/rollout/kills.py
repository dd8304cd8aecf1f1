"""kill -9 of the controller at random moments of real rollouts, under traffic: does each end as it would have without?

    python benchmarks/rollout/kills.py --kills 200 --seed 1

A small real project (tests/loop/project.py): version 1 and an equal version 2 take turns as challenger. While each
rollout goes on, the controller is killed after a random while and started again. Every rollout must end in the
promotion,
with one champion at every look, no answer from a version that did not pass its gates, and no failed request.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.loop.project import Project, make_project, until
from tests.loop.traffic import Traffic


def main() -> int:
    """Run the campaign; prints one JSON object. Exit code 1 where a rule was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="trimtab-kills-") as folder:
        result = campaign(make_project(Path(folder) / "parcels", bake="1s", watch="0s"), options.kills, chance)
    print(json.dumps({"seed": options.seed, **result}, indent=2))
    return 0 if not result["wrong"] and not result["failed_requests"] else 1


def campaign(project: Project, kills: int, chance: random.Random) -> dict[str, object]:
    """Rollouts until so many kills were done."""
    project.trimtab("train")
    project.trimtab("train", "--no-deploy")
    controller, done, rollouts, wrong = project.up(), 0, 0, []
    try:
        with Traffic(project) as traffic:
            until(lambda: traffic.sent > 20, 60, "traffic")
            while done < kills:
                champion = project.json("status")["champion"]
                challenger = 3 - champion
                begun = subprocess.Popen(
                    [sys.executable, "-m", "trimtab.cli.main", "deploy", str(challenger), "--by", "campaign"],
                    cwd=project.root,
                    stdout=subprocess.DEVNULL,
                )
                rollouts += 1
                until(lambda: under_way(project), 60, "the rollout")
                while under_way(project) and done < kills:
                    time.sleep(chance.uniform(0.0, 3.0))
                    os.kill(controller.pid, signal.SIGKILL)
                    controller.wait()
                    done += 1
                    controller = project.up()
                until(lambda: not under_way(project), 300, "the end of the rollout")
                if begun.wait(60):
                    wrong.append(f"rollout {rollouts}: deploy ended with {begun.returncode}")
                ended = project.json("status")["champion"]
                if ended != challenger:
                    wrong.append(f"rollout {rollouts}: champion {ended}, expected {challenger}")
                print(f"{done} kills, {rollouts} rollouts, {traffic.sent} requests", file=sys.stderr, flush=True)
            project.trimtab("history", "--verify")
            strangers = sorted(set(traffic.versions) - {"1", "2"})
            if strangers:
                wrong.append(f"answers from versions {strangers}")
        return {
            "kills": done,
            "rollouts": rollouts,
            "requests": traffic.sent,
            "failed_requests": len(traffic.failures),
            "failures": traffic.failures[:5],
            "wrong": wrong,
        }
    finally:
        controller.send_signal(signal.SIGTERM)
        controller.wait(60)


def under_way(project: Project) -> bool:
    """Whether a rollout is, by the journal."""
    return project.json("status")["rollout"] is not None


if __name__ == "__main__":
    sys.exit(main())
