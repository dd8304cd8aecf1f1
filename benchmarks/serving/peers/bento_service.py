"""BentoML with one worker; ``bentoml serve bento_service:Scores``."""

import os

import bentoml
import joblib
import numpy as np


@bentoml.service(workers=1, logging={"access": {"enabled": False}}, metrics={"enabled": False})
class Scores:
    def __init__(self) -> None:
        self.model = joblib.load(os.environ["BENCHMARK_MODEL"])

    @bentoml.api
    async def predict(self, row: list[float]) -> dict[str, float]:
        return {"score": float(self.model.predict_proba(np.array([row]))[0, 1])}
