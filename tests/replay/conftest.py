"""A small real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.models import build_plain
from tests.serving.servers import Server, start


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``plain-1`` and ``plain-2``: four numbers, different coefficients."""
    directory = tmp_path_factory.mktemp("packages")
    build_plain(directory / "plain-1", seed=1)
    build_plain(directory / "plain-2", seed=2)
    return directory


@pytest.fixture
def server(packages: Path, tmp_path: Path) -> Iterator[Server]:
    """Version 1 answers 70 %, version 2 the rest; each scores in shadow what the other answered."""
    versions = {1: packages / "plain-1", 2: packages / "plain-2"}
    with start(tmp_path, versions, {1: 70, 2: 30}, "--flush", "0.05", shadow=[1, 2]) as running:
        yield running
