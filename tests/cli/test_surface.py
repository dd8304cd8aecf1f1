"""The surface: what there is, what it says of itself, and what it costs to ask."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import trimtab
from trimtab.cli import reference
from trimtab.cli.commands import COMMANDS, overview
from trimtab.cli.main import main

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_in_the_docs_is_up_to_date() -> None:
    assert (DOCS / reference.PAGE).read_text(encoding="utf-8") == reference.markdown(), (
        "run: python -m trimtab.cli.reference"
    )


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_help_with_an_example(command) -> None:  # type: ignore[no-untyped-def]
    text = reference.help_of(command.name)
    assert "For example:" in text
    assert f"    trimtab {command.name}" in text
    module, _, function = command.function.partition(":")
    assert callable(getattr(importlib.import_module(module), function))
    assert command.summary in overview()


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"], []])
def test_the_overview_comes_in_every_usual_way(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out == overview()


def test_the_overview_imports_nothing_that_takes_time() -> None:
    """'trimtab --help' must feel immediate: only the standard library's smallest parts are loaded."""
    code = (
        "import sys; from trimtab.cli.main import main; main(['--help']);"
        "slow = {'cyclopts', 'rich', 'numpy', 'pydantic', 'pyarrow', 'msgspec', 'subprocess', 'inspect'};"
        "sys.stderr.write(' '.join(sorted(slow & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_the_parser_imports_only_the_command_that_is_used() -> None:
    code = (
        "import sys; from trimtab.cli.main import main; main(['status', '--help']);"
        "slow = {'pandas', 'sklearn', 'mlflow', 'onnxruntime', 'sqlalchemy', 'pyarrow', 'numpy', 'pydantic'};"
        "sys.stderr.write(' '.join(sorted(slow & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "trimtab status" in done.stdout


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("trimtab 0.")


def test_the_installed_command_is_this_one(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("trimtab")
    done = subprocess.run([script, "--help"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == overview() == trimtab("--help", cwd=tmp_path).out
