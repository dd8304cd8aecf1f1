"""Between the decision that a version is deployed and its package on the servers' disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.loop.project import make_project
from trimtab.core.domain.errors import ExternalError
from trimtab.wiring import open_workspace


def test_a_deployment_that_was_cut_off_before_the_package_was_copied_is_completed(tmp_path: Path) -> None:
    """'trimtab train' was killed after it had journalled the first version and before it had copied the package."""
    project = make_project(tmp_path / "parcels")
    project.trimtab("train")
    shutil.rmtree(project.root / ".trimtab" / "deployment")
    desk = open_workspace(project.root)
    loop = desk.loop()
    with pytest.raises(ExternalError, match=r"version 1 .*not installed"):
        loop.tick()
    assert desk.target.installed() == {1}
    assert loop.tick().problems == ()
    routes = desk.target.routes()
    assert routes is not None
    assert routes.versions == {1}
