"""A project whose history can be broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.rows import frame, write

YAML = """\
name: parcels
task: classification
data:
  files: data/*.parquet
  time: sent_at
  target: late
  entity: customer
  ignore: [row]
estimator:
  parameters: {max_iter: 30}
response:
  mode: approve
rollout:
  steps: [25, 50, 100]
  requests_min: 20
"""
DAYS, ROWS = 60, 7200


@pytest.fixture(scope="module")
def parcels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty days of parcels, 120 a day; a customer's rows go to one version."""
    root = tmp_path_factory.mktemp("parcels")
    write(root, frame(ROWS, days=DAYS))
    (root / "trimtab.yaml").write_text(YAML)
    return root
