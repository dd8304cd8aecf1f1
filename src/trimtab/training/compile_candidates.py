"""The ways in which an estimator may be executed, quickest first."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import numpy as np

from trimtab.core.domain.errors import DataError
from trimtab.serving.runtimes.encoder import ENCODER, EncoderSpec, Numbers
from trimtab.serving.runtimes.heads import HeadSpec
from trimtab.serving.runtimes.native import PICKLE, SKOPS, NativeSettings
from trimtab.serving.runtimes.trees import MODEL, compiled
from trimtab.training.compile_encoder import Source, direct_encoder, encoder_of, native_categories, split_pipeline
from trimtab.training.compile_forest import forest_of
from trimtab.training.compile_onnx import estimator_to_onnx, pipeline_to_onnx
from trimtab.training.compile_trees import NotConvertibleError, Trees, head_of, read_trees, trees_to_onnx

_FLOAT32_TREES = ("RandomForest", "ExtraTrees", "GradientBoosting", "XGB", "DecisionTree", "ExtraTree")


@dataclass(frozen=True, slots=True)
class Form:
    """A compiled form: the model's files and what its runtime must know."""

    runtime: str
    files: dict[str, bytes]
    settings: dict[str, Any] = field(default_factory=dict)


Maker = Callable[[], Form]


def compiled_forms(estimator: Any, source: Source, classes: int | None) -> Iterator[tuple[str, str, Maker]]:
    """(runtime, form, how to make it), in the order of measured single-row speed (benchmarks/serving/runtimes.py).

    Making one raises NotConvertibleError where there is no such form.
    """
    maker = _Maker(estimator, source, classes)
    if maker.is_trees:
        if compiled():
            yield "trees", "", maker.trees
        yield "onnx", "trees", maker.onnx_trees
    yield "onnx", "float64", lambda: maker.onnx_matrix("double")
    yield "onnx", "float32", lambda: maker.onnx_matrix("float")
    if maker.is_trees:
        yield "treelite", "", maker.treelite
    yield "onnx", "columns", maker.onnx_columns


class _Maker:
    def __init__(self, estimator: Any, source: Source, classes: int | None) -> None:
        self._estimator, self._source, self._classes = estimator, source, classes
        self._steps, self._final = split_pipeline(estimator)
        self._name = type(self._final).__name__
        self.is_trees = _treelite_importer(self._final) is not None
        self._trees: tuple[Any, Trees] | None = None

    def trees(self) -> Form:
        encoder, (_, trees) = self._encoder(), self._read_trees()
        _check_width(encoder, trees.features)
        files = {MODEL: forest_of(trees).to_bytes(), **_encoder_file(encoder)}
        return Form("trees", files, {"head": msgspec.to_builtins(head_of(trees))})

    def onnx_trees(self) -> Form:
        encoder, (_, trees) = self._encoder(), self._read_trees()
        _check_width(encoder, trees.features)
        settings = {"form": "matrix", "head": msgspec.to_builtins(head_of(trees))}
        return Form("onnx", {"model.onnx": trees_to_onnx(trees), **_encoder_file(encoder)}, settings)

    def treelite(self) -> Form:
        encoder, (model, trees) = self._encoder(), self._read_trees()
        _check_width(encoder, trees.features)
        link = "scores" if trees.link == "complement" and not trees.base else trees.link
        head = HeadSpec(link=link)  # treelite adds the base itself
        files = {"model.tl": model.serialize_bytes(), **_encoder_file(encoder)}
        return Form("treelite", files, {"head": msgspec.to_builtins(head)})

    def onnx_matrix(self, kind: Literal["double", "float"]) -> Form:
        encoder, head = self._encoder(), self._score_head()
        content = estimator_to_onnx(self._final, _width(encoder), kind, head)
        settings = {"form": "matrix", "head": msgspec.to_builtins(head)}
        return Form("onnx", {"model.onnx": content, **_encoder_file(encoder)}, settings)

    def onnx_columns(self) -> Form:
        if any(spec.type == "datetime" for spec in self._source.inputs):
            raise NotConvertibleError("a time reaches the estimator as it is")
        head = self._score_head()
        content = pipeline_to_onnx(self._estimator, self._source.inputs, head)
        return Form("onnx", {"model.onnx": content}, {"form": "columns", "head": msgspec.to_builtins(head)})

    def _score_head(self) -> HeadSpec:
        return HeadSpec(link="value" if self._classes is None else "scores")

    def _encoder(self) -> EncoderSpec:
        cast: Literal["float64", "float32"] = "float64"
        if self._name.startswith(_FLOAT32_TREES):
            cast = "float32"
        direct = None if self._steps else direct_encoder(self._final, self._source)
        if direct is not None:
            return direct
        encoder = encoder_of(self._steps, self._source, cast=cast, nan=True)
        return msgspec.structs.replace(encoder, nan=_takes_nan(self._final, _width(encoder)))

    def _read_trees(self) -> tuple[Any, Trees]:
        if self._trees is None:
            importer = _treelite_importer(self._final)
            if importer is None:
                raise NotConvertibleError(f"{self._name} is no tree ensemble that treelite knows")
            try:
                model = importer(self._final if self._steps else _with_codes(self._final))
            except Exception as error:
                raise NotConvertibleError(f"treelite: {type(error).__name__}: {error}"[:300]) from error
            self._trees = model, read_trees(model, classes=self._classes)
        return self._trees


