"""Fitted scikit-learn preprocessing as an ``EncoderSpec``: arithmetic for numbers, tables for categories.

Numbers: the parameters of imputers and scalers are copied. Categories: a transformer that treats each column by itself
is *tabulated*, that is, executed on every value it knows, on an unknown and on a missing one, so that its own code says
what comes out (infrequent groups, dropped columns, target means). What is left goes to other runtimes; parity checks
all of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from trimtab.core.domain.errors import DataError
from trimtab.serving.package import InputSpec
from trimtab.serving.runtimes.encoder import EncoderSpec, Numbers, Step, Table
from trimtab.serving.runtimes.native import ColumnForm, frame_of
from trimtab.training.compile_trees import NotConvertibleError

if TYPE_CHECKING:
    from trimtab.serving.runtimes.base import Columns

UNKNOWN = "\x00 a value that was never seen"
_UNKNOWN_NUMBER = -7.25e17
_LARGEST_TABLE = 2_000_000
_CATEGORICAL = ("OrdinalEncoder", "OneHotEncoder", "TargetEncoder")
_COLUMNWISE = (*_CATEGORICAL, "SimpleImputer", "StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler")


@dataclass(frozen=True, slots=True)
class Source:
    """What the estimator was trained on, as the server will see it."""

    inputs: tuple[InputSpec, ...]
    forms: Mapping[str, ColumnForm]
    columns: Columns
    """Evaluation rows: they add values to the tables that the transformer itself does not list."""

    def spec(self, name: str) -> InputSpec:
        return next(spec for spec in self.inputs if spec.name == name)


def split_pipeline(estimator: Any) -> tuple[list[Any], Any]:
    """The fitted preprocessing steps and the final estimator."""
    from sklearn.pipeline import Pipeline

    if not isinstance(estimator, Pipeline):
        return [], estimator
    steps: list[Any] = []
    for _, step in estimator.steps[:-1]:
        steps.extend(_flatten(step))
    before, final = split_pipeline(estimator.steps[-1][1])
    return steps + before, final


def encoder_of(steps: Sequence[Any], source: Source, *, cast: Literal["float64", "float32"], nan: bool) -> EncoderSpec:
    """The preprocessing as tables and arithmetic.

    Raises:
        NotConvertibleError: a step that is neither, or a text column that reaches the model as it is.
    """
    from sklearn.compose import ColumnTransformer

    names = [spec.name for spec in source.inputs]
    rest = list(steps)
    if rest and isinstance(rest[0], ColumnTransformer):
        blocks = list(_column_transformer(rest.pop(0), names, source))
    elif any(_kind(step) in _CATEGORICAL for step in rest) or any(spec.type == "string" for spec in source.inputs):
        blocks, rest = list(_block(rest, names, source)), []
    else:
        blocks = [_numbers([], names, source)]
    width = sum(len(block.inputs) if isinstance(block, Numbers) else block.width for block in blocks)
    return EncoderSpec(blocks=tuple(blocks), steps=_steps(rest, width), cast=cast, nan=nan)


def native_categories(final: Any) -> dict[int, list[Any]]:
    """Categories that a histogram gradient boosting codes by itself, by position of the column; the code is the rank.

    Its ordinal encoder is scikit-learn's private ``_preprocessor``, as treelite reads it too; parity checks the result.
    """
    preprocessor = getattr(final, "_preprocessor", None)
    if preprocessor is None or not _kind(final).startswith("HistGradientBoosting"):
        return {}
    levels = preprocessor.named_transformers_["encoder"].categories_
    positions = np.flatnonzero(final.is_categorical_)
    return {
        int(position): [
            value for value in np.asarray(of, dtype=object).tolist() if value is not None and value == value
        ]
        for position, of in zip(positions, levels, strict=True)
    }


def direct_encoder(final: Any, source: Source) -> EncoderSpec | None:
    """The encoder of a boosting that takes the columns as they are and codes some by itself; None for other models."""
    categories = native_categories(final)
    if not categories:
        return None
    blocks: list[Numbers | Table] = []
    for position, spec in enumerate(source.inputs):
        if position not in categories:
            blocks.append(_numbers([], [spec.name], source))
            continue
        keys = [value if isinstance(value, str) else float(value) for value in categories[position]]
        rows = tuple((float(code),) for code in range(len(keys)))
        blocks.append(Table(spec.name, 1, tuple(keys), rows, unknown=(None,), missing=(None,)))
    return EncoderSpec(blocks=tuple(blocks))


def _column_transformer(transformer: Any, names: list[str], source: Source) -> Iterator[Numbers | Table]:
    if transformer.transformer_weights:
        raise NotConvertibleError("ColumnTransformer has weights")
    for name, fitted, columns in transformer.transformers_:
        chosen = _chosen(columns, names)
        if (isinstance(fitted, str) and fitted == "drop") or not chosen:
            continue
        parts = [] if isinstance(fitted, str) else _flatten(fitted)
        try:
            yield from _block(parts, chosen, source)
        except NotConvertibleError as error:
            raise NotConvertibleError(f"ColumnTransformer '{name}': {error}") from error


def _chosen(columns: Any, names: list[str]) -> list[str]:
    """Column names from what scikit-learn takes: a name, names, positions, a mask or a slice."""
    if isinstance(columns, str):
        return [columns]
    if isinstance(columns, slice):
        if isinstance(columns.start, str) or isinstance(columns.stop, str):
            raise NotConvertibleError("columns chosen by a slice of names")
        return names[columns]
    listed = list(np.atleast_1d(np.asarray(columns, dtype=object)))
    if listed and all(isinstance(item, (bool, np.bool_)) for item in listed):
        return [name for name, taken in zip(names, listed, strict=True) if taken]
    return [item if isinstance(item, str) else names[int(item)] for item in listed]


def _block(steps: Sequence[Any], names: list[str], source: Source) -> Iterator[Numbers | Table]:
    kinds = [_kind(step) for step in steps]
    textual = [name for name in names if source.spec(name).type == "string"]
    if not textual and not any(kind in _CATEGORICAL for kind in kinds):
        yield _numbers(steps, names, source)
        return
    if not steps:
        raise NotConvertibleError(f"column '{textual[0]}' holds text and reaches the estimator as it is")
    odd = [kind for kind in kinds if kind not in _COLUMNWISE]
    if odd:
        raise NotConvertibleError(f"{odd[0]} on categories has no table form")
    yield from _tables(steps, names, source)


def _numbers(steps: Sequence[Any], names: list[str], source: Source) -> Numbers:
    for name in names:
        spec = source.spec(name)
        if spec.type in ("string", "datetime") or source.forms[name].dtype == "category":
            raise NotConvertibleError(f"column '{name}' ({source.forms[name].dtype}) reaches the estimator as it is")
    return Numbers(inputs=tuple(names), steps=_steps(steps, len(names)))


def _steps(steps: Sequence[Any], width: int) -> tuple[Step, ...]:
    return tuple(item for step in steps for item in _arithmetic(step, width))


def _arithmetic(step: Any, width: int) -> Iterator[Step]:
    """The operations of a fitted imputer or scaler, in scikit-learn's own order."""
    kind = _kind(step)
    if kind == "SimpleImputer":
        yield _fill(step, width)
    elif kind == "StandardScaler":
        if step.with_mean and step.mean_ is not None:
            yield _step("subtract", step.mean_, width)
        if step.with_std and step.scale_ is not None:
            yield _step("divide", step.scale_, width)
    elif kind == "MinMaxScaler" and not step.clip:
        yield _step("multiply", step.scale_, width)
        yield _step("add", step.min_, width)
    elif kind == "MaxAbsScaler":
        yield _step("divide", step.scale_, width)
    elif kind == "RobustScaler":
        if step.with_centering:
            yield _step("subtract", step.center_, width)
        if step.with_scaling:
            yield _step("divide", step.scale_, width)
    else:
        raise NotConvertibleError(f"{kind} has no arithmetic form here")


