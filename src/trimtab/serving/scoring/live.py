"""The deployment in force: watches ``routes.json``, loads off the event loop, replaces what is served in one step."""

from __future__ import annotations

import asyncio
import gc
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trimtab.serving.process.metrics import Metrics
from trimtab.serving.runtimes import Model
from trimtab.serving.scoring.deployment import Deployment, RefusedDeploymentError, assemble, load_models
from trimtab.serving.scoring.warm import WarmVersions

RETRY_S = 2.0
"""Refused routes are tried again this often: a version may be repaired, a mount may come back."""

_log = logging.getLogger("trimtab.serving")

Stamp = tuple[int, int, int] | None


class LiveDeployment:
    """What requests are answered with now, and why newer routes were refused, if they were."""

    def __init__(self, directory: Path, poll_s: float, metrics: Metrics) -> None:
        self.current: Deployment | None = None
        self.refusal: RefusedDeploymentError | None = None
        """Why the routes on disk are not served; None when they are."""
        self._directory = directory
        self._poll_s = poll_s
        self._metrics = metrics
        self._stamp: Stamp = (-1, -1, -1)
        self._retry_at = 0.0
        self._hurry = asyncio.Event()
        self.warm = WarmVersions(directory)
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="loader")

    @property
    def loaded(self) -> list[int]:
        """Versions that can answer at once: those that the routes name, and the warm ones."""
        return sorted(self._models())

    def _models(self) -> dict[int, Model]:
        slots = {} if self.current is None else self.current.slots
        return self.warm.models | {version: slot.model for version, slot in slots.items()}

    async def refresh(self) -> None:
        """Load the routes if they changed since the last look (or were refused a while ago)."""
        loop = asyncio.get_running_loop()
        stamp = self._look()
        if stamp == self._stamp and (self.refusal is None or loop.time() < self._retry_at):
            return
        changed, self._stamp = stamp != self._stamp, stamp
        try:
            routes, models = await loop.run_in_executor(self._loader, load_models, self._directory, self._models())
        except RefusedDeploymentError as error:
            self._retry_at = loop.time() + RETRY_S
            if changed:
                self._metrics.refused_reloads += 1
                _log.error("%s", error)
            self.refusal = error
            return
        before = self._models()
        if self.current is None or routes.generation != self.current.generation or changed:
            self.current = assemble(routes, models, self._metrics.arm)
            self._metrics.reloads += 1
            _log.info("serving generation %d: versions %s", routes.generation, sorted(models))
        self.refusal = None
        self.warm.want(tuple(v for v in routes.warm if v not in models), before)
        gc.collect()
        gc.freeze()  # models live long: the collector need not walk them

    async def watch(self) -> None:
        """Refresh until cancelled."""
        while True:
            await self.refresh()
            self.warm.look()
            try:
                await asyncio.wait_for(self._hurry.wait(), self._poll_s)
            except TimeoutError:
                continue
            self._hurry.clear()
            self._stamp = (-1, -1, -1)

    def hurry(self) -> None:
        """Look now, even if nothing seems changed (SIGHUP)."""
        self._hurry.set()

    def close(self) -> None:
        self._loader.shutdown(wait=False, cancel_futures=True)
        self.warm.close()

    def _look(self) -> Stamp:
        try:
            stat = (self._directory / "routes.json").stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_ino, stat.st_size
