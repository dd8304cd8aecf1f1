"""Bearer tokens: who may predict, who may label. In the way of a request only where tokens are given."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path

from trimtab.core.domain.errors import UserError
from trimtab.serving import paths
from trimtab.serving.net.http import Answer, Handler, Later, Request, Response, error_response
from trimtab.serving.net.security import Security, needed
from trimtab.serving.process.watched import Stamp, stamp

SHORT = 16
"""A token of fewer characters can be guessed; it is taken, with a warning."""
CACHED_PATHS = 1024
_LONGEST = 4096

_log = logging.getLogger("trimtab.serving")


class TokenError(UserError):
    """Tokens cannot be read, or are none."""


class Tokens:
    """The known tokens by kind, as digests only: what is compared has one length, and what is kept is no secret."""

    def __init__(self, security: Security) -> None:
        """
        Raises:
            TokenError: a file cannot be read or holds no token.
        """
        self._files = {
            kind: path
            for kind, path in (("predict", security.predict_tokens), ("labels", security.label_tokens))
            if path is not None
        }
        given = (("predict", security.predict_values), ("labels", security.label_values))
        self._given = [(kind, _digest(text)) for kind, texts in given for text in texts]
        _warn_of_short(text for _, texts in given for text in texts)
        self._stamp: Stamp = stamp(tuple(self._files.values()))
        self._digests = self._read()
        self._of_kinds: dict[tuple[str, ...], tuple[bytes, ...]] = {}
        for kind, words in (("predict", "predictions are made"), ("labels", "labels are taken")):
            if kind in security.opened:
                _log.warning("%s without a token: %s is open to all", words, kind)
            elif kind not in security.kinds:
                known = security.kinds[0]
                _log.warning("%s with the tokens for %s: none are given for %s", words, known, kind)

    def allows(self, token: bytes, kinds: tuple[str, ...]) -> bool:
        """Whether a token is of one of the kinds. Every token of these kinds is compared, whatever is found."""
        digest = sha256(token).digest()
        found = False
        for known in self._of_kinds.get(kinds) or self._select(kinds):
            found |= compare_digest(digest, known)
        return found

    def _select(self, kinds: tuple[str, ...]) -> tuple[bytes, ...]:
        chosen = self._of_kinds[kinds] = tuple(known for kind, known in self._digests if kind in kinds)
        return chosen

    def kinds_of(self, token: bytes) -> set[str]:
        """The kinds that a token is known as. Takes as long for a wrong token as for a right one.

        Every known token is compared, none in a way that tells how far it agreed.
        """
        digest = sha256(token).digest()
        found = set()
        for kind, known in self._digests:
            if compare_digest(digest, known):
                found.add(kind)
        return found

    def refresh(self) -> None:
        """Read the files again if they changed; what cannot be read leaves the tokens as they were."""
        now = stamp(tuple(self._files.values()))
        if now == self._stamp:
            return
        self._stamp = now
        try:
            self._digests = self._read()
            self._of_kinds = {}
        except TokenError as error:
            _log.error("%s; the tokens known before stay in force", error)
        else:
            _log.info("tokens read again: %d known", len(self._digests))

    def _read(self) -> list[tuple[str, bytes]]:
        read = [(kind, text) for kind, path in self._files.items() for text in tokens_in(path)]
        _warn_of_short(text for _, text in read)
        return self._given + [(kind, _digest(text)) for kind, text in read]


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


def _warn_of_short(texts: Iterable[str]) -> None:
    short = sum(len(text) < SHORT for text in texts)
    if short:
        _log.warning("%d of the tokens have fewer than %d characters and can be guessed", short, SHORT)


def tokens_in(path: Path) -> list[str]:
    """The tokens of a file: one a line; empty lines and lines that begin with # are none.

    Raises:
        TokenError: it cannot be read or holds no token. No token stands in the message.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise TokenError(f"the tokens in {path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise TokenError(f"{path} holds no tokens: it is not text in UTF-8") from None
    tokens = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not tokens:
        raise TokenError(f"{path} holds no token; write one a line, or leave the option out")
    for number, line in enumerate(lines, 1):
        if not line.lstrip().startswith("#") and len(line.split()) > 1:
            raise TokenError(f"{path}:{number}: a token has no spaces in it")
    return tokens


class Guard:
    """Stands before ``handle``: 401 without a known token, 403 with one that is for something else."""

    def __init__(
        self,
        handle: Handler,
        tokens: Tokens,
        security: Security,
        routes: Mapping[bytes, paths.Target],
        refused: Callable[[str, int], None],
    ) -> None:
        self._handle = handle
        self._tokens = tokens
        self._security = security
        self._routes = routes
        self._refused = refused
        self._needed: dict[bytes, tuple[str, tuple[str, ...]]] = {}

    def __call__(self, request: Request) -> Answer | Later | Awaitable[Answer]:
        """Answer a request, if it may be answered. Never raises."""
        target = self._needed.get(request.url)
        endpoint, kinds = self._look(request) if target is None else target
        if kinds:
            given = request.headers.get(b"authorization", b"")
            if given[:7] == b"Bearer " and len(given) <= _LONGEST and self._tokens.allows(given[7:], kinds):
                return self._handle(request)
            refusal = self._refusal(request, kinds)
            if refusal is not None:
                self._refused(endpoint, refusal.status)
                return refusal
        return self._handle(request)

    def _look(self, request: Request) -> tuple[str, tuple[str, ...]]:
        found = self._routes.get(request.path) or paths.find(request.path)
        target = ("unknown", ()) if found is None else (found.endpoint, needed(self._security, found.endpoint))
        if found is not None and len(self._needed) < CACHED_PATHS:
            self._needed[request.url] = target
        return target

    def _refusal(self, request: Request, kinds: tuple[str, ...]) -> Response | None:
        given = request.headers.get(b"authorization")
        if given is None:
            return _unknown(
                f"a bearer token for {' or '.join(kinds)} is needed: send 'Authorization: Bearer <token>'", b""
            )
        scheme, _, token = given.partition(b" ")
        token = token.strip()
        if scheme.lower() != b"bearer" or not token or len(token) > _LONGEST:
            return _unknown("Authorization is not 'Bearer <token>'", b', error="invalid_request"')
        found = self._tokens.kinds_of(token)
        if not found:
            return _unknown("the bearer token is not known here", b', error="invalid_token"')
        if found.isdisjoint(kinds):
            words = " or ".join(kinds)
            scope = f'Bearer realm="trimtab", error="insufficient_scope", scope="{words}"'.encode()
            message = f"the bearer token is for {' and '.join(sorted(found))}; this needs one for {words}"
            return error_response(403, message, ((b"WWW-Authenticate", scope),))
        return None


def _unknown(message: str, error: bytes) -> Response:
    return error_response(401, message, ((b"WWW-Authenticate", b'Bearer realm="trimtab"' + error),))
