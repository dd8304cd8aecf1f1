"""Compiles ``trimtab.serving.compiled`` where there is a C compiler; without one Trimtab is complete, and slower.

``TRIMTAB_PURE=1`` leaves it out; ``TRIMTAB_COMPILED=1`` fails where it cannot be compiled (for wheels
that are given to others).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("src/trimtab/serving/compiled")


class CompiledHook(BuildHookInterface):
    """Builds in place, so that an editable install finds it, and adds the result to the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  the interface names it
        if self.target_name != "wheel" or os.environ.get("TRIMTAB_PURE"):
            return
        try:
            built = compile_in_place(Path(self.root))
        except Exception as error:
            if os.environ.get("TRIMTAB_COMPILED"):
                raise
            print(f"trimtab: without compiled loops ({type(error).__name__}: {error})", file=sys.stderr)
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"] += [str(path.relative_to(self.root)) for path in built]


def compile_in_place(root: Path) -> list[Path]:
    """The extension modules beside their sources; only what is older than its source is compiled."""
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    scratch = root / "build" / "compiled"
    flags = [] if sys.platform == "win32" else ["-O3"]
    modules = [
        Extension(f"trimtab.serving.compiled.{path.stem}", [str(path.relative_to(root))], extra_compile_args=flags)
        for path in sorted((root / FOLDER).glob("*.pyx"))
    ]
    before = Path.cwd()
    os.chdir(root)
    try:
        command = build_ext(Distribution({"ext_modules": cythonize(modules, build_dir=str(scratch), quiet=True)}))
        command.build_lib, command.build_temp = "src", str(scratch)
        command.ensure_finalized()
        command.run()
        return [Path(root / each) for each in command.get_outputs()]
    finally:
        os.chdir(before)