def _fill(imputer: Any, width: int) -> Step:
    missing = imputer.missing_values
    if imputer.indicator_ is not None or not (missing is None or (isinstance(missing, float) and np.isnan(missing))):
        raise NotConvertibleError("SimpleImputer with an indicator or a special missing value")
    statistics = np.asarray(imputer.statistics_)
    if statistics.dtype.kind not in "fiub" or np.isnan(statistics.astype(np.float64)).any():
        raise NotConvertibleError("SimpleImputer drops columns without values")
    return _step("fill", statistics, width)


def _step(op: Literal["fill", "add", "subtract", "multiply", "divide"], values: Any, width: int) -> Step:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != (width,) or not np.isfinite(numbers).all():
        raise NotConvertibleError(f"{op} has {numbers.shape} numbers for {width} columns, or one that is not finite")
    return Step(op=op, values=tuple(numbers.tolist()))


def _tables(steps: Sequence[Any], names: list[str], source: Source) -> Iterator[Table]:
    keys = {name: _keys(steps, index, name, source) for index, name in enumerate(names)}
    widths = _widths(steps, len(names))
    start = 0
    for name, width in zip(names, widths, strict=True):
        part = slice(start, start + width)
        start += width
        if len(keys[name]) * width > _LARGEST_TABLE:
            raise NotConvertibleError(f"column '{name}' has {len(keys[name])} categories, too many for a table")
        if not width:
            continue
        rows = _executed(steps, names, keys, name, keys[name], source)
        if rows is None:
            raise NotConvertibleError(f"the preprocessing fails on the known categories of '{name}'")
        odd = UNKNOWN if source.spec(name).type == "string" else _UNKNOWN_NUMBER
        unknown = _executed(steps, names, keys, name, [odd], source)
        missing = _executed(steps, names, keys, name, [None], source)
        yield Table(
            input=name,
            width=width,
            keys=tuple(keys[name]),
            rows=tuple(_row(row[part]) for row in rows),
            unknown=None if unknown is None else _row(unknown[0, part]),
            missing=None if missing is None else _row(missing[0, part]),
        )


