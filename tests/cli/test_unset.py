"""A variable that is not set is found before work begins, not after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.loop.project import write_data
from trimtab.cli.main import main


@pytest.mark.parametrize("command", ["train", "up"])
@pytest.mark.parametrize(
    ("url", "says"), [("${TRIMTAB_TEST_UNSET}", "export TRIMTAB_TEST_UNSET=..."), ("foo://bar", "Apprise")]
)
def test_a_notification_that_cannot_be_sent_is_found_at_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    url: str,
    says: str,
) -> None:
    """A new terminal, without the secrets: a training would be registered and then not be journalled."""
    write_data(tmp_path / "parcels.parquet", 300)
    (tmp_path / "trimtab.yaml").write_text(PROJECT + f'notification: {{urls: ["{url}"]}}\nserving: {{port: 0}}\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRIMTAB_TEST_UNSET", raising=False)
    assert main([command]) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.out == ""
    assert not (tmp_path / ".trimtab" / "mlflow.db").exists()


PROJECT = """\
name: parcels
task: classification
data: {files: parcels.parquet, time: sent_at, target: late, entity: customer}
"""
