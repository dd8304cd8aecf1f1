"""The evaluation rows as the server will see them: input types, and the columns that ``Model.predict`` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trimtab.core.domain.errors import DataError
from trimtab.serving.package import InputSpec, InputType
from trimtab.serving.runtimes.native import ColumnForm

if TYPE_CHECKING:
    import pandas as pd

    from trimtab.serving.runtimes.base import Columns


def input_type(name: str, column: pd.Series[Any]) -> InputType:
    """The type that a request gives for a column.

    Raises:
        DataError: values of no servable type, e.g. lists or a mix of text and numbers.
    """
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        return input_type(name, column.dtype.categories.to_series())
    if pd.api.types.is_bool_dtype(column.dtype):
        return "bool"
    if pd.api.types.is_integer_dtype(column.dtype):
        return "int64"
    if pd.api.types.is_float_dtype(column.dtype):
        return "float64"
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return "datetime"
    if isinstance(column.dtype, pd.StringDtype):
        return "string"
    kinds = {type(value).__name__ for value in column.dropna()}
    if kinds <= {"str"}:
        return "string"
    if kinds <= {"bool", "bool_"}:
        return "bool"
    found = ", ".join(sorted(kinds))
    raise DataError(
        f"column '{name}' ({column.dtype}) holds values of type {found}; a model input is text, number, bool or time"
    )


def inputs_of(features: pd.DataFrame) -> tuple[InputSpec, ...]:
    """The inputs of a model trained on such columns; ``nullable`` says whether these rows hold missing values."""
    bad: list[object] = [name for name in list[object](features.columns) if not isinstance(name, str)]
    if bad:
        raise DataError(f"column names must be text, found {bad[0]!r}")
    specs = []
    for name in features.columns:
        column = features[name]
        if column.ndim != 1:
            raise DataError(f"column '{name}' stands in the table more than once")
        specs.append(InputSpec(name=name, type=input_type(name, column), nullable=bool(column.isna().any())))
    return tuple(specs)


def forms_of(features: pd.DataFrame) -> dict[str, ColumnForm]:
    """The pandas dtypes, to give the estimator what it was trained on."""
    import pandas as pd

    forms = {}
    for name in features.columns:
        dtype = features[name].dtype
        categories: tuple[Any, ...] = ()
        if isinstance(dtype, pd.CategoricalDtype):
            categories = tuple(dtype.categories.tolist())
        forms[name] = ColumnForm(dtype=str(dtype), categories=categories)
    return forms


def columns_of(features: pd.DataFrame, inputs: tuple[InputSpec, ...]) -> Columns:
    """The rows as ``Model.predict`` takes them: float64 with NaN, or objects of ``str | None``; a time in seconds."""
    return {spec.name: _column(features[spec.name], spec) for spec in inputs}


def _column(series: pd.Series[Any], spec: InputSpec) -> npt.NDArray[np.generic]:
    import pandas as pd

    if spec.type == "string":
        values: npt.NDArray[Any] = series.astype(object).to_numpy(copy=True)
        values[np.asarray(pd.isna(values))] = None
        return values
    if spec.type == "datetime":
        times = pd.to_datetime(series, utc=True).dt.tz_localize(None).astype("datetime64[us]").to_numpy()
        seconds = times.astype(np.int64) / 1e6
        return np.where(np.isnat(times), np.nan, seconds)
    if isinstance(series.dtype, pd.CategoricalDtype) or series.dtype == object:
        return np.array([np.nan if pd.isna(value) else float(value) for value in series], dtype=np.float64)
    return series.to_numpy(dtype=np.float64, na_value=np.nan)
