"""The user's estimator: found, built and fitted, with its own file and line in every complaint."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trimtab.core.domain.errors import EstimatorError
from trimtab.training.read import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from trimtab.project.settings import Project


def features_frame(table: pa.Table, features: Sequence[str]) -> pd.DataFrame:
    """The features as pandas reads them from Parquet: numbers, ``str``, UTC times; truths with gaps as 0, 1 and NaN."""
    columns = {}
    for name in features:
        column = table[name]
        if pa.types.is_boolean(column.type) and column.null_count:
            column = column.cast(pa.float64())
        columns[name] = column
    frame: pd.DataFrame = pa.table(columns).to_pandas()
    return frame


def target_array(table: pa.Table, name: str) -> npt.NDArray[Any]:
    """The target as bool, int64, float64 or an object array of str, shape (n,)."""
    column = table[name]
    if pa.types.is_string(column.type):
        return np.array(column.to_pylist(), dtype=object)
    return np.asarray(column.to_numpy(zero_copy_only=False))


def class_values(table: pa.Table, name: str) -> list[bool | int | str]:
    """The classes that occur, sorted."""
    return sorted(pc.unique(table[name]).to_pylist())


def build_estimator(project: Project, root: Path, features: pd.DataFrame) -> Any:
    """The unfitted estimator that the project names, or the default.

    Raises:
        EstimatorError: the function cannot be imported or called, or returns something that is no estimator.
    """
    settings = project.estimator
    if settings.function is None:
        from trimtab.training.estimators import default_estimator

        return default_estimator(project.task, settings.parameters, features)
    return named_estimator(project, root)


def named_estimator(project: Project, root: Path) -> Any:
    """The unfitted estimator of the function that the project names.

    Raises:
        EstimatorError: as ``build_estimator``; also where it names none.
    """
    settings = project.estimator
    if settings.function is None:
        raise EstimatorError("estimator.function names no function")
    function = find_function(settings.function, root)
    with user_code(root, f"{settings.function}({_arguments(settings.parameters)})"):
        estimator = function(**settings.parameters)
    _check(estimator, settings.function, project.task)
    return estimator


def find_function(named: str, root: Path) -> Callable[..., Any]:
    """Import ``module:function`` with the project's root first on the path.

    Raises:
        EstimatorError: there is no such module or function, or importing it fails.
    """
    module_name, _, function_name = named.partition(":")
    importable(root)
    try:
        with user_code(root, f"importing {module_name}"):
            module = importlib.import_module(module_name)
    except EstimatorError as error:
        if isinstance(error.__cause__, ModuleNotFoundError) and error.__cause__.name == module_name.partition(".")[0]:
            hint = did_you_mean(module_name, [path.stem for path in root.glob("*.py")])
            raise EstimatorError(f"estimator.function: there is no module '{module_name}' in {root}{hint}") from error
        raise
    function = getattr(module, function_name, None)
    if not callable(function):
        hint = did_you_mean(function_name, [name for name in vars(module) if callable(getattr(module, name))])
        raise EstimatorError(f"estimator.function: {module.__file__} has no function '{function_name}'{hint}")
    found: Callable[..., Any] = function
    return found


def importable(root: Path) -> None:
    """Put the project's root first on the module path: the user's own code is imported from there, in packages too.

    A process that trained for another project before forgets that one's modules of the same name.
    """
    first = str(root)
    if sys.path[:1] == [first]:
        return
    sys.path[:] = [first, *(entry for entry in sys.path if entry != first)]
    own = {path.stem for path in root.glob("*.py")} | {path.parent.name for path in root.glob("*/__init__.py")}
    for name, module in list(sys.modules.items()):
        place = getattr(module, "__file__", None)
        if name.partition(".")[0] not in own or place is None:
            continue
        if not any(Path(place).is_relative_to(kept) for kept in (root, sys.prefix, sys.base_prefix)):
            del sys.modules[name]
    importlib.invalidate_caches()


def fit(estimator: Any, features: pd.DataFrame, target: npt.NDArray[Any], root: Path) -> Any:
    """Fit and return the estimator.

    Raises:
        EstimatorError: fitting failed; with the user's own line where the failure passed through it.
    """
    with user_code(root, f"{type(estimator).__name__}.fit on {len(features):,} rows"):
        estimator.fit(features, target)
    return estimator


@contextmanager
def few_threads() -> Iterator[None]:
    """Half of the processors for OpenMP and BLAS: the other half goes on answering requests.

    More is not quicker beside a busy server: threads that wait for each other spin. Measured on two busy cores,
    gradient boosting on 40,000 rows: 3.1 s with two threads, 0.8 s with one. Holds for libraries loaded by now.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=max(1, (os.cpu_count() or 1) // 2)):
        yield


@contextmanager
def user_code(root: Path, doing: str) -> Iterator[None]:
    """Translate whatever the user's code (or the estimator in it) raises, once, at this edge."""
    try:
        yield
    except (KeyboardInterrupt, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        place = user_line(error, root)
        text = str(error).strip().splitlines()
        what = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
        raise EstimatorError(f"{f'{place}: ' if place else ''}{doing} failed: {what}") from error


def user_line(error: BaseException, root: Path) -> str:
    """``estimator.py:12`` of the innermost frame in the project's own files; empty where there is none."""
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_relative_to(root):
        return f"{Path(error.filename).relative_to(root)}:{error.lineno}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(root) and "site-packages" not in path.parts:
            return f"{path.relative_to(root)}:{frame.lineno}"
    return ""


def _check(estimator: Any, named: str, task: str) -> None:
    needed = ["fit", "predict"] + (["predict_proba"] if task == "classification" else [])
    if isinstance(estimator, type):
        raise EstimatorError(
            f"{named} returned the class {estimator.__name__}; return an instance: {estimator.__name__}()"
        )
    lacking = [name for name in needed if not callable(getattr(estimator, name, None))]
    if lacking:
        kind = type(estimator).__name__
        raise EstimatorError(
            f"{named} returned {kind}, which has no {', '.join(lacking)}; "
            "return an unfitted scikit-learn-compatible estimator"
            + (" that gives probabilities (e.g. SVC(probability=True))" if lacking == ["predict_proba"] else "")
        )


def _arguments(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in parameters.items())
