"""Tree ensembles by Trimtab's own loop in float64 over the encoder's matrix (``model.trees``).

The fastest way through trees where it is compiled (``trimtab.serving.compiled``); without a C compiler the same walk is
done by numpy, level by level: right, but slow for single rows, which is said when the model is loaded.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from trimtab.core.domain.errors import IntegrityError
from trimtab.serving.package import Signature
from trimtab.serving.runtimes.base import Answers, Columns, Direct, Model, Outputs, Row, Value
from trimtab.serving.runtimes.encoder import Encoder, read_encoder
from trimtab.serving.runtimes.heads import Head

MODEL = "model.trees"
LANES = 8
"""Trees walked side by side."""
NUMBER, SET = 0, 1
"""Kinds of nodes: a threshold, or a set of category codes."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]

_log = logging.getLogger("trimtab.serving")


@dataclass(frozen=True, slots=True)
class ForestArrays:
    """An ensemble node by node; the two ways on from a node stand beside each other."""

    thresholds: Floats
    """A value that is not above it goes to ``yes``. At sets: where in ``words`` the set begins. At leaves: infinity."""
    yes: Ints
    """The node to go to; every other value goes to the one after it. A leaf names itself."""
    features: Ints
    missing_yes: npt.NDArray[np.uint8]
    kinds: npt.NDArray[np.uint8]
    words: npt.NDArray[np.uint64]
    """Sets one after the other: the number of words, then the words; bit ``c % 64`` of word ``c // 64`` is code c."""
    leaves: Floats
    """(nodes, 1), or (nodes, outputs) where a leaf adds to all outputs."""
    roots: Ints
    targets: Ints
    """By tree: the output that its leaves add to."""
    width: int
    outputs: int

    def to_bytes(self) -> bytes:
        """The content of ``model.trees``."""
        content = io.BytesIO()
        arrays: dict[str, Any] = {name: np.asarray(getattr(self, name)) for name in self.__dataclass_fields__}
        np.savez(content, **arrays)
        return content.getvalue()


class Walker(Protocol):
    """What scores."""

    def rows(self, matrix: Floats) -> Floats:
        """(n, width) to (n, outputs)."""
        ...

    def row(self, packed: bytes) -> list[float]:
        """One row of doubles side by side to its outputs."""
        ...


def open_trees(directory: Path, signature: Signature, digest: str) -> Model:
    """Load ``model.trees`` and ``encoder.json``."""
    return TreesModel(signature, digest, read_forest(directory / MODEL), read_encoder(directory, signature))


class TreesModel:
    """Preprocessing by the encoder, sums of leaves by the walker, the link by the head."""

    def __init__(self, signature: Signature, digest: str, forest: ForestArrays, encoder: Encoder) -> None:
        if forest.width != encoder.width:
            raise IntegrityError(f"{MODEL} takes {forest.width} numbers, encoder.json makes {encoder.width}")
        self.signature, self.digest = signature, digest
        self._encoder, self._head = encoder, Head(signature)
        self._walker = walker(forest, encoder.single)
        compiled = not isinstance(self._walker, NumpyWalker)
        if not compiled:
            _log.warning("%s is served without compiled code, which is slow: install Trimtab with a C compiler", MODEL)
        plain = compiled and encoder.plain and forest.outputs == 1
        self.direct = Direct(self._walker, *self._head.link) if plain else None

    def predict(self, columns: Columns) -> Outputs:
        return self._head.batch(self._walker.rows(self._encoder.matrix(columns)))

    def predict_row(self, values: Sequence[Value]) -> Row:
        return self._head.row(self._walker.row(self._encoder.row(values).tobytes()))

    def predict_rows(self, rows: Sequence[Sequence[Value]]) -> Answers:
        return self._head.rows(self._walker.rows(self._encoder.rows(rows)))

    def predict_matrix(self, matrix: Floats) -> Answers:
        return self._head.rows(self._walker.rows(np.ascontiguousarray(self._encoder.numbers(matrix))))


