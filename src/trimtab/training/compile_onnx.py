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
        with warnings.catch_warnings(), _whole_numbers():
            warnings.simplefilter("ignore")
            proto = convert_sklearn(estimator, initial_types=types, options=options, target_opset=_OPSETS)
            content: bytes = proto.SerializeToString()
    except Exception as error:
        words = str(error).strip().splitlines()
        raise NotConvertibleError(f"skl2onnx: {type(error).__name__}: {words[0] if words else ''}"[:300]) from error
    return content


@contextmanager
def _whole_numbers() -> Iterator[None]:
    """Let skl2onnx write booleans where an attribute is a whole number: protobuf 7 refuses them.

    (skl2onnx 1.20 gives e.g. ``nodes_missing_value_tracks_true`` as booleans.) The helper is replaced in skl2onnx's own
    module for the length of the conversion; callers convert in one thread.
    """
    from skl2onnx.common import _container

    original = _container.make_node

    def make_node(*args: Any, **attributes: Any) -> Any:
        return original(*args, **{name: _numbers(value) for name, value in attributes.items()})

    _container.make_node = make_node
    try:
        yield
    finally:
        _container.make_node = original


def _numbers(value: Any) -> Any:
    if isinstance(value, (list, tuple)) and any(isinstance(item, (bool, np.bool_)) for item in value):
        return [int(item) for item in value]
    return value
