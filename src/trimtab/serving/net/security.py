"""Who may ask, and how the connection is kept private: what a server is told of both. Off unless something is set."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from trimtab.core.domain.errors import UserError

GROUPS = {
    "infer": "predict",
    "invocations": "predict",
    "vertex": "predict",
    "labels": "labels",
    "live": "health",
    "ready": "health",
    "model-ready": "health",
    "ping": "health",
    "metrics": "metrics",
    "status": "status",
}
"""Endpoints by what they are to a guard; all others are ``metadata``."""
OPEN = ("health", "metadata", "metrics", "status")
"""Groups that need no token unless they are closed."""
KINDS = ("predict", "labels")
"""What needs a token as soon as any is given, unless it is opened."""


@dataclass(frozen=True, slots=True)
class Security:
    """Bearer tokens and TLS. Nothing set: anybody who reaches the port may ask, in plain HTTP."""

    predict_tokens: Path | None = None
    """A file with one token a line; read again when it changes."""
    label_tokens: Path | None = None
    predict_values: tuple[str, ...] = field(default=(), repr=False)
    """Tokens themselves, where the environment holds them."""
    label_values: tuple[str, ...] = field(default=(), repr=False)
    closed: tuple[str, ...] = ()
    """Groups of ``OPEN`` that need a token, of either kind, all the same."""
    opened: tuple[str, ...] = ()
    """Of ``KINDS``, the one without tokens of its own that anybody may use all the same."""
    tls_cert: Path | None = None
    """PEM: the certificate and what leads to its root. Read again when it changes."""
    tls_key: Path | None = None
    """PEM; None: it stands in the certificate's file."""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.closed) - set(OPEN))
        if unknown:
            raise UserError(
                f"what needs a token besides predict and labels is one of {', '.join(OPEN)}; found {unknown[0]}"
            )
        if self.closed and not self.guarded:
            raise UserError(f"{', '.join(self.closed)} cannot need a token: no tokens are given")
        self._check_opened()
        if self.tls_key is not None and self.tls_cert is None:
            raise UserError("a TLS key was given without its certificate")

    def _check_opened(self) -> None:
        unknown = sorted(set(self.opened) - set(KINDS))
        if unknown:
            raise UserError(f"what is open to all is one of {', '.join(KINDS)}; found {unknown[0]}")
        if self.opened and not self.guarded:
            raise UserError(f"no tokens are given: all is open, not only {', '.join(self.opened)}")
        both = sorted(set(self.opened) & set(self.kinds))
        if both:
            raise UserError(f"{both[0]} cannot be open to all: tokens are given for it")

    @property
    def guarded(self) -> bool:
        """Whether any token is known."""
        return bool(self.predict_tokens or self.label_tokens or self.predict_values or self.label_values)

    @property
    def kinds(self) -> tuple[str, ...]:
        """``predict``, ``labels``, or both: of which tokens are given."""
        given = {
            "predict": self.predict_tokens or self.predict_values,
            "labels": self.label_tokens or self.label_values,
        }
        return tuple(kind for kind, there in given.items() if there)


def group(endpoint: str) -> str:
    """What an endpoint is to the guard."""
    return GROUPS.get(endpoint, "metadata")


def needed(security: Security, endpoint: str) -> tuple[str, ...]:
    """The kinds of token of which one is needed; empty: none."""
    name = group(endpoint)
    if name in KINDS:
        if name in security.kinds:
            return (name,)
        return () if name in security.opened else security.kinds  # given for one kind, tokens guard the other too
    return security.kinds if name in security.closed else ()
