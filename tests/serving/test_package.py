"""The sealed directory: what is refused, and that what is written is what docs/formats.md says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.serving.package_tools import default_package
from trimtab.core.domain.errors import DataError, IntegrityError
from trimtab.serving.package import (
    Example,
    ExampleOutput,
    InputSpec,
    RuntimeSpec,
    Signature,
    class_text,
    read_example,
    read_signature,
    seal,
    verify,
    write_example,
    write_signature,
)
from trimtab.serving.runtimes.trees import compiled

MODEL = "model.trees" if compiled() else "model.onnx"
"""Of the default estimator, with a C compiler and without."""


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("packages") / "v1"
    default_package(to)
    return to


@pytest.fixture
def package(sealed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sealed, tmp_path / "v1"))


def signature(**changes: object) -> Signature:
    fields = {
        "model": "m", "task": "classification", "target": "y", "inputs": (InputSpec("a", "float64"),),
        "classes": ("no", "yes"), "runtime": RuntimeSpec("onnx", ("model.onnx",)),
    } | changes  # fmt: skip
    return Signature(**fields)  # type: ignore[arg-type]


def test_the_files_are_those_of_the_contract(package: Path) -> None:
    """Somebody else's reader opens a package with docs/formats.md in hand."""
    manifest = json.loads((package / "MANIFEST.json").read_text())
    assert manifest["format"] == 1
    assert set(manifest["files"]) == {
        "baseline.bin", "encoder.json", "example.json", MODEL, "requirements.txt", "signature.json",
    }  # fmt: skip
    assert set(manifest["files"][MODEL]) == {"sha256", "size"}
    written = json.loads((package / "signature.json").read_text())
    assert {"format", "model", "task", "target", "time", "entity", "inputs", "classes", "runtime"} <= set(written)
    assert written["classes"] == [False, True]
    assert written["inputs"][0] == {"name": "carrier", "type": "string", "nullable": True}
    assert set(written["runtime"]) == {"name", "files", "reason", "settings"}
    example = json.loads((package / "example.json").read_text())
    assert set(example["outputs"][0]) == {"prediction", "scores"}
    assert set(example["inputs"][0]) == {"carrier", "hour", "holiday", "wind"}


def test_digest_is_the_manifests_own_hash_and_stable(package: Path) -> None:
    """The registry records the digest; the server checks it on another machine."""
    digest = verify(package)
    assert verify(package, digest) == digest
    (package / "MANIFEST.json").unlink()
    assert seal(package) == digest


@pytest.mark.parametrize("name", [MODEL, "encoder.json", "signature.json", "baseline.bin", "requirements.txt"])
def test_one_flipped_bit_is_refused_by_name(package: Path, name: str) -> None:
    """A disk or a copy damages a file, its size unchanged."""
    path = package / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(IntegrityError, match=rf"{name} was changed"):
        verify(package)


def test_missing_short_and_extra_files_are_refused_by_name(package: Path) -> None:
    """A copy broke off, or somebody dropped a file into the folder."""
    (package / "notes.txt").write_text("x")
    with pytest.raises(IntegrityError, match=r"notes\.txt is not in MANIFEST"):
        verify(package)
    (package / "notes.txt").unlink()
    (package / "baseline.bin").write_bytes(b"b")
    with pytest.raises(IntegrityError, match=r"baseline\.bin has 1 bytes, MANIFEST.json says 8"):
        verify(package)
    (package / "baseline.bin").unlink()
    with pytest.raises(IntegrityError, match=r"baseline\.bin is missing"):
        verify(package)


def test_a_whole_other_package_is_refused_by_its_digest(package: Path) -> None:
    """Files and manifest were exchanged together: only the recorded digest tells."""
    digest = verify(package)
    (package / "baseline.bin").write_bytes(b"another!")
    seal(package)
    with pytest.raises(IntegrityError, match=r"has digest .* recorded is"):
        verify(package, digest)


def test_a_link_is_refused(package: Path, tmp_path: Path) -> None:
    """A link's target can change behind the manifest's back."""
    outside = tmp_path / "outside"
    shutil.move(package / "baseline.bin", outside)
    (package / "baseline.bin").symlink_to(outside)
    with pytest.raises(IntegrityError, match=r"baseline\.bin is a symbolic link"):
        verify(package)
    with pytest.raises(DataError, match="symbolic link"):
        seal(package)


def test_not_a_package(tmp_path: Path) -> None:
    """The wrong folder is given, or an empty one."""
    with pytest.raises(IntegrityError, match=r"MANIFEST\.json is missing"):
        verify(tmp_path)
    (tmp_path / "MANIFEST.json").write_text('{"format": 2, "files": {}}')
    with pytest.raises(IntegrityError, match=r"MANIFEST\.json: Invalid enum value 2"):
        verify(tmp_path)


def test_signature_round_trip_and_its_rules(tmp_path: Path) -> None:
    """Classes of each JSON type keep it; a regression has none."""
    for classes in (("no", "yes"), (False, True), (0, 1, 2), (0.5, 1.0)):
        written = signature(classes=classes)
        write_signature(tmp_path, written)
        back = read_signature(tmp_path)
        assert back == written
        assert [type(value) for value in back.classes or ()] == [type(value) for value in classes]
    write_signature(tmp_path, signature(task="regression", classes=None))
    assert "classes" not in json.loads((tmp_path / "signature.json").read_text())
    assert read_signature(tmp_path).positive_class is None
    assert signature(classes=(True, False), positive=False).positive_class is False
    assert signature().positive_class == "yes"
    for wrong in ({"classes": None}, {"positive": "maybe"}, {"inputs": (InputSpec("a", "bool"),) * 2}):
        with pytest.raises(DataError, match="signature"):
            signature(**wrong)


@given(st.one_of(st.booleans(), st.integers(-(2**53), 2**53), st.text()))
def test_class_text_is_json_without_quotes(value: bool | int | str) -> None:
    """A label arrives as the text of its class and must find it."""
    text = class_text(value)
    assert text == (value if isinstance(value, str) else json.dumps(value))


def test_example_refuses_what_json_cannot_hold(tmp_path: Path) -> None:
    """NaN is missing; an infinite number would come back as missing."""
    output = ExampleOutput(prediction=True, scores=(0.25, 0.75))
    write_example(tmp_path, [{"a": float("nan"), "b": "x"}], [output])
    assert read_example(tmp_path) == Example(({"a": None, "b": "x"},), (output,))
    with pytest.raises(DataError, match="input 'a' is inf"):
        write_example(tmp_path, [{"a": float("inf")}], [output])
    write_example(tmp_path, [{"a": 1.0}], [])
    with pytest.raises(IntegrityError, match="found 1 inputs and 0 outputs"):
        read_example(tmp_path)
