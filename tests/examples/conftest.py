"""The example's modules stand beside its data, not in the package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

FLIGHTS = Path(__file__).resolve().parents[2] / "examples" / "flights"
sys.path.insert(0, str(FLIGHTS))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> object:
    """The example's data, built from the real package."""
    import prepare

    return prepare.prepare(tmp_path_factory.mktemp("data"))
