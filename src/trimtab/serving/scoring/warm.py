"""Earlier versions that stay loaded beside the ones that answer, so that a rollback only moves weights."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trimtab.serving.runtimes import Model
from trimtab.serving.scoring.deployment import RefusedVersionError, load_version

RETRY_S = 5.0
"""A warm version that cannot be loaded is tried again this often: it may be on its way here."""

_log = logging.getLogger("trimtab.serving")


class WarmVersions:
    """Loads what the routes call warm, one version after the other, in a thread of its own.

    Nothing waits for it: new routes are served before their warm versions are loaded, and one that cannot be loaded
    is told at ``/trimtab/status`` and harms nothing.
    """

    def __init__(self, directory: Path) -> None:
        self.models: dict[int, Model] = {}
        """The loaded ones."""
        self.refused: dict[int, str] = {}
        """Why others are not."""
        self._directory = directory
        self._wanted: tuple[int, ...] = ()
        self._task: asyncio.Task[None] | None = None
        self._retry_at = 0.0
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="warmer")

    def want(self, versions: tuple[int, ...], known: Mapping[int, Model]) -> None:
        """These, and no others, stay loaded. ``known`` models are used again where their content is the same."""
        self._wanted = versions
        self.models = {version: known[version] for version in versions if version in known}
        self.refused = {}
        self._retry_at = 0.0
        self.look()

    def look(self) -> None:
        """Begin to load what is wanted and not loaded, unless that is under way or failed just now."""
        waiting = [version for version in self._wanted if version not in self.models]
        if not waiting or (self._task is not None and not self._task.done()):
            return
        loop = asyncio.get_running_loop()
        if loop.time() >= self._retry_at:
            self._task = loop.create_task(self._load(waiting))

    async def _load(self, versions: list[int]) -> None:
        loop = asyncio.get_running_loop()
        for version in versions:
            if version not in self._wanted:
                continue
            try:
                model = await loop.run_in_executor(self._loader, load_version, self._directory, version, None)
            except RefusedVersionError as error:
                self._refuse(version, str(error))
                continue
            if version in self._wanted:  # the routes may have changed meanwhile
                self.models[version] = model
                self.refused.pop(version, None)
                _log.info("version %d is warm", version)
        self._retry_at = loop.time() + RETRY_S if self.refused else 0.0

    def _refuse(self, version: int, reason: str) -> None:
        if version in self._wanted and self.refused.get(version) != reason:
            self.refused[version] = reason
            _log.warning("version %d cannot be kept warm: %s", version, reason)

    def close(self) -> None:
        """Stop loading."""
        if self._task is not None:
            self._task.cancel()
        self._loader.shutdown(wait=False, cancel_futures=True)
