"""Models from files, for a diagnosis outside of a project: a sealed package, skops, or ONNX. Nothing is unpickled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.core.domain.errors import DataError, ExternalError, NotFoundError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


def load_model(path: Path) -> Any:
    """Something with ``predict_proba`` or ``predict`` that takes a pandas frame.

    Args:
        path: the directory of a version's package (``versions/8``), or a ``.skops`` or ``.onnx`` file.

    Raises:
        NotFoundError: there is nothing at the path.
        DataError: a kind of file that is not read, or a skops file with types that are not known to be safe.
        ExternalError: the model cannot be loaded.
    """
    if not path.exists():
        raise NotFoundError(f"there is no model {path}")
    if path.is_dir():
        from trimtab.serving.runtimes.loading import load

        return _Packaged(load(path))
    if path.suffix == ".skops":
        return _skops(path)
    if path.suffix == ".onnx":
        return _onnx(path)
    raise DataError(
        f"{path}: a model is the directory of a version's package, or a .skops or .onnx file. A pickle can run any "
        "code when it is read: save the estimator with skops.io.dump(model, 'model.skops')"
    )


def _skops(path: Path) -> Any:
    from skops import io

    try:
        unknown = io.get_untrusted_types(file=path)
        if unknown:
            raise DataError(f"{path} holds types that are not known to be safe: {', '.join(unknown[:5])}")
        return io.load(path, trusted=[])
    except (OSError, KeyError, ValueError) as error:
        raise ExternalError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error


@dataclass(frozen=True, slots=True)
class _Packaged:
    """A version's package behind the two methods of an estimator."""

    model: Any

    @property
    def classes_(self) -> list[Any]:
        return list(self.model.signature.classes or ())

    def predict_proba(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        scores = self.model.predict(self._columns(frame)).scores
        if scores is None:
            raise DataError("this version gives no scores: a diagnosis of classes needs them")
        found: NDArray[np.float64] = scores
        return found

    def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        return np.asarray(self.model.predict(self._columns(frame)).prediction, dtype=np.float64)

    def _columns(self, frame: pd.DataFrame) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for spec in self.model.signature.inputs:
            if spec.name not in frame:
                raise DataError(f"the model needs the column '{spec.name}', which the table does not have")
            values = frame[spec.name].to_numpy(dtype=object if spec.type == "string" else np.float64)
            out[spec.name] = (
                np.array([None if v != v else v for v in values], dtype=object) if spec.type == "string" else values
            )
        return out


def _onnx(path: Path) -> _Onnx:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        return _Onnx(ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]))
    except Exception as error:  # onnxruntime's own errors share no base class
        raise ExternalError(f"{path} cannot be loaded: {' '.join(str(error).split())[:200]}") from error


@dataclass(frozen=True, slots=True)
class _Onnx:
    """An ONNX graph with one input per column, or one matrix of all columns in the table's order."""

    session: Any

    def predict_proba(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        outputs = self.session.run(None, self._feed(frame))
        matrix = next((out for out in outputs if getattr(out, "ndim", 0) == 2 and out.shape[1] >= 2), None)
        if matrix is None:
            raise DataError("the ONNX model gives no matrix of class scores; convert it with zipmap turned off")
        return np.asarray(matrix, dtype=np.float64)

    def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        return np.asarray(self.session.run(None, self._feed(frame))[0], dtype=np.float64).ravel()

    def _feed(self, frame: pd.DataFrame) -> dict[str, Any]:
        inputs = self.session.get_inputs()
        if len(inputs) == 1 and len(frame.columns) != 1:
            try:
                return {inputs[0].name: frame.to_numpy(dtype=np.float32)}
            except ValueError as error:
                raise DataError(f"the ONNX model takes one matrix of numbers, but {error}") from error
        out: dict[str, Any] = {}
        for each in inputs:
            if each.name not in frame:
                raise DataError(f"the ONNX model needs the column '{each.name}', which the table does not have")
            kind = object if each.type == "tensor(string)" else np.float64 if "double" in each.type else np.float32
            out[each.name] = frame[each.name].to_numpy(dtype=kind).reshape(-1, 1)
        return out
