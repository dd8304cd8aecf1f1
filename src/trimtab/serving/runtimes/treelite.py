"""Treelite's general tree inference (GTIL) in float64 over the encoder's matrix."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.core.domain.errors import ExternalError
from trimtab.serving.package import Signature
from trimtab.serving.runtimes.base import Answers, Columns, MissingLibraryError, Model, Outputs, Row, Value
from trimtab.serving.runtimes.encoder import Encoder, read_encoder
from trimtab.serving.runtimes.heads import Head

MODEL = "model.tl"


def open_treelite(directory: Path, signature: Signature, digest: str) -> Model:
    """Load ``model.tl`` and ``encoder.json``."""
    try:
        import treelite
    except ImportError as error:
        raise MissingLibraryError("treelite", "treelite", "serve") from error
    try:
        trees = treelite.Model.deserialize(directory / MODEL)
    except treelite.TreeliteError as error:
        raise ExternalError(f"{MODEL} cannot be loaded by treelite {treelite.__version__}: {error}") from error
    return TreeliteModel(signature, digest, trees, read_encoder(directory, signature))


class TreeliteModel:
    """Preprocessing by the encoder, margins by treelite, the link by the head."""

    direct = None

    def __init__(self, signature: Signature, digest: str, trees: Any, encoder: Encoder) -> None:
        from treelite import TreeliteError, gtil

        self.signature, self.digest = signature, digest
        self._encoder, self._head = encoder, Head(signature)
        self._trees, self._predict, self._error = trees, gtil.predict, TreeliteError
        self._dtype = np.dtype(trees.input_type)

    def predict(self, columns: Columns) -> Outputs:
        matrix = self._encoder.matrix(columns)
        if not len(matrix):
            return self._head.empty()
        return self._head.batch(self._call(matrix))

    def predict_row(self, values: Sequence[Value]) -> Row:
        return self._head.row(self._call(self._encoder.row(values)).ravel().tolist())

    def predict_rows(self, rows: Sequence[Sequence[Value]]) -> Answers:
        return self._head.rows(self._call(self._encoder.rows(rows)))

    def predict_matrix(self, matrix: npt.NDArray[np.float64]) -> Answers:
        return self._head.rows(self._call(self._encoder.numbers(matrix)))

    def _call(self, matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.generic]:
        try:
            raw: npt.NDArray[np.generic] = self._predict(
                self._trees, matrix.astype(self._dtype, copy=False), nthread=1, pred_margin=True
            )
        except (self._error, ctypes.ArgumentError) as error:
            raise ExternalError(f"treelite failed on {len(matrix)} rows: {error}") from error
        return raw
