"""For all tests."""

from __future__ import annotations

from hypothesis import settings

# Machines are shared: how long an example took says nothing about the code.
settings.register_profile("patient", deadline=None, print_blob=True)
settings.load_profile("patient")
