"""The fitted scikit-learn object itself, fed with the pandas DataFrame it was trained on.

Slow, but serves what no compiler can. The object is stored with skops, whose loader makes only the types named in
``runtime.settings["trusted"]``; what skops cannot hold is pickled. This is the one module that unpickles, and only from
a directory whose every file has just been verified against its MANIFEST.
"""

from __future__ import annotations

import pickle  # noqa: TID251 - the one place; see the module's docstring
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
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
    class_array,
    columns_of_matrix,
    columns_of_rows,
    plain,
)

if TYPE_CHECKING:
    import pandas as pd

SKOPS = "model.skops"
PICKLE = "model.pkl"
_ONE_THREAD_ROWS = 512
"""Up to so many rows, waking threads costs more than they save (a row of gradient boosting: 40 ms instead of 0.5)."""


class ColumnForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a column looked to the estimator when it was trained."""

    dtype: str
    """The name of its pandas dtype; ``category`` with its categories in order."""
    categories: tuple[str | float | bool, ...] = ()


class NativeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of ``runtime.settings``."""

    columns: dict[str, ColumnForm]
    store: Literal["skops", "pickle"] = "skops"
    trusted: tuple[str, ...] = ()
    """Types beyond skops' own list that loading may make."""
    predict: bool = False
    """Classes come from ``predict`` instead of the largest score (estimators with a threshold of their own)."""
    scores: bool = True
    """Whether there is a ``predict_proba``."""


def open_native(directory: Path, signature: Signature, digest: str) -> Model:
    """Load the estimator of a *verified* package."""
    try:
        settings = msgspec.convert(signature.runtime.settings, NativeSettings)
    except msgspec.ValidationError as error:
        raise IntegrityError(f"{directory}: signature.json runtime.settings: {error}") from error
    try:
        import pandas  # noqa: F401 - asked for here, so that what is missing is said at loading
        import sklearn  # noqa: F401
    except ImportError as error:
        raise MissingLibraryError("native", error.name or "scikit-learn", "loop") from error
    return NativeModel(signature, digest, load_estimator(directory, settings), settings)


def load_estimator(directory: Path, settings: NativeSettings) -> Any:
    """The object in a *verified* directory.

    Raises:
        MissingLibraryError: skops is not installed.
        ExternalError: it cannot be loaded, e.g. a module that it needs is not here.
    """
    path = directory / (SKOPS if settings.store == "skops" else PICKLE)
    try:
        if settings.store == "skops":
            from skops import io

            return io.load(path, trusted=list(settings.trusted))
        return pickle.loads(path.read_bytes())  # noqa: S301 - verified against the MANIFEST by load()
    except ImportError as error:
        if settings.store == "skops" and (error.name or "").startswith("skops"):
            raise MissingLibraryError("native", "skops", "loop") from error
        raise ExternalError(f"{path} needs a module that is not installed here: {error}") from error
    except Exception as error:
        raise ExternalError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error


class NativeModel:
    """``predict_proba`` or ``predict`` of the estimator on a DataFrame with the training dtypes."""

    direct = None

    def __init__(self, signature: Signature, digest: str, estimator: Any, settings: NativeSettings) -> None:
        self.signature, self.digest = signature, digest
        self._estimator, self._settings = _one_job(estimator), settings
        self._threads = thread_limit()
        self._classes = class_array(signature.classes or ())

    def predict(self, columns: Columns) -> Outputs:
        frame = frame_of(columns, self.signature.inputs, self._settings.columns)
        classes = self._classes if self.signature.classes else None
        if len(frame) > _ONE_THREAD_ROWS:
            return native_outputs(self._estimator, frame, classes, self._settings)
        with self._threads.limit(limits=1):
            return native_outputs(self._estimator, frame, classes, self._settings)

    def predict_row(self, values: Sequence[Value]) -> Row:
        columns: dict[str, Any] = {}
        for spec, value in zip(self.signature.inputs, values, strict=True):
            column: Any = np.empty(1, dtype=object if spec.type == "string" else np.float64)
            column[0] = value if value is not None or spec.type == "string" else np.nan
            columns[spec.name] = column
        outputs = self.predict(columns)
        prediction = outputs.prediction[0]
        scores = None if outputs.scores is None else tuple(outputs.scores[0].tolist())
        return Row(prediction.item() if isinstance(prediction, np.generic) else prediction, scores)

    def predict_rows(self, rows: Sequence[Sequence[Value]]) -> Answers:
        return plain(self.predict(columns_of_rows(rows, self.signature.inputs)))

    def predict_matrix(self, matrix: npt.NDArray[np.float64]) -> Answers:
        return plain(self.predict(columns_of_matrix(matrix, self.signature.inputs)))


