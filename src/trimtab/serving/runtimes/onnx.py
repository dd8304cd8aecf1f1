"""ONNX Runtime: graphs over the encoder's matrix (float64 where the graph allows), or over one tensor per column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.core.domain.errors import DataError, ExternalError, IntegrityError
from trimtab.serving.package import InputSpec, Signature
from trimtab.serving.runtimes.base import (
    Answers,
    Columns,
    MissingLibraryError,
    Model,
    Outputs,
    Row,
    Value,
    columns_of_matrix,
    columns_of_rows,
    plain,
)
from trimtab.serving.runtimes.encoder import Encoder, read_encoder
from trimtab.serving.runtimes.heads import Head

MODEL = "model.onnx"


def open_onnx(directory: Path, signature: Signature, digest: str) -> Model:
    """Load ``model.onnx``; ``runtime.settings["form"]`` says ``matrix`` (with encoder.json) or ``columns``."""
    session = _session(directory / MODEL)
    form = signature.runtime.settings.get("form")
    if form == "matrix":
        return MatrixModel(signature, digest, session, read_encoder(directory, signature))
    if form == "columns":
        return ColumnsModel(signature, digest, session)
    raise IntegrityError(f"{directory}: runtime.settings.form must be matrix or columns, found {form!r}")


class MatrixModel:
    """Preprocessing by the encoder, the estimator by the graph: input (n, width), output (n, numbers)."""

    direct = None

    def __init__(self, signature: Signature, digest: str, session: Any, encoder: Encoder) -> None:
        self.signature, self.digest = signature, digest
        self._encoder, self._head = encoder, Head(signature)
        self._input = session.get_inputs()[0].name
        self._outputs = [session.get_outputs()[-1].name]
        self._dtype = np.float32 if session.get_inputs()[0].type == "tensor(float)" else np.float64
        self._run = session.run

    def predict(self, columns: Columns) -> Outputs:
        matrix = self._encoder.matrix(columns)
        return self._head.batch(self._call(matrix.astype(self._dtype, copy=False)))

    def predict_row(self, values: Sequence[Value]) -> Row:
        matrix = self._encoder.row(values)
        if self._dtype is np.float32:
            return self._head.row(self._call(matrix.astype(np.float32)).ravel().tolist())
        return self._head.row(self._call(matrix)[0].tolist())

    def predict_rows(self, rows: Sequence[Sequence[Value]]) -> Answers:
        return self._head.rows(self._call(self._encoder.rows(rows).astype(self._dtype, copy=False)))

    def predict_matrix(self, matrix: npt.NDArray[np.float64]) -> Answers:
        return self._head.rows(self._call(self._encoder.numbers(matrix).astype(self._dtype, copy=False)))

    def _call(self, matrix: Any) -> Any:
        try:
            return self._run(self._outputs, {self._input: matrix})[0]
        except Exception as error:
            raise ExternalError(f"ONNX Runtime failed on {len(matrix)} rows: {error}") from error


class ColumnsModel:
    """The whole pipeline as a graph with one input tensor (n, 1) per column: strings as strings, numbers as float32."""

    direct = None

    def __init__(self, signature: Signature, digest: str, session: Any) -> None:
        self.signature, self.digest = signature, digest
        self._head, self._run = Head(signature), session.run
        self._outputs = [session.get_outputs()[-1].name]
        wanted = {tensor.name: tensor.type for tensor in session.get_inputs()}
        self._specs = [spec for spec in signature.inputs if spec.name in wanted]
        unknown = sorted(wanted.keys() - {spec.name for spec in self._specs})
        if unknown:
            raise IntegrityError(f"{MODEL} takes inputs that signature.json does not have: {', '.join(unknown)}")
        self._numbers = np.float32 if "tensor(float)" in wanted.values() else np.float64

    def predict(self, columns: Columns) -> Outputs:
        feed = {spec.name: self._tensor(spec, columns) for spec in self._specs}
        try:
            raw = self._run(self._outputs, feed)[0]
        except Exception as error:
            raise ExternalError(f"ONNX Runtime failed: {error}") from error
        return self._head.batch(raw)

    def predict_row(self, values: Sequence[Value]) -> Row:
        columns = {
            spec.name: np.array([value], dtype=object if spec.type == "string" else np.float64)
            for spec, value in zip(self.signature.inputs, values, strict=True)
        }
        outputs = self.predict(columns)
        value = outputs.prediction[0]
        scores = None if outputs.scores is None else tuple(outputs.scores[0].tolist())
        return Row(value.item() if isinstance(value, np.generic) else value, scores)

    def predict_rows(self, rows: Sequence[Sequence[Value]]) -> Answers:
        return plain(self.predict(columns_of_rows(rows, self.signature.inputs)))

    def predict_matrix(self, matrix: npt.NDArray[np.float64]) -> Answers:
        return plain(self.predict(columns_of_matrix(matrix, self.signature.inputs)))

    def _tensor(self, spec: InputSpec, columns: Columns) -> Any:
        if spec.name not in columns:
            raise DataError(f"input '{spec.name}' is not there; found {', '.join(sorted(columns)) or 'no columns'}")
        column = columns[spec.name]
        if spec.type != "string":
            return column.astype(self._numbers).reshape(-1, 1)
        if any(value is None for value in column):
            raise DataError(f"input '{spec.name}' is missing; the model was trained without missing values")
        return column.reshape(-1, 1)


def _session(path: Path) -> Any:
    """A session on one thread: the server's processes share the cores, not the threads of one model."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingLibraryError("onnx", "onnxruntime", "serve") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        words = str(error).replace(str(path), path.name)
        raise ExternalError(
            f"{path.name} cannot be loaded by onnxruntime {onnxruntime.__version__}: {words}"
        ) from error
