"""The public surface: what it names exists, and asking for it costs nothing before it is used."""

from __future__ import annotations

import subprocess
import sys

import trimtab


def test_every_public_name_is_there() -> None:
    """Somebody follows the documentation in a notebook."""
    assert trimtab.__all__ == sorted(trimtab.__all__)
    for name in trimtab.__all__:
        assert getattr(trimtab, name) is not None
    assert not hasattr(trimtab, "no_such_name")


def test_importing_the_package_brings_no_library_along() -> None:
    """A serving image or a command starts."""
    code = "import sys, trimtab; print(sorted({'numpy', 'pandas', 'mlflow', 'sklearn', 'pyarrow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