def native_form(estimator: Any, settings: NativeSettings) -> Form:
    """The object itself: by skops where its own types allow it, else pickled (cloudpickle holds lambdas too).

    Raises:
        DataError: it can be stored in neither way.
    """
    from skops import io

    try:
        content = io.dumps(estimator)
        trusted = tuple(sorted(io.get_untrusted_types(data=content)))
        io.loads(content, trusted=list(trusted))
    except Exception:  # noqa: BLE001 - skops raises all kinds on what it does not know; the answer is the other store
        return _pickled(estimator, settings)
    kept = msgspec.structs.replace(settings, store="skops", trusted=trusted)
    return Form("native", {SKOPS: content}, msgspec.to_builtins(kept))


def _pickled(estimator: Any, settings: NativeSettings) -> Form:
    import cloudpickle

    try:
        content = cloudpickle.dumps(estimator)
    except Exception as error:
        raise DataError(f"the estimator cannot be stored: {type(error).__name__}: {error}") from error
    kept = msgspec.structs.replace(settings, store="pickle", trusted=())
    return Form("native", {PICKLE: content}, msgspec.to_builtins(kept))


def _encoder_file(encoder: EncoderSpec) -> dict[str, bytes]:
    return {ENCODER: msgspec.json.encode(encoder) + b"\n"}


def _check_width(encoder: EncoderSpec, features: int) -> None:
    if _width(encoder) != features:
        raise NotConvertibleError(f"the preprocessing gives {_width(encoder)} numbers, the trees take {features}")


def _width(encoder: EncoderSpec) -> int:
    return sum(len(block.inputs) if isinstance(block, Numbers) else block.width for block in encoder.blocks)


def _takes_nan(final: Any, width: int) -> bool:
    """Whether the estimator answers where numbers are missing: it is asked."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            final.predict(np.full((1, width), np.nan))
    except ValueError:
        return False
    return True


def _treelite_importer(final: Any) -> Callable[[Any], Any] | None:
    """How treelite reads this estimator; None if it does not."""
    kind = type(final)
    name, module = kind.__name__, kind.__module__.split(".")[0]
    stems = ("RandomForest", "ExtraTrees", "GradientBoosting", "HistGradientBoosting")
    if module == "sklearn" and name in {stem + end for stem in stems for end in ("Classifier", "Regressor")}:
        return _from_sklearn
    if module == "xgboost" and hasattr(final, "get_booster"):
        return lambda model: _frontend("from_xgboost", model.get_booster())
    if module == "lightgbm" and hasattr(final, "booster_"):
        return lambda model: _frontend("from_lightgbm", model.booster_)
    return None


def _with_codes(final: Any) -> Any:
    """A copy of a boosting whose own categories are codes, as ``direct_encoder`` gives them to it."""
    categories = native_categories(final)
    if not categories:
        return final
    shallow = copy.copy(final)
    shallow._preprocessor = copy.deepcopy(final._preprocessor)
    encoder = shallow._preprocessor.named_transformers_["encoder"]
    encoder.categories_ = [np.arange(len(levels)) for levels in categories.values()]
    return shallow


def _from_sklearn(final: Any) -> Any:
    import treelite.sklearn

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return treelite.sklearn.import_model(final)


def _frontend(reader: str, booster: Any) -> Any:
    import treelite

    return getattr(treelite.frontend, reader)(booster)
