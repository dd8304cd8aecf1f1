"""Secrets come from the environment, late, and nowhere else."""

from __future__ import annotations

import pytest

from trimtab.core.domain.errors import ConfigError
from trimtab.project.environment import expand, journal_url, notification_urls
from trimtab.project.settings import Data, Journal, Notification, Project


def project(*urls: str) -> Project:
    data = Data(files=("a.parquet",), time="t", target="y")
    return Project(name="flights", task="classification", data=data, notification=Notification(urls=urls))


def test_a_secret_is_filled_in() -> None:
    assert notification_urls(project("slack://${TOKEN}/x"), {"TOKEN": "abc"}) == ("slack://abc/x",)


def test_every_variable_that_is_not_set_is_named() -> None:
    """On the new machine nobody exported the tokens."""
    with pytest.raises(ConfigError) as caught:
        notification_urls(project("slack://${ONE}/${TWO}", "json://ok", "mailto://${THREE}"), {"TWO": ""})
    paths = [(problem.path, problem.message.split()[-1]) for problem in caught.value.problems]
    assert paths == [
        ("notification.urls[0]", "ONE"),
        ("notification.urls[0]", "TWO"),
        ("notification.urls[2]", "THREE"),
    ]


def test_the_password_of_the_journal_comes_from_the_environment() -> None:
    """The project file is in git; the database's password is not."""
    with_url = project().model_copy(update={"journal": Journal(url="postgresql://ann:${SECRET}@db/trimtab")})
    assert journal_url(with_url, {"SECRET": "abc"}) == "postgresql://ann:abc@db/trimtab"
    assert journal_url(project(), {}) is None
    with pytest.raises(ConfigError, match=r"journal\.url.*no SECRET"):
        journal_url(with_url, {})


def test_the_record_of_a_project_holds_no_secret() -> None:
    """Settings are logged with every run: a token in them would be in MLflow for ever."""
    assert "${TOKEN}" in str(project("slack://${TOKEN}").record())


def test_a_dollar_without_braces_is_left_alone() -> None:
    assert expand("mailto://a:pa$$word@host", {}) == ("mailto://a:pa$$word@host", ())
