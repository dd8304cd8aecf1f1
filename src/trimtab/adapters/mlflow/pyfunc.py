"""What MLflow imports to load a model of Trimtab's: ``mlflow.pyfunc.load_model("models:/<name>@champion")``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trimtab.core.domain.errors import DataError
from trimtab.serving.package import InputSpec, class_text
from trimtab.serving.runtimes.base import Model
from trimtab.serving.runtimes.loading import load

if TYPE_CHECKING:
    import pandas as pd


def _load_pyfunc(path: str) -> PyfuncModel:  # the name that MLflow calls
    return PyfuncModel(load(Path(path)))


class PyfuncModel:
    """A verified and proved version behind MLflow's ``predict``."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def predict(self, data: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:
        """Predictions of the rows: class values, or values for regression.

        With ``params={"scores": True}`` a frame with the column ``prediction`` and a ``score.<class>`` for each class.

        Raises:
            DataError: a column that the model takes is missing, or cannot be what it must be.
        """
        signature = self._model.signature
        columns = {spec.name: _column(data, spec) for spec in signature.inputs}
        outputs = self._model.predict(columns)
        if not (params or {}).get("scores"):
            return outputs.prediction
        import pandas as pd

        frame = pd.DataFrame({"prediction": outputs.prediction}, index=data.index)
        if outputs.scores is not None:
            for index, value in enumerate(signature.classes or ()):
                frame[f"score.{class_text(value)}"] = outputs.scores[:, index]
        return frame


def _column(data: pd.DataFrame, spec: InputSpec) -> npt.NDArray[np.generic]:
    """One input in the form that ``Model.predict`` takes."""
    import pandas as pd

    if spec.name not in data.columns:
        if not spec.nullable:
            raise DataError(f"column '{spec.name}' is missing; found {', '.join(map(str, data.columns))}")
        return np.full(len(data), None if spec.type == "string" else np.nan, object if spec.type == "string" else float)
    column = data[spec.name]
    try:
        if spec.type == "string":
            texts: npt.NDArray[np.generic] = column.astype(object).where(column.notna(), None).to_numpy()
            return texts
        if spec.type == "datetime":
            moments = pd.to_datetime(column, utc=True)
            seconds = (moments - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
            return seconds.to_numpy(dtype=np.float64)
        return column.astype(object).where(column.notna(), np.nan).to_numpy().astype(np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(f"column '{spec.name}' must be {spec.type}: {error}") from error
