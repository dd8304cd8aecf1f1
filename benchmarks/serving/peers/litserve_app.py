"""LitServe with one worker on the processor."""

import sys

import joblib
import litserve
import numpy as np


class Scores(litserve.LitAPI):
    def setup(self, device: str) -> None:  # noqa: ARG002  LitServe names it
        self.model = joblib.load(sys.argv[1])

    def decode_request(self, request: dict[str, list[float]]) -> list[float]:
        return request["row"]

    def predict(self, row: list[float]) -> float:
        return float(self.model.predict_proba(np.array([row]))[0, 1])

    def encode_response(self, score: float) -> dict[str, float]:
        return {"score": score}


if __name__ == "__main__":
    server = litserve.LitServer(Scores(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="warning")
