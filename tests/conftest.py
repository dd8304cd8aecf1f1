"""For all tests."""

from __future__ import annotations

import tempfile

import pytest
from hypothesis import settings

# Machines are shared: how long an example took says nothing about the code.
settings.register_profile("patient", deadline=None, print_blob=True)
settings.load_profile("patient")


@pytest.fixture(autouse=True)
def own_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job moves its process's temporary files to its own folder; tests that play one must not move all."""
    monkeypatch.setattr(tempfile, "tempdir", tempfile.gettempdir())
