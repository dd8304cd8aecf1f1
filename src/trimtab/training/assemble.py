"""Packages that are made of packages: a version recalibrated, versions blended. Nothing is compiled anew.

Each is compared with its definition, computed apart from the runtime that serves it, on evaluation and hostile rows.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from trimtab.core.domain.errors import DataError, EstimatorError
from trimtab.core.stats.recalibration import ScoreMap
from trimtab.serving.package import (
    BASELINE,
    EXAMPLE,
    MANIFEST,
    REQUIREMENTS,
    SIGNATURE,
    Calibration,
    RuntimeSpec,
    Signature,
    read_signature,
    seal,
    write_example,
    write_signature,
)
from trimtab.serving.runtimes import Model, load
from trimtab.serving.runtimes.base import Columns, Outputs, class_array
from trimtab.serving.runtimes.blend import MEMBERS, BlendSettings, Member, blend_classes, blend_inputs
from trimtab.serving.runtimes.loading import open_model
from trimtab.training.compile import PackageResult, example_of
from trimtab.training.compile_parity import answers, compare, hostile_rows, joined
from trimtab.training.evaluate import align, model_columns

EVALUATED_ROWS = 50_000
_OWN = (MANIFEST, BASELINE, REQUIREMENTS, EXAMPLE, SIGNATURE)
"""Files that every package has for itself."""


def recalibrated_package(
    to: Path, parent: Path, found: ScoreMap, rows: pa.Table, *, baseline: bytes, requirements: str, tolerance: float
) -> PackageResult:
    """The parent's model with a map over its answers.

    Args:
        to: the directory to make; must not exist.
        parent: a verified package; a map that it has already is replaced.
        found: the map.
        rows: evaluation rows.
        baseline: content of ``baseline.bin``.
        requirements: content of ``requirements.txt``.
        tolerance: largest difference of a score; of a number, relative above 1.

    Raises:
        EstimatorError: the served answers are not the mapped ones.
    """
    plain = msgspec.structs.replace(read_signature(parent), calibration=None)
    map_ = Calibration(found.method, found.exponents, found.offsets, found.knots, found.values)
    reason = f"{plain.runtime.name}, its answers mapped ({found.method}); before: {plain.runtime.reason}"
    runtime = msgspec.structs.replace(plain.runtime, reason=reason)
    signature = msgspec.structs.replace(plain, calibration=map_, runtime=runtime)
    inside = open_model(parent, plain, "")

    def reference(columns: Columns) -> Outputs:
        outputs = inside.predict(columns)
        if outputs.scores is None:
            return Outputs(found.values_of(outputs.prediction.astype(np.float64)), None)
        scores = found.scores(outputs.scores)
        return Outputs(class_array(plain.classes or ())[scores.argmax(axis=1)], scores)

    def files(at: Path) -> None:
        shutil.copytree(parent, at)
        for name in _OWN:
            (at / name).unlink(missing_ok=True)

    return _assembled(to, signature, files, reference, rows, baseline, requirements, tolerance)


def blended_package(
    to: Path,
    members: Sequence[tuple[int, Path, float]],
    rows: pa.Table,
    *,
    baseline: bytes,
    requirements: str,
    tolerance: float,
) -> PackageResult:
    """The members' packages, whole, and their weights.

    Args:
        to: the directory to make; must not exist.
        members: (version, verified package, weight), the first one gives the order of inputs and classes.
        rows: evaluation rows.
        baseline: content of ``baseline.bin``.
        requirements: content of ``requirements.txt``.
        tolerance: largest difference of a score; of a number, relative above 1.

    Raises:
        DataError: members cannot answer together.
        EstimatorError: the served answers are not the weighted mean of the members'.
    """
    models = [load(package) for _, package, _ in members]
    total = sum(weight for _, _, weight in members)
    weights = [weight / total for _, _, weight in members]
    signature = blend_signature(
        models,
        tuple(
            Member(version, weight, model.digest)
            for (version, _, _), weight, model in zip(members, weights, models, strict=True)
        ),
    )

    def files(at: Path) -> None:
        for version, package, _ in members:
            shutil.copytree(package, at / MEMBERS / str(version))

    def reference(columns: Columns) -> Outputs:
        return mean_outputs(models, weights, signature, columns)

    return _assembled(to, signature, files, reference, rows, baseline, requirements, tolerance)


def blend_signature(models: Sequence[Model], members: tuple[Member, ...]) -> Signature:
    """What a blend of these models takes and gives.

    Raises:
        DataError: they are not of one task, or one has no scores, or they take an input as different types.
    """
    first = models[0].signature
    for model in models[1:]:
        have = model.signature
        if (have.model, have.task, have.target) != (first.model, first.task, first.target):
            raise DataError(
                f"members must answer the same question: {first.model} ({first.task} of {first.target}) and "
                f"{have.model} ({have.task} of {have.target})"
            )
    signatures = [model.signature for model in models]
    named = ", ".join(f"v{member.version} {member.weight:.0%}" for member in members)
    runtimes = ", ".join(dict.fromkeys(signature.runtime.name for signature in signatures))
    return msgspec.structs.replace(
        first,
        inputs=blend_inputs(signatures),
        classes=blend_classes(signatures),
        runtime=RuntimeSpec(
            name="blend",
            files=(),
            reason=f"mean of {named}, each in its own runtime ({runtimes})",
            settings=msgspec.to_builtins(BlendSettings(members)),
        ),
        calibration=None,
    )


def mean_outputs(models: Sequence[Model], weights: Sequence[float], signature: Signature, columns: Columns) -> Outputs:
    """The definition of a blend: the weighted mean of the members' answers."""
    outputs = [model.predict(columns) for model in models]
    if signature.classes is None:
        numbers = np.stack([each.prediction.astype(np.float64) for each in outputs])
        return Outputs(np.asarray(weights) @ numbers, None)
    scores = []
    for model, each in zip(models, outputs, strict=True):
        if each.scores is None:
            raise DataError("a member gives no scores, so it cannot be blended")
        scores.append(align(each.scores, model.signature.classes or (), signature.classes))
    mixed = np.einsum("m,mnk->nk", np.asarray(weights), np.stack(scores))
    return Outputs(class_array(signature.classes)[mixed.argmax(axis=1)], mixed)


