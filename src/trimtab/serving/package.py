"""A package: one version of a model as a sealed directory, the contract of docs/formats.md.

Standard library and msgspec only, so that reading a signature costs milliseconds. A package is written once, sealed by
``MANIFEST.json``, and never changed; the sha256 of the manifest is the version's digest.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from trimtab.core.domain.errors import DataError, IntegrityError

T = TypeVar("T")

FORMAT: Literal[1] = 1
MANIFEST = "MANIFEST.json"
SIGNATURE = "signature.json"
EXAMPLE = "example.json"
BASELINE = "baseline.bin"
REQUIREMENTS = "requirements.txt"

InputType = Literal["float64", "int64", "bool", "string", "datetime"]
Task = Literal["classification", "regression"]
ClassValue = bool | int | float | str
"""What a class is called: a JSON scalar."""


class InputSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One column that the model takes."""

    name: str
    type: InputType
    """``string`` is a category; ``datetime`` reaches the model as seconds since the epoch, UTC."""
    nullable: bool = True
    """Whether missing values were seen in the rows the package was built from."""


class RuntimeSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the model is executed."""

    name: str
    """``onnx``, ``treelite``, ``native`` or ``blend``."""
    files: tuple[str, ...]
    """Names of the model's files in the package."""
    reason: str = ""
    """Why this runtime was taken, in words."""
    settings: dict[str, Any] = {}
    """What this runtime needs to know: trusted types, output form, …"""


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is made of the model's answers before they are given (``serving.runtimes.calibrated`` executes it).

    Class scores become q_k ~ p_k^exponents_k exp(offsets_k), or with knots the second class's score goes along the
    lines between them; a number becomes exponents_0 times itself plus offsets_0.
    """

    method: str
    """How it was made, for people: ``prior``, ``platt``, ``beta``, ``isotonic``, ``shift``, …"""
    exponents: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    knots: tuple[float, ...] = ()
    values: tuple[float, ...] = ()


class Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes into a model and what comes out."""

    format: Literal[1] = FORMAT
    model: str
    """The endpoint's name, as in the project file."""
    task: Task
    target: str
    time: str | None = None
    """Column of the event time; need not be an input."""
    entity: str | None = None
    """Column that routing sticks to; need not be an input."""
    inputs: tuple[InputSpec, ...]
    """In the order of the estimator's columns and of ``Model.predict_row``."""
    classes: tuple[ClassValue, ...] | None = None
    """In the order of the scores; None for regression."""
    positive: ClassValue | None = None
    runtime: RuntimeSpec
    calibration: Calibration | None = None
    """Of a recalibrated version; None: the model's answers as they are."""

    def __post_init__(self) -> None:
        names = [spec.name for spec in self.inputs]
        double = sorted({name for name in names if names.count(name) > 1})
        if double:
            raise DataError(f"signature names an input twice: {', '.join(double)}")
        if (self.classes is None) != (self.task == "regression"):
            raise DataError(f"signature: classes belong to classification and to nothing else; task is {self.task}")
        if self.positive is not None and (self.classes is None or self.positive not in self.classes):
            raise DataError(f"signature: positive class {self.positive!r} is not one of {list(self.classes or ())}")

    @property
    def positive_class(self) -> ClassValue | None:
        """The positive of two classes (by default the second); None for regression and for more classes."""
        if self.classes is None or len(self.classes) != 2:
            return None
        return self.classes[1] if self.positive is None else self.positive

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(spec.name for spec in self.inputs)


class ExampleOutput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the trained model answered for a row."""

    prediction: ClassValue
    scores: tuple[float, ...] | None = None


class Example(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows on which a version proves itself before it gets traffic. Missing values are null."""

    inputs: tuple[dict[str, ClassValue | None], ...]
    outputs: tuple[ExampleOutput, ...]


class _FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sha256: str
    size: int


class _Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal[1]
    files: dict[str, _FileEntry]


def class_text(value: ClassValue) -> str:
    """The class's text in logs and labels: its JSON form without quotes.

    >>> class_text(True), class_text(3), class_text("late")
    ('true', '3', 'late')
    """
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def read_signature(directory: Path) -> Signature:
    """The package's ``signature.json``.

    Raises:
        IntegrityError: it is not there or not of the format.
    """
    return _read(directory / SIGNATURE, Signature)


def write_signature(directory: Path, signature: Signature) -> None:
    """Write ``signature.json``; what does not apply (``classes`` of a regression) is left out."""
    fields = msgspec.to_builtins(signature)
    for name in ("classes", "positive", "calibration"):
        if fields[name] is None:
            del fields[name]
    (directory / SIGNATURE).write_bytes(msgspec.json.format(msgspec.json.encode(fields), indent=2) + b"\n")


