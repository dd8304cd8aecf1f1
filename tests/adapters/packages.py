"""Sealed packages and runs to register, small and quick to make."""

from pathlib import Path

from trimtab.core.domain.gate import GateResult
from trimtab.core.domain.verdict import Verdict
from trimtab.ports import RunLog
from trimtab.serving import package as packages


def make_package(folder: Path, content: bytes = b"weights") -> Path:
    """A package whose model is these bytes: good for storing and verifying, not for scoring."""
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(content)
    (folder / "requirements.txt").write_text("scikit-learn==1.9.1\n")
    signature = packages.Signature(
        model="flights",
        task="classification",
        target="late",
        inputs=(packages.InputSpec("distance", "float64"), packages.InputSpec("carrier", "string")),
        classes=(False, True),
        runtime=packages.RuntimeSpec("onnx", ("model.onnx",)),
    )
    packages.write_signature(folder, signature)
    output = packages.ExampleOutput(True, (0.25, 0.75))
    packages.write_example(folder, [{"distance": 12.5, "carrier": None}], [output])
    packages.seal(folder)
    return folder


def make_run(package: Path | None, job: str = "train-1", **changes: object) -> RunLog:
    """A run as a training job hands it in."""
    fields: dict[str, object] = {
        "name": job,
        "created_at": 1384947000.125,
        "parameters": {"estimator": "hist", "settings": {"depth": 6, "rate": 0.1}},
        "metrics": {"log_loss": 0.1 + 0.2, "rows": 5210},
        "tags": {
            "job": job,
            "data.version": "22a1a2931c8370d3aeedd7183606fd7f.dir",
            "git.commit": "a" * 40,
            "git.dirty": "true",
            "strategy": "sliding-window",
            "trigger": "drift",
        },
        "artifacts": (),
        "package": package,
        "verdict": Verdict.SUCCESSFUL,
        "gates": (
            GateResult("performance", Verdict.SUCCESSFUL, "log loss 0.30 <= 0.31 (5,210 rows)", 0.1 + 0.2, 0.31),
            GateResult("parity", Verdict.INCONCLUSIVE, "no rows “to compare”"),
        ),
        "record": {"trained_from": 1.5, "trained_until": 1e9 + 0.123456, "runtime": "onnx", "compared_to": 3},
    }
    return RunLog(**{**fields, **changes})  # type: ignore[arg-type]
