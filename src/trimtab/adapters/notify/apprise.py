"""``AppriseNotifier``: Slack, Teams, e-mail, PagerDuty, webhooks and the other services that Apprise knows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from trimtab.core.domain.errors import ExternalError, UserError
from trimtab.core.domain.verdict import Severity
from trimtab.ports import Notice

_TYPES = {Severity.MINOR: "info", Severity.MODERATE: "warning", Severity.SEVERE: "failure"}


class AppriseNotifier:
    """The ``Notifier`` port over Apprise. Its URLs hold secrets: a message or error names service and position only.

    Apprise is imported with the first instance (about 0.2 s).
    """

    def __init__(self, urls: Sequence[str]) -> None:
        """``urls``: as https://github.com/caronc/apprise/wiki lists them: ``slack://…``, ``mailto://…``, ``json://…``.

        Raises:
            UserError: Apprise is not installed, or does not know a URL; the text names its scheme and position.
        """
        try:
            import apprise
        except ImportError as error:
            raise UserError("notification by URL needs Apprise: pip install 'trimtab[loop]'") from error
        self._services: list[tuple[str, Any]] = []
        with _quiet():
            for position, url in enumerate(urls, start=1):
                service = apprise.Apprise.instantiate(url, suppress_exceptions=True)
                if service is None:
                    raise UserError(
                        f"notification URL {position} ({_scheme(url)}…) is not one that Apprise understands"
                    )
                self._services.append((f"{service.service_name} (URL {position})", service))

    def send(self, notice: Notice) -> None:
        """Deliver to every service; one that fails does not keep the others from getting it.

        Raises:
            ExternalError: a service did not take it; the text names which, without its secrets.
        """
        failed = []
        with _quiet():
            for name, service in self._services:
                try:
                    delivered = service.notify(
                        title=notice.title, body=notice.body, notify_type=_TYPES[notice.severity]
                    )
                except Exception as error:  # noqa: BLE001 - plugins raise anything, and what they raise may hold the URL
                    delivered, name = False, f"{name} ({type(error).__name__})"
                if not delivered:
                    failed.append(name)
        if failed:
            raise ExternalError(f"notice {notice.id} was not taken by {', '.join(failed)}")


def _scheme(url: str) -> str:
    scheme, found, _ = url.partition("://")
    return f"{scheme}://" if found and scheme.isalnum() else "no scheme"


@contextmanager
def _quiet() -> Iterator[None]:
    """Apprise logs what it sends, secrets included."""
    logger = logging.getLogger("apprise")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before
