"""FastAPI on uvicorn with scikit-learn, as most tutorials have it, but without the detour over a thread pool."""

import sys

import joblib
import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
model = joblib.load(sys.argv[1])


class Row(BaseModel):
    row: list[float]


@app.post("/predict")
async def predict(given: Row) -> dict[str, float]:
    return {"score": float(model.predict_proba(np.array([given.row]))[0, 1])}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), access_log=False, log_level="warning")
