"""An MLflow database that is made once per test run and copied: making one takes seconds."""

import fcntl
import shutil
from pathlib import Path

import pytest

from trimtab.adapters.mlflow import MlflowRegistry


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """An empty MLflow database, shared by the workers of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    path = (base if worker_id == "master" else base.parent) / "mlflow-template.db"
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            aside = path.with_suffix(".aside")
            assert MlflowRegistry(f"sqlite:///{aside}", None, "template", "template").versions() == []
            aside.rename(path)
    return path


@pytest.fixture
def mlflow_uri(mlflow_template: Path, tmp_path: Path) -> str:
    """The tracking URI of an empty store of one's own."""
    path = tmp_path / "mlflow.db"
    shutil.copyfile(mlflow_template, path)
    return f"sqlite:///{path}"