def read_example(directory: Path) -> Example:
    """The package's ``example.json``.

    Raises:
        IntegrityError: it is not there, not of the format, or its inputs and outputs differ in number.
    """
    example = _read(directory / EXAMPLE, Example)
    if not example.inputs or len(example.inputs) != len(example.outputs):
        found = f"{len(example.inputs)} inputs and {len(example.outputs)} outputs"
        raise IntegrityError(f"{directory / EXAMPLE}: needs as many outputs as inputs, at least one; found {found}")
    return example


def write_example(
    directory: Path, inputs: Sequence[Mapping[str, ClassValue | None]], outputs: Sequence[ExampleOutput]
) -> None:
    """Write ``example.json``. NaN is written as null; an infinite number has no JSON form and is refused."""
    rows = [{name: _json_value(name, value) for name, value in row.items()} for row in inputs]
    example = Example(inputs=tuple(rows), outputs=tuple(outputs))
    (directory / EXAMPLE).write_bytes(msgspec.json.format(msgspec.json.encode(example), indent=1) + b"\n")


def seal(directory: Path) -> str:
    """Write ``MANIFEST.json`` over all files of the directory and return its sha256: the version's digest.

    Files and the directory are synced to disk first, so a sealed package survives a power cut.

    Raises:
        DataError: there is nothing to seal, or a symbolic link, whose target no hash could hold.
    """
    files = {}
    for path in _files(directory):
        name = path.relative_to(directory).as_posix()
        if path.is_symlink():
            raise DataError(f"{path} is a symbolic link; a package holds plain files only")
        if name != MANIFEST:
            _sync(path)
            files[name] = _FileEntry(sha256=_sha256(path), size=path.stat().st_size)
    if not files:
        raise DataError(f"{directory} has no files to seal")
    content = msgspec.json.encode(_Manifest(format=FORMAT, files=files), order="deterministic")
    (directory / MANIFEST).write_bytes(content)
    _sync(directory / MANIFEST)
    _sync(directory)
    return hashlib.sha256(content).hexdigest()


def verify(directory: Path, expected: str | None = None) -> str:
    """Check every file against the manifest and return the digest.

    Raises:
        IntegrityError: the manifest is missing, is not ``expected``, or a file is missing, changed or not in it.
    """
    manifest_path = directory / MANIFEST
    manifest = _read(manifest_path, _Manifest)
    digest = _sha256(manifest_path)
    if expected is not None and digest != expected:
        raise IntegrityError(f"{manifest_path} has digest {digest[:12]}…, recorded is {expected[:12]}…")
    found = {path.relative_to(directory).as_posix(): path for path in _files(directory)}
    found.pop(MANIFEST, None)
    missing, extra = sorted(manifest.files.keys() - found.keys()), sorted(found.keys() - manifest.files.keys())
    if missing:
        raise IntegrityError(f"{directory / missing[0]} is missing, MANIFEST.json lists it")
    if extra:
        raise IntegrityError(f"{directory / extra[0]} is not in MANIFEST.json; a sealed package takes no more files")
    for name, entry in manifest.files.items():
        _verify_file(found[name], entry)
    return digest


def _verify_file(path: Path, entry: _FileEntry) -> None:
    if path.is_symlink():
        raise IntegrityError(f"{path} is a symbolic link; a package holds plain files only")
    try:
        size = path.stat().st_size
        if size != entry.size:
            raise IntegrityError(f"{path} has {size} bytes, MANIFEST.json says {entry.size}")
        digest = _sha256(path)
    except OSError as error:
        raise IntegrityError(f"{path} cannot be read: {error.strerror or error}") from error
    if digest != entry.sha256:
        raise IntegrityError(f"{path} was changed: sha256 {digest[:12]}…, MANIFEST.json says {entry.sha256[:12]}…")


def _files(directory: Path) -> list[Path]:
    """Every file and link below the directory, sorted; links to directories count as files and are not followed."""
    if not directory.is_dir():
        raise IntegrityError(f"{directory} is not a directory")
    paths: list[Path] = []
    for folder, subfolders, names in os.walk(directory):
        links = [name for name in subfolders if Path(folder, name).is_symlink()]
        paths.extend(Path(folder, name) for name in [*names, *links])
    return sorted(paths)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        raise IntegrityError(f"{path} is missing; is {path.parent} a model package?") from None
    except OSError as error:
        raise IntegrityError(f"{path} cannot be read: {error.strerror or error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, DataError) as error:
        raise IntegrityError(f"{path}: {error}") from error


def _json_value(name: str, value: ClassValue | None) -> ClassValue | None:
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value):
            return None
        raise DataError(f"example: input '{name}' is {value}, which JSON cannot hold; choose another row")
    return value
