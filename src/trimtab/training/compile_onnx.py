"""scikit-learn estimators as ONNX graphs by skl2onnx: over a matrix (float64 or float32) or by column."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from trimtab.serving.runtimes.heads import HeadSpec
from trimtab.training.compile_trees import NotConvertibleError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trimtab.serving.package import InputSpec

_OPSETS = {"": 20, "ai.onnx.ml": 3}


def estimator_to_onnx(final: Any, width: int, kind: Literal["double", "float"], head: HeadSpec) -> bytes:
    """A fitted estimator over a matrix of ``width`` numbers; the last output holds what the head expects.

    Raises:
        NotConvertibleError: skl2onnx cannot, with its words.
    """
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    tensor = DoubleTensorType if kind == "double" else FloatTensorType
    return _converted(final, [("x", tensor([None, width]))], head)


def pipeline_to_onnx(estimator: Any, inputs: tuple[InputSpec, ...], head: HeadSpec) -> bytes:
    """The whole pipeline, one input tensor per column (text as text, numbers as float32).

    Raises:
        NotConvertibleError: skl2onnx cannot, with its words.
    """
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    types = [
        (spec.name, StringTensorType([None, 1]) if spec.type == "string" else FloatTensorType([None, 1]))
        for spec in inputs
    ]
    return _converted(estimator, types, head)


def _converted(estimator: Any, types: list[tuple[str, Any]], head: HeadSpec) -> bytes:
    from skl2onnx import convert_sklearn

    options = {} if head.link == "value" else {id(estimator): {"zipmap": False}}
    try:
        with warnings.catch_warnings(), _mended():
            warnings.simplefilter("ignore")
            proto = convert_sklearn(estimator, initial_types=types, options=options, target_opset=_OPSETS)
            content: bytes = proto.SerializeToString()
    except Exception as error:
        words = str(error).strip().splitlines()
        raise NotConvertibleError(f"skl2onnx: {type(error).__name__}: {words[0] if words else ''}"[:300]) from error
    return content


@contextmanager
def _mended() -> Iterator[None]:
    """Two faults of skl2onnx 1.20, mended for the length of a conversion (callers convert in one thread).

    It writes booleans where an attribute is a whole number, which protobuf 7 refuses. And it searches for ever for a
    threshold beside infinity, which scikit-learn's trees have where they split the missing from the rest.
    """
    from skl2onnx.common import _container, tree_ensemble

    make_node, find_switch_point = _container.make_node, tree_ensemble.find_switch_point

    def make_node_of_numbers(*args: Any, **attributes: Any) -> Any:
        return make_node(*args, **{name: _numbers(value) for name, value in attributes.items()})

    def find_between_finite(first: Any, second: Any) -> Any:
        if not (np.isfinite(first) and np.isfinite(second)):
            raise ValueError("a tree splits missing values from the others; skl2onnx cannot write that")
        return find_switch_point(first, second)

    _container.make_node, tree_ensemble.find_switch_point = make_node_of_numbers, find_between_finite
    try:
        yield
    finally:
        _container.make_node, tree_ensemble.find_switch_point = make_node, find_switch_point


def _numbers(value: Any) -> Any:
    if isinstance(value, (list, tuple)) and any(isinstance(item, (bool, np.bool_)) for item in value):
        return [int(item) for item in value]
    return value
