"""From a fitted estimator to a sealed package: the quickest runtime that gives the estimator's own answers.

Conversion is never trusted: each compiled form is compared with the estimator on the evaluation rows and on hostile
rows (missing, unknown, extreme), because converters are silently wrong for some models (a forest trained with missing
values differs on most rows in plain ONNX). What fails is discarded and the next form tried, down to the native object.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from trimtab.core.domain.errors import DataError, EstimatorError, TrimtabError
from trimtab.serving.package import (
    BASELINE,
    REQUIREMENTS,
    ClassValue,
    ExampleOutput,
    InputSpec,
    RuntimeSpec,
    Signature,
    Task,
    seal,
    write_example,
    write_signature,
)
from trimtab.serving.runtimes import load
from trimtab.serving.runtimes.base import class_array
from trimtab.serving.runtimes.loading import open_model
from trimtab.serving.runtimes.native import NativeSettings, frame_of, native_outputs, thread_limit
from trimtab.training.compile_candidates import Form, compiled_forms, native_form
from trimtab.training.compile_columns import columns_of, forms_of, inputs_of
from trimtab.training.compile_encoder import Source
from trimtab.training.compile_parity import Answers, ParityResult, Rows, answers, compare, hostile_rows, joined
from trimtab.training.compile_trees import NotConvertibleError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PackageResult", "ParityResult", "build_package"]

TOLERANCE = 1e-5
_EVALUATED_ROWS = 50_000
_THRESHOLD_ROWS = 10_000
"""Evenly spread evaluation rows on which ``predict`` is asked whether it follows the largest score."""
_EXAMPLE_ROWS = 8
_REBUILT_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class PackageResult:
    """A sealed package and how it came to be."""

    digest: str
    runtime: str
    reason: str
    """Which runtime was taken and why, with the figures; for native also what the others lacked."""
    parity: tuple[ParityResult, ...]
    """Of every form that was tried, in order; the last one that passed was taken."""
    notes: tuple[str, ...] = ()
    """E.g. rows on which the estimator itself raises."""


def build_package(
    to: Path,
    *,
    estimator: Any,
    task: Task,
    model: str,
    target: str,
    time: str | None,
    entity: str | None,
    features: pd.DataFrame,
    classes: Sequence[ClassValue] | None,
    positive: ClassValue | None,
    baseline: bytes,
    requirements: str,
    tolerance: float = TOLERANCE,
    hostile: bool = True,
) -> PackageResult:
    """Compile, check parity, write the package aside and rename it to ``to``.

    Args:
        to: the directory to make; must not exist.
        estimator: fitted, scikit-learn compatible; takes a DataFrame with the columns of ``features``.
        features: evaluation rows (feature columns only, in the estimator's order, with the dtypes it was trained on):
            input types, parity and example come from them. At most 50,000 of them, evenly spread, are compared.
        classes: in the order of ``estimator.classes_``; None for regression.
        baseline: content of ``baseline.bin``.
        requirements: content of ``requirements.txt``.
        tolerance: largest difference of a score; of a regression's value, relative above 1.
        hostile: also compare on rows with missing, unknown and extreme values.

    Raises:
        DataError: no rows, a column of a type that cannot be served, classes that are not the estimator's, or ``to``
            exists.
        EstimatorError: the estimator cannot answer even the evaluation rows.
    """
    if to.exists():
        raise DataError(f"{to} exists already; a package is written once")
    labels = _classes(estimator, task, classes)
    with thread_limit().limit(limits=1):  # many small calls: threads that wait for each other cost more than they save
        subject = _Subject.of(estimator, features, labels, hostile=hostile, tolerance=tolerance)
        signature = Signature(
            model=model,
            task=task,
            target=target,
            time=time,
            entity=entity,
            inputs=subject.inputs,
            classes=labels,
            positive=_plain(positive),
            runtime=RuntimeSpec(name="native", files=()),
        )
        return _build(to, subject, signature, tolerance, baseline, requirements)


def _build(
    to: Path, subject: _Subject, signature: Signature, tolerance: float, baseline: bytes, requirements: str
) -> PackageResult:
    """Everything happens in a hidden directory beside ``to``; the rename is the last step."""
    to.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{to.name}-", dir=to.parent))
    try:
        form, parity = _choose(subject, signature, scratch, tolerance)
        result = _write(scratch / "package", subject, signature, form, parity, baseline, requirements)
        (scratch / "package").rename(to)
        _sync(to.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return result


@dataclass(frozen=True, slots=True)
class _Subject:
    """The estimator, the rows to compare on, and its own answers to them."""

    estimator: Any
    source: Source
    inputs: tuple[InputSpec, ...]
    rows: Rows
    reference: Answers
    evaluated: int
    """The first so many rows are evaluation rows, the others hostile."""
    settings: NativeSettings
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        estimator: Any,
        features: pd.DataFrame,
        labels: tuple[ClassValue, ...] | None,
        *,
        hostile: bool,
        tolerance: float,
    ) -> _Subject:
        if not len(features) or not len(features.columns):
            raise DataError(
                f"no evaluation rows to check the model on: {len(features)} rows, {features.shape[1]} columns"
            )
        if len(features) > _EVALUATED_ROWS:
            features = features.iloc[np.linspace(0, len(features) - 1, _EVALUATED_ROWS).astype(int)]
        inputs, forms = inputs_of(features), forms_of(features)
        columns = columns_of(features, inputs)
        real = Rows(columns, (("evaluation", 0, len(features)),))
        rows = joined([("evaluation", columns), *_groups(hostile_rows(columns, inputs))]) if hostile else real
        settings = NativeSettings(columns=forms, scores=labels is None or hasattr(estimator, "predict_proba"))
        values = class_array(labels) if labels is not None else None
        _check_answers(estimator, features, Source(inputs, forms, columns), values, settings, tolerance)
        if labels is not None:
            some = np.linspace(0, len(features) - 1, min(len(features), _THRESHOLD_ROWS)).astype(int)
            frame = frame_of({name: column[some] for name, column in columns.items()}, inputs, forms)
            own = native_outputs(estimator, frame, values, settings)
            settings = _with_threshold(estimator, settings, own, frame, tolerance)

        def predict(part: Any) -> Any:
            return native_outputs(estimator, frame_of(part, inputs, forms), values, settings)

        reference = answers(predict, rows, len(labels) if labels is not None and settings.scores else None)
        notes, refusing = _refusals(rows, reference)
        if hostile:
            inputs = tuple(msgspec.structs.replace(s, nullable=s.nullable or s.name not in refusing) for s in inputs)
        return cls(estimator, Source(inputs, forms, columns), inputs, rows, reference, len(features), settings, notes)


def _groups(rows: Rows) -> list[tuple[str, Any]]:
    return [(label, rows.part(start, stop)) for label, start, stop in rows.groups]


def _check_answers(
    estimator: Any, features: pd.DataFrame, source: Source, classes: Any, settings: NativeSettings, tolerance: float
) -> None:
    """The estimator must answer the first rows as they are, and the same when a request brings their values."""
    try:
        raw = native_outputs(estimator, features.head(_REBUILT_ROWS), classes, settings)
    except TrimtabError as error:
        raise EstimatorError(f"the fitted estimator does not answer the evaluation rows: {error}") from error
    first = {name: column[:_REBUILT_ROWS] for name, column in source.columns.items()}
    rebuilt = native_outputs(estimator, frame_of(first, source.inputs, source.forms), classes, settings)
    ours, theirs = (answer.prediction if answer.scores is None else answer.scores for answer in (rebuilt, raw))
    if theirs.dtype.kind == "f":
        same = np.allclose(ours.astype(np.float64), theirs.astype(np.float64), rtol=tolerance, atol=tolerance)
    else:
        same = np.array_equal(ours, theirs)
    if not same:
        dtypes = ", ".join(f"{name} {form.dtype}" for name, form in source.forms.items())
        raise DataError(f"the estimator answers otherwise when its columns are rebuilt from a request: {dtypes}")


def _with_threshold(
    estimator: Any, settings: NativeSettings, own: Any, frame: pd.DataFrame, tolerance: float
) -> NativeSettings:
    """Whether the estimator's classes are those of its largest score; else ``predict`` is kept beside the scores."""
    if own.scores is None:
        return msgspec.structs.replace(settings, predict=True)
    two = np.sort(own.scores, axis=1)[:, -2:]
    clear = two[:, -1] - two[:, 0] > 2 * tolerance
    said = np.asarray(estimator.predict(frame))
    return msgspec.structs.replace(settings, predict=bool((said[clear] != own.prediction[clear]).any()))


def _refusals(rows: Rows, reference: Answers) -> tuple[tuple[str, ...], frozenset[str]]:
    """In words what the estimator refuses, and the inputs that it takes no missing value of."""
    if reference.answered.all():
        return (), frozenset()
    refused = [label for label, start, stop in rows.groups if not reference.answered[start:stop].all()]
    missing = frozenset(label.partition(":")[2] for label in refused if label.startswith("missing:")) - {""}
    count = int((~reference.answered).sum())
    shown = ", ".join(refused[:4]) + (f" and {len(refused) - 4} more" if len(refused) > 4 else "")
    note = f"the estimator itself refuses {count} of {len(rows)} rows ({shown}): {reference.error}"
    return (note,), missing


def _choose(
    subject: _Subject, signature: Signature, scratch: Path, tolerance: float
) -> tuple[Form, tuple[ParityResult, ...]]:
    """The first compiled form that passes, else the native one; and how each that was tried did."""
    tried: list[ParityResult] = []
    if signature.task == "classification" and (subject.settings.predict or not subject.settings.scores):
        why = "the classes are not those of the largest score" if subject.settings.scores else "no predict_proba"
        tried.append(ParityResult("onnx", "", 0, 0, 0.0, error=why))
    else:
        classes = len(signature.classes) if signature.classes else None
        for runtime, name, make in compiled_forms(subject.estimator, subject.source, classes):
            try:
                form = make()
                result = _try(form, name, subject, signature, scratch / f"{len(tried)}", tolerance)
            except (NotConvertibleError, TrimtabError) as error:
                tried.append(ParityResult(runtime, name, 0, 0, 0.0, error=str(error)))
                continue
            tried.append(result)
            if result.passed:
                return form, tuple(tried)
    form = native_form(subject.estimator, subject.settings)
    result = _try(form, "", subject, signature, scratch / "native", tolerance)
    tried.append(result)
    if not result.passed:
        raise EstimatorError(f"the stored estimator does not give the fitted one's answers: {result}")
    return form, tuple(tried)


def _try(form: Form, name: str, subject: _Subject, signature: Signature, at: Path, tolerance: float) -> ParityResult:
    """Write the form's files, open them with the runtime that will serve them, compare."""
    runtime = RuntimeSpec(name=form.runtime, files=tuple(sorted(form.files)), settings=form.settings)
    at.mkdir()
    for file, content in form.files.items():
        (at / file).write_bytes(content)
    opened = open_model(at, msgspec.structs.replace(signature, runtime=runtime), digest="")
    return compare(opened, subject.rows, subject.reference, tolerance=tolerance, runtime=form.runtime, form=name)


def _write(
    at: Path,
    subject: _Subject,
    signature: Signature,
    form: Form,
    parity: tuple[ParityResult, ...],
    baseline: bytes,
    requirements: str,
) -> PackageResult:
    """All files of the package, sealed, and proved once by the loader that the server uses."""
    chosen, others = parity[-1], [result.finding for result in parity[:-1]]
    not_taken = f"; not taken: {'; '.join(others)}" if others else ""
    reason = f"{chosen.finding}{not_taken}"
    runtime = RuntimeSpec(name=form.runtime, files=tuple(sorted(form.files)), reason=reason, settings=form.settings)
    at.mkdir()
    for file, content in form.files.items():
        (at / file).write_bytes(content)
    (at / BASELINE).write_bytes(baseline)
    (at / REQUIREMENTS).write_text(requirements, encoding="utf-8")
    write_signature(at, msgspec.structs.replace(signature, runtime=runtime))
    write_example(at, *example_of(subject.rows, subject.reference, subject.inputs, subject.evaluated))
    digest = seal(at)
    load(at, digest)
    return PackageResult(digest, form.runtime, f"{chosen}{not_taken}", parity, subject.notes)


def example_of(
    compared: Rows, reference: Answers, inputs: Sequence[InputSpec], evaluated: int
) -> tuple[list[dict[str, ClassValue | None]], list[ExampleOutput]]:
    """Real rows spread over the evaluation set, and where it is answered the one with everything missing."""
    columns = compared.columns
    good = np.flatnonzero(reference.answered[:evaluated])
    chosen = np.unique(good[np.linspace(0, len(good) - 1, min(len(good), _EXAMPLE_ROWS)).astype(int)]).tolist()
    chosen += [s for label, s, _ in compared.groups if label == "missing:" and reference.answered[s]]
    rows, outputs = [], []
    for index in chosen:
        row = {s.name: _json_cell(columns[s.name][index : index + 1].tolist()[0], s) for s in inputs}
        if any(isinstance(value, float) and abs(value) == np.inf for value in row.values()):
            continue
        scores = None if reference.scores is None else tuple(reference.scores[index].tolist())
        rows.append(row)
        outputs.append(ExampleOutput(prediction=_plain(reference.prediction[index]), scores=scores))
    if not rows:
        raise DataError("no evaluation row is finite and answered, so none can stand as the package's example")
    return rows, outputs


def _json_cell(value: Any, spec: InputSpec) -> ClassValue | None:
    if value is None or value != value:
        return None
    if spec.type == "bool":
        return bool(value)
    if spec.type == "int64" and float(value).is_integer():
        return int(value)
    return value  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _classes(estimator: Any, task: Task, classes: Sequence[ClassValue] | None) -> tuple[ClassValue, ...] | None:
    if task == "regression":
        return None
    if classes is None or len(classes) < 2:
        raise DataError(f"classification needs at least two classes, found {list(classes or ())}")
    plain = tuple(_plain(value) for value in classes)
    known = getattr(estimator, "classes_", None)
    if known is not None and [_plain(value) for value in np.asarray(known).tolist()] != list(plain):
        raise DataError(f"classes {list(plain)} are not the estimator's, which are {np.asarray(known).tolist()}")
    return plain


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
