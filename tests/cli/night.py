"""An endpoint in the middle of a night: a journal as the loop writes it, and what the controller last saw."""

from __future__ import annotations

import os
from pathlib import Path

from tests.cli.command import MINIMAL
from trimtab.controller.codec import draft
from trimtab.core.decide import actions as act
from trimtab.core.decide.encode import encode
from trimtab.core.decide.moves import Move
from trimtab.core.domain.diagnosis import Kind, Remedy
from trimtab.core.domain.gate import GateResult, VersionRecord
from trimtab.core.domain.verdict import Reason, Severity, Verdict
from trimtab.core.rollout.plan import RolloutPlan
from trimtab.wiring import Workspace, open_workspace

AT = 1_362_891_600.0
"""2013-03-10 05:00 UTC."""


def record(version: int, verdict: Verdict = Verdict.SUCCESSFUL) -> VersionRecord:
    gate = GateResult(
        "performance", verdict, f"log loss 0.5{version} <= 0.52 of version 1 + 0.01 (2,000 rows)", 0.0, 0.01
    )
    return VersionRecord(
        version=version,
        created_at=AT,
        run_id=f"run{version}",
        manifest="ab" * 32,
        verdict=verdict,
        gates=(gate,),
        compared_to=1 if version > 1 else None,
        data_version="cd" * 16,
        trained_from=AT - 90 * 86400,
        trained_until=AT - 86400,
        git_commit="0123abc",
        metrics={"log_loss": 0.5, "auroc": 0.71},
        runtime="onnx",
    )


def night(root: Path) -> Workspace:
    """Version 2 is on its way in a canary, a column is broken, and the loop wants to train."""
    (root / "trimtab.yaml").write_text(MINIMAL)
    desk = open_workspace(root)
    ask = act.StartTraining(job="t6", trigger="drift", strategy="full", champion=1)
    moves = [
        Move((act.RecordVersion(record(1)),), (Reason("GatePassed", "performance: log loss 0.51"),)),
        Move((act.DeployFirst(1),), (Reason("FirstVersion", "version 1 is the first"),), 1),
        Move((act.RecordVersion(record(2)), act.RecordVersion(record(3, Verdict.FAILED), False)), (), None),
        Move(
            (act.StartRollout("r4", 2, 1, RolloutPlan(strategy="canary")), act.EnterStep("r4", 0, 5)),
            (Reason("CandidatePassed", "version 2 passed its gates against version 1"),),
            3,
        ),
        Move(
            (act.EnterStep("r4", 1, 25), act.Alert(Severity.MINOR, "r4 at 25 %", "no harm seen")),
            (Reason("NotWorse", "errors 0.1 % against 0.1 % (1 of 1,000; e-value 0.9 < 200)"),),
            4,
            {"verdict": "successful", "metrics": [{"verdict": "successful", "text": "errors 0.1 %"}], "missing": []},
        ),
        Move(
            (
                act.OpenIncident(
                    "i6",
                    Kind.DATA_FAULT,
                    Remedy.FIX_DATA,
                    Severity.SEVERE,
                    AT - 3600,
                    ("wind",),
                    "wind is missing in 100 % > 3 %",
                ),
            ),
            (Reason("MissingFlood", "wind is missing in 100 % > 3 %", 1.0, 0.03),),
        ),
        Move(
            (act.AskApproval("a7", "train a new version (drift)", (encode(ask),)),),
            (Reason("RetrainForIncident", "drift"),),
            6,
        ),
    ]
    desk.journal.append(0, [draft(move, AT + 60 * i, "controller") for i, move in enumerate(moves)])
    evidence = {
        "verdict": "inconclusive",
        "metrics": [{"name": "loss", "verdict": "inconclusive", "text": "Brier score 0.18 against 0.17 (120 rows)"}],
        "missing": ["80 more labelled rows"],
    }
    desk.view.save(
        {
            "now": AT + 600,
            "controller": {"pid": os.getpid(), "at": AT + 600, "problems": ["registry: locked"]},
            "rollout": evidence,
            "health": {"diagnosis": "data-fault", "faults": [], "performance": None, "drifted": True},
        }
    )
    return desk
