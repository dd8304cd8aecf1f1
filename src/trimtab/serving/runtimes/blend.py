"""Several versions that answer together: the mean of their scores (of their numbers), each counting by its weight.

The members' packages stand whole under ``members/<version>/``, each with a manifest of its own, and run in their own
compiled runtimes. A blend costs what its members cost together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from trimtab.core.domain.errors import DataError, IntegrityError
from trimtab.serving.package import ClassValue, InputSpec, Signature
from trimtab.serving.runtimes.base import (
    Answers,
    Columns,
    Model,
    Outputs,
    Row,
    Value,
    class_array,
    columns_of_matrix,
    plain,
)

MEMBERS = "members"
_NUMBERS = ("float64", "int64")


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of the versions that answer together."""

    version: int
    weight: float
    digest: str
    """sha256 of its package's manifest."""


class BlendSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stands in the signature's ``runtime.settings``."""

    members: tuple[Member, ...]


def open_blend(directory: Path, signature: Signature, digest: str, load: Callable[[Path, str], Model]) -> Model:
    """Load every member, verified and proved by ``load``.

    Raises:
        IntegrityError: settings or members are not what the signature says.
    """
    try:
        settings = msgspec.convert(signature.runtime.settings, BlendSettings)
    except msgspec.ValidationError as error:
        raise IntegrityError(f"{directory}: signature.json runtime.settings: {error}") from error
    if not settings.members or any(member.weight <= 0 for member in settings.members):
        raise IntegrityError(f"{directory}: a blend needs members, each with a weight above 0")
    models = [load(directory / MEMBERS / str(member.version), member.digest) for member in settings.members]
    return BlendModel(signature, digest, models, [member.weight for member in settings.members])


def blend_inputs(signatures: Sequence[Signature]) -> tuple[InputSpec, ...]:
    """What a blend takes: every member's inputs, those of the first one first. An input may be missing where each
    member that takes it allows that.

    Raises:
        DataError: members take an input as different types.
    """
    found: dict[str, InputSpec] = {}
    for signature in signatures:
        for spec in signature.inputs:
            other = found.get(spec.name, spec)
            kind = spec.type
            if kind != other.type:
                if kind not in _NUMBERS or other.type not in _NUMBERS:
                    raise DataError(f"members take input '{spec.name}' as {other.type} and as {kind}")
                kind = "float64"
            found[spec.name] = InputSpec(spec.name, kind, spec.nullable and other.nullable)
    return tuple(found.values())


def blend_classes(signatures: Sequence[Signature]) -> tuple[ClassValue, ...] | None:
    """The first member's classes, then what others know beyond them; None for regression."""
    if signatures[0].classes is None:
        return None
    return tuple(dict.fromkeys(value for signature in signatures for value in signature.classes or ()))


class BlendModel:
    """Scores every request with every member."""

    direct = None

    def __init__(self, signature: Signature, digest: str, models: Sequence[Model], weights: Sequence[float]) -> None:
        """``weights``: one per model, above 0; they are taken relative to their sum."""
        self.signature, self.digest = signature, digest
        total = sum(weights)
        self._members = [_Part(model, weight / total, signature) for model, weight in zip(models, weights, strict=True)]
        self._classes: tuple[Any, ...] = signature.classes or ()
        self._class_array = class_array(self._classes)

    def predict(self, columns: Columns) -> Outputs:
        answers = [(part, part.model.predict(columns)) for part in self._members]
        if not self._classes:
            numbers = sum(part.weight * outputs.prediction.astype(np.float64) for part, outputs in answers)
            return Outputs(np.asarray(numbers), None)
        rows = len(answers[0][1].prediction)
        mixed = np.zeros((rows, len(self._classes)))
        for part, outputs in answers:
            if outputs.scores is None:
                raise _no_scores(part)
            mixed[:, part.places] += part.weight * outputs.scores
        return Outputs(self._class_array[mixed.argmax(axis=1)] if rows else self._class_array[:0], mixed)

    def predict_row(self, values: Sequence[Value]) -> Row:
        if not self._classes:
            parts = (
                part.weight * float(part.model.predict_row(part.of_row(values)).prediction) for part in self._members
            )
            return Row(sum(parts), None)
        mixed = [0.0] * len(self._classes)
        for part in self._members:
            scores = part.model.predict_row(part.of_row(values)).scores
            if scores is None:
                raise _no_scores(part)
            for place, score in zip(part.places, scores, strict=True):
                mixed[place] += part.weight * score
        return Row(self._classes[mixed.index(max(mixed))], tuple(mixed))

    def predict_rows(self, rows: Sequence[Sequence[Value]]) -> Answers:
        return self._mixed([(part, part.model.predict_rows(part.of_rows(rows))) for part in self._members])

    def predict_matrix(self, matrix: npt.NDArray[np.float64]) -> Answers:
        return self._mixed([(part, part.of_numbers(matrix)) for part in self._members])

    def _mixed(self, answers: list[tuple[_Part, Answers]]) -> Answers:
        if not self._classes:
            columns = [[part.weight * float(number) for number in answer[0]] for part, answer in answers]
            return [sum(numbers) for numbers in zip(*columns, strict=True)], None
        rows = len(answers[0][1][0])
        mixed = np.zeros((rows, len(self._classes)))
        for part, (_, scores) in answers:
            if scores is None:
                raise _no_scores(part)
            weighed = part.weight * np.array(scores)
            if part.all_places:
                mixed += weighed
            else:
                mixed[:, part.places] += weighed
        return self._class_array[mixed.argmax(axis=1)].tolist(), mixed.tolist()


class _Part:
    """A member and how its inputs and classes stand among the blend's."""

    def __init__(self, model: Model, weight: float, signature: Signature) -> None:
        self.model, self.weight = model, weight
        names, own = signature.names, model.signature
        try:
            inputs = [names.index(name) for name in own.names]
            self.places = [list(signature.classes or ()).index(value) for value in own.classes or ()]
        except ValueError as error:
            raise IntegrityError(f"signature.json does not have what a member has: {error}") from error
        self._inputs = inputs
        self.all_places = self.places == list(range(len(signature.classes or ())))
        self._same = inputs == list(range(len(names)))
        self._plain_numbers = all(spec.type == "float64" for spec in own.inputs)

    def of_row(self, values: Sequence[Value]) -> Sequence[Value]:
        return values if self._same else [values[place] for place in self._inputs]

    def of_rows(self, rows: Sequence[Sequence[Value]]) -> Sequence[Sequence[Value]]:
        return rows if self._same else [[row[place] for place in self._inputs] for row in rows]

    def of_numbers(self, matrix: npt.NDArray[np.float64]) -> Answers:
        """A member whose own inputs are not all ``float64`` (whole numbers, where another takes any) takes columns."""
        own = matrix if self._same else np.ascontiguousarray(matrix[:, self._inputs])
        if self._plain_numbers:
            return self.model.predict_matrix(own)
        return plain(self.model.predict(columns_of_matrix(own, self.model.signature.inputs)))


def _no_scores(part: _Part) -> IntegrityError:
    return IntegrityError(f"member {part.model.digest[:12]} gives no scores, so they cannot be blended")
