"""``strategy: blend``: registered versions that answer together, each counting by what it is worth lately."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trimtab.core.domain.errors import DataError
from trimtab.core.gates.metrics import LABELS, Answers, measure
from trimtab.core.policy.blend import blend_weights
from trimtab.core.profiles.baseline import Baseline
from trimtab.serving.package import BASELINE
from trimtab.training.evaluate import model_answers
from trimtab.training.made import Made, frozen_baseline
from trimtab.training.provenance import environment

if TYPE_CHECKING:
    from trimtab.project.settings import Project
    from trimtab.serving.runtimes import Model
    from trimtab.training.compile import PackageResult
    from trimtab.training.parents import Parents
    from trimtab.training.prepared import Prepared

BLEND_ROWS = 50
"""Fewest rows that weights are fitted on."""


def blended(project: Project, prepared: Prepared, parents: Parents) -> Made:
    """Registered versions that answer together, weighed on the training rows, which none of them has seen.

    Raises:
        DataError: they cannot answer together, or all weight went to one of them.
    """
    from trimtab.serving.runtimes import load
    from trimtab.serving.runtimes.blend import Member
    from trimtab.training.assemble import blend_signature, blended_package

    spec = prepared.spec
    packages = {version: parents.package(version) for version in spec.members}
    models = {version: load(packages[version]) for version in spec.members}
    shares = _shares(prepared, models)
    kept = [(version, share) for version, share in shares.items() if share > 0]
    if len(kept) < 2:
        raise DataError(
            f"a blend gains nothing here: on {prepared.training:,} rows that no member was trained on, version "
            f"{kept[0][0]} alone is best; '--weights' blends all the same"
        )
    signature = blend_signature(
        [models[version] for version, _ in kept], tuple(Member(version, share, "") for version, share in kept)
    )
    rows, truth = prepared.table.slice(prepared.training), prepared.truth[prepared.evaluation]
    each = {
        version: model_answers(models[version], rows, truth, prepared.classes, prepared.positive)[0]
        for version, _ in kept
    }
    answers = mixed(each, dict(kept))
    gain = _gain(project, answers, each, spec.weights)
    importance: dict[str, float] = {}
    for version, share in kept:
        own = Baseline.from_bytes((packages[version] / BASELINE).read_bytes()).importance
        for name, value in own.items():
            importance[name] = importance.get(name, 0.0) + share * value

    def build(to: Path, frozen: bytes, requirements: str | None) -> PackageResult:
        return blended_package(
            to,
            [(version, packages[version], share) for version, share in kept],
            rows,
            baseline=frozen,
            requirements=environment() if requirements is None else requirements,
            tolerance=project.gates.parity.tolerance,
        )

    words = ", ".join(f"v{version} {share:.0%}" for version, share in kept)
    how = "weights given" if spec.weights else f"weights by {prepared.training:,} rows"
    return Made(
        answers,
        lambda: frozen_baseline(project, prepared, signature.names, answers, signature.classes, importance).to_bytes(),
        build,
        f"blends {words} ({how}); {gain}; one request is scored {len(kept)} times",
        None,
        {"weights": {str(version): share for version, share in shares.items()}, "rows": prepared.training},
    )


def _gain(project: Project, answers: Answers, each: dict[int, Answers], given: tuple[float, ...]) -> str:
    """What blending gains over the best member alone, on the evaluation rows.

    Raises:
        DataError: nothing, and nobody gave the weights.
    """
    sign = -1.0 if project.higher_is_better else 1.0
    alone = {version: _value(project, one) for version, one in each.items()}
    best = min(alone, key=lambda version: sign * alone[version])
    together = _value(project, answers)
    words = f"{LABELS[project.metric]} {together:.4g}, the best member alone (v{best}) {alone[best]:.4g}"
    if not given and sign * (together - alone[best]) >= 0:
        raise DataError(f"a blend gains nothing here: {words}; '--weights' blends all the same")
    return words


def _value(project: Project, answers: Answers) -> float:
    return float(measure(project.metric, answers)(np.ones(len(answers.truth), bool)))


def _shares(prepared: Prepared, models: dict[int, Model]) -> dict[int, float]:
    """Weight of each version: those given, or those whose mixture loses least on the training rows."""
    weights = prepared.spec.weights
    if weights:
        return {version: weight / sum(weights) for version, weight in zip(models, weights, strict=True)}
    n = prepared.training
    if n < BLEND_ROWS:
        raise DataError(f"{n} labelled rows are too few to weigh versions by; {BLEND_ROWS} are needed, or --weights")
    rows, truth = prepared.table.slice(0, n), prepared.truth[:n]
    errors = []
    for version, model in models.items():
        found = model_answers(model, rows, truth, prepared.classes, prepared.positive)[0]
        if prepared.classes is None:
            errors.append(found.predicted - truth)
        elif found.scores is None:
            raise DataError(f"version {version} gives no scores, so it cannot be blended")
        else:
            errors.append(found.scores[np.arange(n), truth.astype(np.intp)])
    found_shares = blend_weights(np.array(errors), np.full(n, 1.0 / n), probability=prepared.classes is not None)
    return dict(zip(models, map(float, found_shares), strict=True))


def mixed(each: dict[int, Answers], shares: dict[int, float]) -> Answers:
    """The weighted mean of answers to the same rows."""
    first = next(iter(each.values()))
    if first.scores is None:
        return Answers(first.truth, sum((shares[v] * a.predicted for v, a in each.items()), np.zeros(len(first.truth))))
    scores = np.zeros_like(first.scores)
    for version, answers in each.items():
        if answers.scores is None:
            raise DataError(f"version {version} gives no scores, so it cannot be blended")
        scores += shares[version] * answers.scores
    return Answers(first.truth, scores.argmax(axis=1).astype(np.float64), scores, first.positive)
