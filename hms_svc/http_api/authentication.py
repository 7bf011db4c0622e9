"""Authentication: a bearer token of hms-svc, a JWT of the identity provider, or anybody on this machine."""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import msgspec

from hms_svc.domain.errors import DatabaseUnavailable, Outage
from hms_svc.http_api.problems import Problem
from hms_svc.operations.tokens import JWT_ACTOR, JWT_SCOPE, Scope, read_bearer
from hms_svc.ports.clock import Clock
from hms_svc.ports.stores import Token, TokenStore

if TYPE_CHECKING:
    from hms_svc.http_api.identity_provider import IdentityProvider

log: Final = logging.getLogger("hms_svc.http")
FRESH_SECONDS: Final = 5.0
STALE_SECONDS: Final = 600.0
"""How long tokens that were read are trusted while the database is unavailable."""
PATIENCE_SECONDS: Final = 0.25
"""How long requests wait for a read while older tokens can be used."""
MOST_ACTOR: Final = 128
"""The most characters of a name in the audit log."""
_IMPLIED: Final = {Scope.OPERATE: frozenset({Scope.OPERATE, Scope.VIEW})}


class Principal(msgspec.Struct, frozen=True):
    """An authenticated caller: `actor` in the audit log; `key` distinguishes bearers of the same name."""

    actor: str
    scopes: frozenset[Scope]
    key: str = ""
    rate: int = 0

    def may(self, scope: Scope) -> bool:
        """Return whether the caller has this scope."""
        return scope in self.scopes


class Authentication:
    """Caches the tokens for at most five seconds.

    If no token was ever created and no identity provider is set, everybody who
    reaches the socket is `local`; the HTTP server then listens on loopback only, rejects forwarded
    requests, and stays open while the database is unavailable. An HTTP server that has seen a token stays closed,
    whatever becomes of the database.
    """

    def __init__(
        self,
        store: TokenStore,
        clock: Clock,
        *,
        local_actor: str,
        provider: IdentityProvider | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._provider = provider
        self._local = Principal(local_actor, frozenset(Scope), "local")
        self._tokens: dict[str, Token] = {}
        self._guarded = provider is not None
        self._is_outdated = False
        self._read_at = -math.inf
        self._tried_at = -math.inf
        self._reading: asyncio.Task[None] | None = None
        self._reading_since = -math.inf

    async def is_open(self) -> bool:
        """Return whether no token is required: none was ever created, and no identity provider is set."""
        if not self._guarded:
            self._guarded = bool(await self._known())
        return not self._guarded

    async def check_forwarded(self, sign: str) -> None:
        """Reject, with 401, a request that a proxy has forwarded, as `sign` shows, while no token is required."""
        if await self.is_open():
            raise _unauthorized(
                f"a proxy forwarded this request, as {sign} shows, and there is no token: everybody who reaches "
                "the proxy would count as local; first create a token (hms-svc tokens create NAME "
                "--scope produce), or set jwks_url"
            )

    async def identify(
        self, authorization: str | None, *, believed_seconds: float = STALE_SECONDS
    ) -> Principal:
        """Return the caller of an `Authorization` header; Problem 401 if it is not valid.

        While the database is unavailable, tokens that were read at most so long ago are trusted.
        """
        if await self.is_open():
            return self._local
        if not authorization:
            raise _unauthorized("a bearer token is required: Authorization: Bearer TOKEN")
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            raise _unauthorized(
                "the Authorization header is not `Bearer TOKEN`", error="invalid_request"
            )
        return await self._bearer(text.strip(), believed_seconds)

    async def _bearer(self, text: str, believed_seconds: float) -> Principal:
        if bearer := read_bearer(text):
            token = (await self._known(believed_seconds)).get(bearer.id)
            # Compared also if there is no such token: both take the same time.
            digest = token.digest if token else "0" * 64
            if not hmac.compare_digest(digest, bearer.digest) or token is None:
                raise _invalid("this token is unknown")
            return self._of_token(token)
        if self._provider is not None and text.count(".") == 2:
            found = await self._provider.verify(text)
            if found is not None:
                subject, scopes = found
                return Principal(subject[:MOST_ACTOR], _with_implied(scopes), subject)
        raise _invalid("this token is unknown")

    def _of_token(self, token: Token) -> Principal:
        now = self._clock.now_ms()
        if token.revoked_at is not None:
            raise _invalid("this token was revoked")
        if token.expires_at is not None and token.expires_at <= now:
            raise _invalid("this token has expired")
        scopes = _with_implied(Scope(name) for name in token.scopes if name in set(Scope))
        return Principal(token.name, scopes, token.id, token.rate)

    async def _known(self, believed_seconds: float = STALE_SECONDS) -> dict[str, Token]:
        loop = asyncio.get_running_loop()
        believed = believed_seconds if self._guarded else math.inf
        if loop.time() - self._tried_at >= FRESH_SECONDS:
            if self._reading is None:
                self._reading_since = loop.time()
                self._reading = asyncio.create_task(self._read(loop), name="read-tokens")
            knows = loop.time() - self._read_at < believed
            left = max(0.0, self._reading_since + PATIENCE_SECONDS - loop.time())
            await asyncio.wait({self._reading}, timeout=left if knows else None)
        if not loop.time() - self._read_at < believed:
            raise DatabaseUnavailable(
                "the tokens cannot be read from the database, and none are cached"
            )
        return self._tokens

    async def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read once for all concurrent callers: they share the wait for an outage."""
        began = loop.time()
        try:
            self._tokens = {token.id: token for token in await self._store.all()}
            self._read_at = self._tried_at = began
            self._is_outdated = False
        except Outage as error:
            if not self._is_outdated:
                log.warning(
                    "tokens could not be read; using those of %.0f s ago: %s",
                    began - self._read_at,
                    error,
                )
            self._is_outdated = True
            self._tried_at = loop.time()
        finally:
            self._reading = None


def _with_implied(scopes: Iterable[Scope]) -> frozenset[Scope]:
    return frozenset().union(*(_IMPLIED.get(scope, frozenset({scope})) for scope in scopes))


def forbidden(principal: Principal, scope: Scope, detail: str) -> Problem:
    """Return the refusal of a known caller who lacks a scope, which the challenge names (RFC 6750)."""
    prefix = JWT_SCOPE if principal.key.startswith(JWT_ACTOR) else ""
    headers = _challenge(error="insufficient_scope", scope=f"{prefix}{scope}")
    return Problem(403, "forbidden", detail, headers)


def _invalid(detail: str) -> Problem:
    return _unauthorized(detail, error="invalid_token")


def _unauthorized(detail: str, **challenge: str) -> Problem:
    return Problem(401, "unauthorized", detail, _challenge(**challenge))


def _challenge(**parameters: str) -> dict[str, str]:
    fields = {"realm": "hms-svc", **parameters}
    headers = ", ".join(f'{name}="{value}"' for name, value in fields.items())
    return {"www-authenticate": f"Bearer {headers}"}