def _row(numbers: Any) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(number) else float(number) for number in numbers)


def _keys(steps: Sequence[Any], index: int, name: str, source: Source) -> list[str | float]:
    """Every value that the transformer lists or that the evaluation rows hold."""
    textual = source.spec(name).type == "string"
    values: list[Any] = source.columns[name].tolist()
    for step in steps:
        if hasattr(step, "categories_"):
            values.extend(np.asarray(step.categories_[index], dtype=object).tolist())
        elif _kind(step) == "SimpleImputer":
            values.append(np.asarray(step.statistics_, dtype=object)[index])
    if textual:
        return sorted({value for value in values if isinstance(value, str)})
    numbers = {float(value) for value in values if isinstance(value, (bool, int, float, np.generic))}
    return sorted(number for number in numbers if np.isfinite(number))


def _widths(steps: Sequence[Any], inputs: int) -> list[int]:
    widths = [1] * inputs
    for step in steps:
        kind = _kind(step)
        if kind == "OneHotEncoder":
            widths = [int(width) for width in step._n_features_outs]
        elif kind == "TargetEncoder" and step.target_type_ == "multiclass":
            widths = [len(step.classes_)] * inputs
        elif kind == "SimpleImputer" and len(step.get_feature_names_out()) != inputs:
            raise NotConvertibleError("SimpleImputer adds or drops columns")
        if kind in ("OneHotEncoder", "TargetEncoder") and any(
            _kind(other) in _CATEGORICAL for other in steps if other is not step
        ):
            raise NotConvertibleError("two encoders in a row")
    return widths


def _executed(
    steps: Sequence[Any],
    names: list[str],
    keys: Mapping[str, Sequence[str | float]],
    varied: str,
    values: Sequence[str | float | None],
    source: Source,
) -> Any | None:
    """The transformer's output with one column varied and the others at a known value; None where it refuses."""
    columns: dict[str, Any] = {}
    for name in names:
        taken = list(values) if name == varied else [keys[name][0] if keys[name] else None] * len(values)
        column: Any = np.empty(len(taken), dtype=object)
        column[:] = taken
        columns[name] = column if source.spec(name).type == "string" else column.astype(np.float64)
    frame: Any = frame_of(columns, [source.spec(name) for name in names], source.forms)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for step in steps:
                frame = step.transform(frame)
    except (ValueError, TypeError, DataError):
        return None
    dense = frame.toarray() if hasattr(frame, "toarray") else frame
    return np.asarray(dense, dtype=np.float64)


def _flatten(fitted: Any) -> list[Any]:
    """The steps of nested pipelines, without those that do nothing."""
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer

    if isinstance(fitted, str) or fitted is None:
        return []
    if isinstance(fitted, Pipeline):
        return [part for _, step in fitted.steps for part in _flatten(step)]
    if isinstance(fitted, FunctionTransformer) and fitted.func is None:
        return []
    return [fitted]


def _kind(step: Any) -> str:
    """The class's name; scikit-learn's own only, so that a subclass with other behaviour is not taken for it."""
    kind = type(step)
    return kind.__name__ if kind.__module__.startswith("sklearn.") else f"{kind.__module__}.{kind.__name__}"