def compiled() -> bool:
    """Whether the compiled walk is there."""
    return importlib.util.find_spec("trimtab.serving.compiled.forest") is not None


def walker(forest: ForestArrays, single: bool) -> Walker:
    """The compiled one where it is there. ``single``: rows are rounded to float32 first."""
    try:
        from trimtab.serving.compiled import forest as compiled_forest
    except ImportError:
        return NumpyWalker(forest, single)
    arrays, depths = grouped(forest)
    return compiled_forest.Forest(
        arrays.thresholds,
        arrays.yes,
        arrays.features,
        arrays.missing_yes,
        arrays.kinds,
        arrays.words,
        arrays.leaves,
        arrays.roots,
        arrays.targets,
        depths,
        arrays.width,
        arrays.outputs,
        single,
    )


class NumpyWalker:
    """All rows go down all trees together, a level at a time."""

    def __init__(self, forest: ForestArrays, single: bool) -> None:
        self._forest, self._single = forest, single
        self._depth = int(depths_of(forest).max(initial=0))

    def rows(self, matrix: Floats) -> Floats:
        forest = self._forest
        if self._single:
            with np.errstate(over="ignore"):
                matrix = matrix.astype(np.float32).astype(np.float64)
        row = np.arange(len(matrix))[:, None]
        at = np.broadcast_to(forest.roots, (len(matrix), len(forest.roots)))
        for _ in range(self._depth):
            x = matrix[row, forest.features[at]]
            missing = np.isnan(x)
            no = np.where(missing, forest.missing_yes[at] == 0, x > forest.thresholds[at])
            sets = (forest.kinds[at] == SET) & ~missing
            no[sets] = ~self._inside(forest.thresholds[at][sets].astype(np.int64), x[sets])
            at = forest.yes[at] + no
        if forest.leaves.shape[1] > 1:
            return np.asarray(forest.leaves[at].sum(axis=1))
        out = np.zeros((len(matrix), forest.outputs))
        values = forest.leaves[at, 0]
        for target in range(forest.outputs):
            out[:, target] = values[:, forest.targets == target].sum(axis=1)
        return out

    def row(self, packed: bytes) -> list[float]:
        found: list[float] = self.rows(np.frombuffer(packed).reshape(1, -1))[0].tolist()
        return found

    def _inside(self, first: npt.NDArray[np.int64], x: Floats) -> npt.NDArray[np.bool_]:
        words = self._forest.words
        known = (x >= 0) & (x < 64 * words[first].astype(np.float64)) & (x == np.floor(x))
        code = np.where(known, x, 0.0).astype(np.int64)
        bits = words[np.where(known, first + 1 + (code >> 6), 0)] >> (code & 63).astype(np.uint64)
        return np.asarray(known & ((bits & np.uint64(1)) == 1))


