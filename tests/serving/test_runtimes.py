"""Loading proves a model; the two ways of scoring agree; what the model refuses is said by name."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tests.serving.package_tools import build, default_package, flights, linear_package
from trimtab.core.domain.errors import DataError, ExternalError, IntegrityError
from trimtab.serving.package import ExampleOutput, seal
from trimtab.serving.runtimes import Model, Row, load
from trimtab.serving.runtimes.loading import same
from trimtab.serving.runtimes.trees import compiled
from trimtab.training import compile as compiling
from trimtab.training.compile_columns import columns_of
from trimtab.training.compile_parity import row_values


def only(runtime: str) -> Callable[[Path], Any]:
    def package(to: Path) -> Any:
        forms = compiling.compiled_forms
        with mock.patch.object(compiling, "compiled_forms", lambda *a: (f for f in forms(*a) if f[0] == runtime)):
            return default_package(to)

    return package


def native_package(to: Path) -> Any:
    with mock.patch.object(compiling, "compiled_forms", return_value=()):
        return default_package(to)


PACKAGES: dict[str, Callable[[Path], Any]] = {
    **({"trees": default_package} if compiled() else {}),
    "onnx": only("onnx"),
    "treelite": only("treelite"),
    "native": native_package,
}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("packages")
    for name, make in PACKAGES.items():
        assert make(folder / name).runtime == name
    assert linear_package(folder / "linear").runtime == "onnx"
    return {name: folder / name for name in [*PACKAGES, "linear"]}


@pytest.mark.parametrize("runtime", PACKAGES)
def test_batch_and_row_agree_with_each_other_and_across_runtimes(packages: dict[str, Path], runtime: str) -> None:
    """The same entity is scored singly by a request and in a batch by a file."""
    frame, _ = flights(80, seed=5)
    model, native = load(packages[runtime]), load(packages["native"])
    columns = columns_of(frame, model.signature.inputs)
    batch, expected = model.predict(columns), native.predict(columns)
    assert batch.scores is not None
    assert expected.scores is not None
    np.testing.assert_allclose(batch.scores, expected.scores, atol=1e-12)
    assert batch.prediction.dtype == np.bool_
    assert (batch.prediction == expected.prediction).all()
    assert 0 < batch.prediction.sum() < 80
    for index in range(20):
        row = model.predict_row(row_values(model, columns, index))
        assert row.prediction is bool(batch.prediction[index])
        assert row.scores == pytest.approx(tuple(batch.scores[index]), abs=1e-12)


@pytest.mark.parametrize("runtime", PACKAGES)
def test_what_requests_really_hold(packages: dict[str, Path], runtime: str) -> None:
    """Columns in another order, extra ones, None and NaN alike for missing, an unseen category, no rows at all."""
    model = load(packages[runtime])
    none = model.predict_row([None, None, None, None])
    assert model.predict_row([None, float("nan"), float("nan"), float("nan")]) == none
    assert model.predict_row(["ZZ", 12, True, 3.5]) == model.predict_row([None, 12.0, 1.0, 3.5])
    columns = {
        "wind": np.array([3.5, np.nan]), "extra": np.zeros(2), "holiday": np.array([1.0, np.nan]),
        "hour": np.array([12.0, np.nan]), "carrier": np.array(["B6", None], dtype=object),
    }  # fmt: skip
    outputs = model.predict(columns)
    assert outputs.scores is not None
    assert tuple(outputs.scores[1]) == pytest.approx(none.scores)
    assert tuple(outputs.scores[0]) == pytest.approx(model.predict_row(["B6", 12, True, 3.5]).scores)
    empty = model.predict({name: column[:0] for name, column in columns.items()})
    assert len(empty.prediction) == 0
    assert empty.scores is not None
    assert empty.scores.shape == (0, 2)
    del columns["hour"]
    with pytest.raises(DataError, match="input 'hour' is not there; found carrier, extra, holiday, wind"):
        model.predict(columns)


def test_a_missing_value_that_the_model_refuses_is_named(packages: dict[str, Path]) -> None:
    """A column arrives empty at a model that was trained without missing values."""
    model = load(packages["linear"])
    assert [spec.nullable for spec in model.signature.inputs] == [False, False]
    with pytest.raises(DataError, match="input 'wind' is missing"):
        model.predict_row([12, None])
    with pytest.raises(DataError, match="input 'hour' is missing"):
        model.predict({"hour": np.array([1.0, np.nan]), "wind": np.zeros(2)})
    with pytest.raises(DataError, match="inputs differ in length: hour 1, wind 2"):
        model.predict({"hour": np.zeros(1), "wind": np.zeros(2)})


@pytest.mark.parametrize("runtime", [*PACKAGES, "linear"])
def test_threads_share_a_model(packages: dict[str, Path], runtime: str) -> None:
    """The server scores from a pool of threads."""
    frame, _ = flights(60, seed=7)
    model = load(packages[runtime])
    columns = columns_of(frame.fillna({"wind": 0.0}), model.signature.inputs)
    rows = [row_values(model, columns, index) for index in range(60)]
    alone = [model.predict_row(row) for row in rows]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(model.predict_row, rows * 4)) == alone * 4


@pytest.mark.parametrize("runtime", PACKAGES)
def test_a_model_that_does_not_give_its_recorded_answers_is_refused(
    packages: dict[str, Path], runtime: str, tmp_path: Path
) -> None:
    """Another version of a library computes something else: every hash is right, the answers are not."""
    package = Path(shutil.copytree(packages[runtime], tmp_path / "v"))
    example = json.loads((package / "example.json").read_text())
    first, second = example["outputs"][1]["scores"]
    example["outputs"][1]["scores"] = [first - 0.01, second + 0.01]
    (package / "example.json").write_text(json.dumps(example))
    with pytest.raises(IntegrityError, match=r"example\.json"):
        load(package)
    digest = seal(package)
    with pytest.raises(IntegrityError, match=r"example 1 \(row\) gives .* recorded is"):
        load(package, digest)


def test_a_damaged_model_file_never_reaches_its_library(packages: dict[str, Path], tmp_path: Path) -> None:
    """The pickle of a native model was exchanged: it must not be executed."""
    frame, late = flights()
    numbers = frame[["hour"]].astype(float)
    pipeline = make_pipeline(FunctionTransformer(lambda x: x / 10), LogisticRegression()).fit(numbers, late)
    build(tmp_path / "v", pipeline, numbers)
    assert (tmp_path / "v" / "model.pkl").exists()
    mark = tmp_path / "executed"
    (tmp_path / "v" / "model.pkl").write_bytes(b"cos\nsystem\n(S'touch " + str(mark).encode() + b"'\ntR.")
    with pytest.raises(IntegrityError, match=r"model\.pkl has"):
        load(tmp_path / "v")
    assert not mark.exists()


def test_a_file_that_is_no_model_is_an_external_error(packages: dict[str, Path], tmp_path: Path) -> None:
    """A package sealed by hand around a broken file."""
    for runtime, file in (("onnx", "model.onnx"), ("treelite", "model.tl"), ("native", "model.skops")):
        package = Path(shutil.copytree(packages[runtime], tmp_path / runtime))
        (package / file).write_bytes(b"no model")
        seal(package)
        with pytest.raises(ExternalError, match=rf"{file.replace('.', '[.]')} cannot be loaded"):
            load(package)


def test_an_untrusted_type_is_not_made(packages: dict[str, Path], tmp_path: Path) -> None:
    """The list of trusted types in the signature is what loading may make, and no more."""
    package = Path(shutil.copytree(packages["native"], tmp_path / "v"))
    signature = json.loads((package / "signature.json").read_text())
    assert signature["runtime"]["settings"]["trusted"]
    signature["runtime"]["settings"]["trusted"] = []
    (package / "signature.json").write_text(json.dumps(signature))
    seal(package)
    with pytest.raises(ExternalError, match=r"model\.skops cannot be loaded: UntrustedTypesFoundException"):
        load(package)


def test_unknown_runtime_and_missing_library_are_one_clear_line(packages: dict[str, Path], tmp_path: Path) -> None:
    """A lean serving image meets a package it was not made for."""
    package = Path(shutil.copytree(packages["onnx"], tmp_path / "v"))
    with (
        mock.patch.dict(sys.modules, {"onnxruntime": None}),
        pytest.raises(ExternalError, match=r"'onnx' needs onnxruntime, .* pip install 'trimtab\[serve\]'"),
    ):
        load(package)
    signature = json.loads((package / "signature.json").read_text())
    signature["runtime"]["name"] = "abacus"
    (package / "signature.json").write_text(json.dumps(signature))
    seal(package)
    with pytest.raises(
        ExternalError, match="runtime 'abacus'; this version of Trimtab has trees, onnx, treelite, native"
    ):
        load(package)


def test_an_onnx_model_brings_no_training_library(packages: dict[str, Path]) -> None:
    """The serving image holds onnxruntime and no scikit-learn."""
    code = (
        "import sys; from pathlib import Path; from trimtab.serving.runtimes import load;"
        f"m = load(Path({str(packages['onnx'])!r})); m.predict_row(['AA', 12, False, 1.0]);"
        "heavy = ('sklearn', 'pandas', 'treelite', 'scipy', 'skl2onnx', 'onnx', 'pyarrow');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_answers_are_the_same_within_the_tolerance_only() -> None:
    """A class may differ only where the scores tie; a value is compared relative to its size."""
    assert same(Row(True, (0.25, 0.75)), ExampleOutput(True, (0.250001, 0.749999)))
    assert not same(Row(True, (0.25, 0.75)), ExampleOutput(True, (0.2501, 0.7499)))
    assert not same(Row(False, (0.25, 0.75)), ExampleOutput(True, (0.25, 0.75)))
    assert same(Row(False, (0.5, 0.5)), ExampleOutput(True, (0.5, 0.5)))
    assert not same(Row(True, None), ExampleOutput(True, (0.5, 0.5)))
    assert same(Row(1e6 + 1, None), ExampleOutput(1e6, None))
    assert not same(Row(1e6 + 100, None), ExampleOutput(1e6, None))
    assert not same(Row(float("nan"), None), ExampleOutput(1.0, None))


def test_model_protocol_is_met(packages: dict[str, Path]) -> None:
    """Whatever runs a version, the server calls it in the same way."""
    models: list[Model] = [load(path) for path in packages.values()]
    assert all(len(model.digest) == 64 for model in models)
