"""Real packages, built once for all tests of the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.models import build_flights, build_plain
from tests.serving.servers import Server, start


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``plain-1``, ``plain-2``: four numbers, different coefficients. ``flights-1``: texts, numbers, times."""
    directory = tmp_path_factory.mktemp("packages")
    build_plain(directory / "plain-1", seed=1)
    build_plain(directory / "plain-2", seed=2)
    build_flights(directory / "flights-1")
    return directory


@pytest.fixture(scope="module")
def plain(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of one version that the tests of a module share."""
    with start(tmp_path_factory.mktemp("plain"), {1: packages / "plain-1"}) as server:
        yield server


@pytest.fixture(scope="module")
def flights(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a model with texts, an entity and an event time."""
    with start(tmp_path_factory.mktemp("flights"), {1: packages / "flights-1"}) as server:
        yield server