def read_forest(path: Path) -> ForestArrays:
    """Read and check: compiled code follows these numbers without looking.

    Raises:
        IntegrityError: the file cannot be read, or a node leads out of the arrays or round in a circle.
    """
    kinds: dict[str, Any] = {
        "thresholds": np.float64, "yes": np.int32, "features": np.int32, "missing_yes": np.uint8, "kinds": np.uint8,
        "words": np.uint64, "leaves": np.float64, "roots": np.int32, "targets": np.int32,
    }  # fmt: skip
    try:
        with np.load(path, allow_pickle=False) as found:
            arrays = {
                name: np.ascontiguousarray(found[name].astype(kind, casting="safe")) for name, kind in kinds.items()
            }
            forest = ForestArrays(**arrays, width=int(found["width"]), outputs=int(found["outputs"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise IntegrityError(f"{path} cannot be read: {error}") from error
    problem = _problem(forest)
    if problem:
        raise IntegrityError(f"{path}: {problem}")
    return forest


def _problem(forest: ForestArrays) -> str:
    """What is wrong with the arrays; empty where nothing is."""
    n, trees = len(forest.thresholds), len(forest.roots)
    by_node = (forest.yes, forest.features, forest.missing_yes, forest.kinds, forest.leaves)
    if any(len(each) != n for each in by_node) or len(forest.targets) != trees:
        return "arrays differ in length"
    if not (n and trees and forest.outputs > 0 and forest.width > 0):
        return "it has no trees"
    if forest.leaves.ndim != 2 or forest.leaves.shape[1] not in (1, forest.outputs):
        return "leaves have another width"
    inner = forest.yes != np.arange(n)
    first = forest.thresholds[(forest.kinds == SET) & inner]
    checks = {
        "a feature is out of range": _within(forest.features, forest.width),
        "a root is out of range": _within(forest.roots, n),
        "an output is out of range": _within(forest.targets, forest.outputs),
        "a node leads out of the arrays": _within(forest.yes[inner], n - 1),
        "a leaf is not a leaf": np.isposinf(forest.thresholds[~inner])
        & (forest.missing_yes[~inner] == 1)
        & (forest.kinds[~inner] == NUMBER),
        "a node is of no known kind": ~np.isnan(forest.thresholds) & (forest.kinds <= SET),
    }
    wrong = next((words for words, right in checks.items() if not right.all()), "")
    if wrong:
        return wrong
    if not _sets_fit(forest.words, first):
        return "a set is out of range"
    try:
        depths_of(forest)
    except IntegrityError as error:
        return str(error)
    return ""


def _within(values: Ints, end: int) -> npt.NDArray[np.bool_]:
    return np.asarray((values >= 0) & (values < end))


def _sets_fit(words: npt.NDArray[np.uint64], first: Floats) -> bool:
    if not ((first >= 0) & (first < len(words)) & (first == np.floor(first))).all():
        return False
    at = first.astype(np.int64)
    counts = words[at]
    return bool((counts < len(words)).all()) and bool((at + counts.astype(np.int64) < len(words)).all())


def depths_of(forest: ForestArrays) -> npt.NDArray[np.int32]:
    """By tree: how many steps its longest way has.

    Raises:
        IntegrityError: nodes lead round in a circle.
    """
    depths = np.zeros(len(forest.roots), dtype=np.int32)
    nodes, trees, seen = forest.roots, np.arange(len(forest.roots)), 0
    for level in range(1, len(forest.yes) + 1):
        inner = forest.yes[nodes] != nodes
        nodes, trees = forest.yes[nodes[inner]], trees[inner]
        if not len(nodes):
            return depths
        depths[trees] = level
        seen += 2 * len(nodes)
        if seen > 2 * len(forest.yes):
            break
        nodes, trees = np.concatenate((nodes, nodes + 1)), np.concatenate((trees, trees))
    raise IntegrityError("nodes lead round in a circle, or are shared between trees")


def grouped(forest: ForestArrays) -> tuple[ForestArrays, Ints]:
    """Trees in groups of ``LANES`` of like depth, filled up with leaves that add nothing; and their depths."""
    depths = depths_of(forest)
    order = np.argsort(depths, kind="stable")
    lacking = -len(order) % LANES
    leaf = len(forest.yes)
    arrays = ForestArrays(
        thresholds=np.append(forest.thresholds, np.inf),
        yes=np.append(forest.yes, leaf).astype(np.int32),
        features=np.append(forest.features, 0).astype(np.int32),
        missing_yes=np.append(forest.missing_yes, 1).astype(np.uint8),
        kinds=np.append(forest.kinds, NUMBER).astype(np.uint8),
        words=forest.words,
        leaves=np.vstack((forest.leaves, np.zeros((1, forest.leaves.shape[1])))),
        roots=np.concatenate((np.full(lacking, leaf), forest.roots[order])).astype(np.int32),
        targets=np.concatenate((np.zeros(lacking), forest.targets[order])).astype(np.int32),
        width=forest.width,
        outputs=forest.outputs,
    )
    filled = np.concatenate((np.zeros(lacking, dtype=np.int32), depths[order]))
    return arrays, np.ascontiguousarray(filled.reshape(-1, LANES).max(axis=1)).astype(np.int32)