def _one_job(estimator: Any) -> Any:
    """Without joblib's workers: for few rows they cost milliseconds, and the server's processes share the cores."""
    parameters = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    jobs = {name: 1 for name in parameters if name == "n_jobs" or name.endswith("__n_jobs")}
    return estimator.set_params(**jobs) if jobs else estimator


def thread_limit() -> Any:
    """A controller whose ``limit(limits=1)`` keeps OpenMP and BLAS to one thread within a ``with`` block."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def native_outputs(estimator: Any, frame: pd.DataFrame, classes: Any | None, settings: NativeSettings) -> Outputs:
    """The estimator's answer; ``classes`` is None for regression.

    Raises:
        ExternalError: the estimator raised, with its words.
    """
    if not len(frame):
        return Outputs(np.empty(0) if classes is None else classes[:0], _no_scores(classes, settings))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores = None
            if classes is not None and settings.scores:
                scores = np.asarray(estimator.predict_proba(frame), dtype=np.float64)
            if scores is not None and classes is not None and not settings.predict:
                return Outputs(classes[scores.argmax(axis=1)], scores)
            prediction = np.asarray(estimator.predict(frame))
    except Exception as error:
        words = next(iter(str(error).splitlines()), "")[:200]
        raise ExternalError(f"the model failed on {len(frame)} rows: {type(error).__name__}: {words}") from error
    if classes is None:
        return Outputs(prediction.astype(np.float64).reshape(len(frame)), None)
    return Outputs(prediction.reshape(len(frame)), scores)


def _no_scores(classes: Any | None, settings: NativeSettings) -> Any:
    return np.empty((0, len(classes))) if classes is not None and settings.scores else None


def frame_of(columns: Columns, inputs: Sequence[InputSpec], forms: Mapping[str, ColumnForm]) -> pd.DataFrame:
    """The columns of a request as the DataFrame the estimator knows: its dtypes where the values allow them.

    Missing values turn an int column to float64 and a bool column to objects with None, as pandas does when it
    reads them.
    """
    import pandas as pd

    data = {}
    for spec in inputs:
        if spec.name not in columns:
            raise DataError(f"input '{spec.name}' is not there; found {', '.join(sorted(columns)) or 'no columns'}")
        data[spec.name] = _series(columns[spec.name], spec, forms[spec.name])
    return pd.DataFrame(data)


def _series(column: Any, spec: InputSpec, form: ColumnForm) -> Any:
    import pandas as pd

    if form.dtype == "category":
        values = column if spec.type == "string" else _restored(column, spec.type)
        return pd.Series(pd.Categorical(values, categories=list(form.categories)))
    if spec.type == "string":
        return pd.Series(column, dtype=form.dtype)
    if spec.type == "datetime":
        return _datetimes(column, form.dtype)
    values = _restored(column, spec.type)
    if form.dtype[0].isupper() or form.dtype == "boolean":  # pandas' nullable dtypes: Int64, Float64, boolean
        fits = spec.type != "int64" or _fits(values[~np.isnan(values)], form.dtype.lower())
        return pd.array(values, dtype=form.dtype if fits else "Float64")
    if form.dtype == "object" or values.dtype == object or (spec.type == "int64" and not _fits(values, form.dtype)):
        return pd.Series(values)
    return pd.Series(values.astype(form.dtype))


def _fits(values: Any, dtype: str) -> bool:
    """Whether an integer dtype holds these values as they are."""
    if not dtype.startswith(("int", "uint")) or "[" in dtype:
        return False
    bounds = np.iinfo(dtype)
    whole = bool((values == np.rint(values)).all() and (np.abs(values) < 2**53).all())
    return whole and bool((values >= bounds.min).all() and (values <= bounds.max).all())


def _restored(column: Any, kind: str) -> Any:
    """Float64 with NaN back to the kind's own values: whole numbers or booleans, or what can hold missing ones."""
    missing = np.isnan(column)
    if kind == "bool":
        return np.where(missing, None, column != 0.0) if missing.any() else column != 0.0
    if kind == "int64" and not missing.any() and (np.abs(column) < 2**53).all() and (column == np.rint(column)).all():
        return column.astype(np.int64)
    return column


def _datetimes(column: Any, dtype: str) -> Any:
    import pandas as pd

    inside = np.abs(column) < 2**53 / 1e6  # microseconds of it are exact; beyond is no date
    micros = np.where(inside, np.rint(np.where(inside, column, 0.0) * 1e6), 0).astype("int64").astype("datetime64[us]")
    series: Any = pd.Series(np.where(inside, micros, np.datetime64("NaT", "us")))
    if "," in dtype:
        series = series.dt.tz_localize("UTC")
    return series.astype(dtype)
