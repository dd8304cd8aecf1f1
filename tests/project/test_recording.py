"""``serving.log`` of a project: what the servers are told, and what cannot be done then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trimtab.core.domain.errors import UserError
from trimtab.project.recording import limits_of, log_settings
from trimtab.project.settings import Project

KEY = {"TRIMTAB_LOG_KEY": "0123456789abcdef"}


def project(log: dict[str, Any], **data: Any) -> Project:
    """A small project with these settings of the log."""
    return Project(
        name="flights",
        task="classification",
        data={"files": "a.csv", "time": "at", "target": "late", "entity": "tail", **data},
        serving={"log": log},
    )


def test_the_default_records_everything_for_ever() -> None:
    """Most projects."""
    made = project({})
    settings = log_settings(made, Path("/p"), {})
    assert not settings.partial
    assert (settings.age_s, settings.bytes_max, settings.bucket_s) == (None, None, made.monitoring.block)
    assert limits_of(made) == ()


def test_what_is_set_reaches_the_server() -> None:
    """A hospital: little is kept, of it little in the open, and not for long."""
    log = {"sample": 0.1, "hash": ["tail", "ward"], "omit": "name", "age": "30d", "size": 10, "size_hard": 20}
    settings = log_settings(project(log, collect=False), Path("/p"), KEY)
    assert (settings.sample, settings.hashed, settings.omitted) == (0.1, ("tail", "ward"), ("name",))
    assert (settings.age_s, settings.bytes_max, settings.bytes_hard) == (30 * 86400.0, 10, 20)
    assert settings.secret() == b"0123456789abcdef"
    with pytest.raises(UserError, match="no key is given"):
        log_settings(project(log, collect=False), Path("/p"), {})


def test_a_key_in_a_file(tmp_path: Path) -> None:
    """A secret that is mounted beside the project file."""
    (tmp_path / "log.key").write_text("fedcba9876543210")
    made = project({"hash": "tail", "key_file": "log.key"})
    assert log_settings(made, tmp_path, KEY).secret() == b"fedcba9876543210"
    with pytest.raises(UserError, match="No such file"):
        log_settings(made, tmp_path / "elsewhere", KEY)


def test_what_cannot_be_done_is_said() -> None:
    """Somebody wonders in a year why nothing was retrained."""
    (words,) = limits_of(project({"rows": False}, collect=False))
    assert "losses are not measured" in words
    some = limits_of(project({"sample": 0.5, "hash": "ward", "omit": "name"}, collect=False))
    assert [text.split()[0] for text in some] == ["0.5", "ward", "name"]


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ({"rows": False}, "nothing can be collected"),
        ({"omit": ["ward"]}, "'ward' is left out of the log, so production rows cannot be trained on"),
        ({"hash": "ward"}, "'ward' stands hashed in the log"),
        ({"rows": False, "sample": 0.5}, "sample has no effect"),
        ({"key_file": "k"}, "key_file has no effect"),
        ({"age": "1d"}, "less than 'rollout.longest'"),
        ({"sample": 0}, "sample"),
    ],
)
def test_contradictions_are_errors(log: dict[str, Any], words: str) -> None:
    """What would silently spoil the loop has to be meant."""
    with pytest.raises(ValidationError, match=words):
        project(log)


def test_what_is_no_feature_may_be_private() -> None:
    """The entity, and columns that the model never sees."""
    assert project({"hash": ["entity", "tail"], "omit": ["note"]}, ignore=["note"]).serving.log.omit == ("note",)