def _assembled(
    to: Path,
    signature: Signature,
    files: Callable[[Path], None],
    reference: Callable[[Columns], Outputs],
    rows: pa.Table,
    baseline: bytes,
    requirements: str,
    tolerance: float,
) -> PackageResult:
    """Written in a hidden directory beside ``to``, proved, renamed."""
    if to.exists():
        raise DataError(f"{to} exists already; a package is written once")
    if rows.num_rows > EVALUATED_ROWS:
        rows = rows.take(pa.array(np.linspace(0, rows.num_rows - 1, EVALUATED_ROWS).astype(int)))
    columns = model_columns(signature.inputs, rows)[0]
    compared = joined([("evaluation", columns), *_groups(hostile_rows(columns, signature.inputs))])
    expected = answers(reference, compared, len(signature.classes) if signature.classes else None)
    to.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{to.name}-", dir=to.parent))
    try:
        at = scratch / "package"
        files(at)
        write_signature(at, signature)
        (at / BASELINE).write_bytes(baseline)
        (at / REQUIREMENTS).write_text(requirements, encoding="utf-8")
        write_example(at, *example_of(compared, expected, signature.inputs, rows.num_rows))
        opened = open_model(at, signature, "")
        parity = compare(
            opened, compared, expected, tolerance=tolerance, runtime=signature.runtime.name, form=_form(signature)
        )
        if not parity.passed:
            raise EstimatorError(f"the served answers are not what they must be: {parity}")
        digest = seal(at)
        load(at, digest)
        at.rename(to)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return PackageResult(digest, signature.runtime.name, f"{parity}", (parity,))


def _form(signature: Signature) -> str:
    return signature.calibration.method if signature.calibration is not None else ""


def _groups(rows: Any) -> list[tuple[str, Any]]:
    return [(label, rows.part(start, stop)) for label, start, stop in rows.groups]
