"""Ray Serve with one replica."""

import asyncio
import sys

import joblib
import numpy as np
import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=1, max_ongoing_requests=64, ray_actor_options={"num_cpus": 0.1})
class Scores:
    def __init__(self, path: str) -> None:
        self.model = joblib.load(path)

    async def __call__(self, request: Request) -> dict[str, float]:
        given = await request.json()
        return {"score": float(self.model.predict_proba(np.array([given["row"]]))[0, 1])}


async def forever() -> None:
    await asyncio.Event().wait()


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 1024 * 1024)
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(sys.argv[2])}, logging_config={"enable_access_log": False}
    )
    serve.run(Scores.bind(sys.argv[1]), route_prefix="/predict")
    asyncio.run(forever())
