"""What is written down of a run: parameters, metrics, tags, and files that tell it and let it be done again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.core.domain.gate import GateResult, gates_verdict
from trimtab.core.domain.times import iso
from trimtab.core.domain.verdict import Verdict
from trimtab.ports import DataVersion, RunLog
from trimtab.training import kept
from trimtab.training.checks import FAIRNESS_TABLE
from trimtab.training.provenance import CodeState
from trimtab.training.report import report_json, report_markdown
from trimtab.training.sources import source_digests, user_modules
from trimtab.training.spec import TrainSpec, to_json

if TYPE_CHECKING:
    from trimtab.project.settings import Project
    from trimtab.training.compile import PackageResult
    from trimtab.training.made import Made
    from trimtab.training.pipeline import Services, Stopwatch
    from trimtab.training.prepared import Prepared


def run_log(
    spec: TrainSpec,
    services: Services,
    prepared: Prepared,
    made: Made,
    estimator: str | None,
    version: DataVersion,
    code: CodeState,
    package: PackageResult,
    gates: tuple[GateResult, ...],
    metrics: dict[str, dict[str, float]],
    scratch: Path,
    watch: Stopwatch,
) -> RunLog:
    """All that the registry is told of a run that came to a package. ``estimator``: digest of the kept one."""
    verdict = gates_verdict(gates)
    own = metrics["candidate"]
    flat = dict(own) | {
        f"{model}.{name}": value for model in metrics if model != "candidate" for name, value in metrics[model].items()
    }
    flat |= {f"rows.{name}": float(count) for name, count in prepared.rows.items()}
    flat |= {f"seconds.{name}": value for name, value in watch.seconds.items()}
    tags = {
        "job": spec.job,
        "trigger": spec.trigger,
        "strategy": spec.strategy,
        "actor": spec.actor,
        "data.version": version.digest,
        "data.pointer": version.pointer,
        "git.dirty": str(code.dirty).lower(),
        "features": json.dumps(list(prepared.features)),
    }
    if spec.parent is not None:
        tags["parent"] = str(spec.parent)
    if spec.members:
        tags["members"] = json.dumps(list(spec.members))
    if code.commit:
        tags["git.commit"] = code.commit
    return RunLog(
        name=spec.job,
        created_at=spec.now,
        parameters=_parameters(spec, services.project, prepared, made),
        metrics=flat,
        tags=tags,
        artifacts=_artifacts(spec, services, prepared, made, code, gates, metrics, scratch),
        package=scratch / "package",
        verdict=verdict,
        gates=gates,
        record={
            "compared_to": spec.champion,
            "trained_from": float(prepared.at[0]),
            "trained_until": float(prepared.at[prepared.training - 1]),
            "metrics": own,
            "runtime": package.runtime,
            "parent": spec.parent,
            "members": spec.members,
            "estimator": estimator,
            "made": how_made(prepared, made),
        },
    )


def how_made(prepared: Prepared, made: Made) -> str:
    """Why this strategy, and what was done by it."""
    contest = prepared.contest.text if prepared.contest is not None else ""
    return "; ".join(text for text in (contest, made.text) if text)


def failed_log(spec: TrainSpec, project: Project, error: str, fault: str) -> RunLog:
    """What the registry is told of a run that came to no model: why, and what was asked for."""
    parameters: dict[str, Any] = {
        "task": project.task,
        "metric": project.metric,
        "estimator": project.estimator.function or "default",
        "strategy": spec.strategy,
    }
    tags = {"job": spec.job, "trigger": spec.trigger, "strategy": spec.strategy, "actor": spec.actor}
    return RunLog(
        name=spec.job,
        created_at=spec.now,
        parameters=parameters | {f"estimator.{name}": value for name, value in project.estimator.parameters.items()},
        metrics={},
        tags=tags | {"error": error, "fault": fault},
        artifacts=(),
        package=None,
        verdict=Verdict.ERROR,
        gates=(),
    )


def _parameters(spec: TrainSpec, project: Project, prepared: Prepared, made: Made) -> dict[str, Any]:
    found: dict[str, Any] = {
        "task": project.task,
        "metric": project.metric,
        "estimator": project.estimator.function or "default",
        "strategy": spec.strategy,
        "evaluation_share": project.retraining.evaluation_share,
        "trained_from": iso(float(prepared.at[0])),
        "trained_until": iso(float(prepared.at[prepared.training - 1])),
        "evaluated_until": iso(float(prepared.at[-1])),
    }
    if spec.window_s is not None:
        found["window_s"] = spec.window_s
    if prepared.contest is not None:
        found["contest"] = prepared.contest.text
    if made.text:
        found["made"] = made.text
    return found | {f"estimator.{name}": value for name, value in project.estimator.parameters.items()}


def _artifacts(
    spec: TrainSpec,
    services: Services,
    prepared: Prepared,
    made: Made,
    code: CodeState,
    gates: tuple[GateResult, ...],
    metrics: dict[str, dict[str, float]],
    scratch: Path,
) -> tuple[tuple[Path, str], ...]:
    """Files that tell the run: settings, spec, environment, code changes, gate report."""
    title = f"{services.project.name}: training run {spec.job}"
    contents = {
        ("config", "spec.json"): json.dumps(to_json(spec), indent=2),
        ("config", "settings.json"): json.dumps(services.project.record(), indent=2),
        ("environment", "requirements.txt"): (scratch / "package" / "requirements.txt").read_text(),
        ("gates", "gates.json"): report_json(gates, metrics, prepared.rows).decode(),
        ("gates", "gates.md"): report_markdown(title, gates, metrics, prepared.rows),
    }
    if prepared.contest is not None:
        contents["config", "contest.json"] = json.dumps(prepared.contest.record(), indent=2)
    if made.details:
        contents["config", "made.json"] = json.dumps(made.details, indent=2)
    for name, content in user_modules(services.root).items():
        contents[f"code/files/{Path(name).parent.as_posix()}".removesuffix("/."), Path(name).name] = content.decode(
            errors="replace"
        )
    sources = source_digests(services.root, services.project.data.files)
    contents["data", "sources.json"] = json.dumps(sources, indent=2)
    if (scratch / FAIRNESS_TABLE).exists():
        contents["gates", FAIRNESS_TABLE] = (scratch / FAIRNESS_TABLE).read_text(encoding="utf-8")
    if code.diff:
        contents["code", "changes.diff"] = code.diff
    if services.project_file is not None:
        contents["config", services.project_file.name] = services.project_file.read_text(encoding="utf-8")
    found = []
    for (folder, name), text in contents.items():
        path = scratch / "artifacts" / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        found.append((path, folder))
    if (scratch / kept.FOLDER).exists():
        found.append((scratch / kept.FOLDER, kept.FOLDER))
    return tuple(found)
