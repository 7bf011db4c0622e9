"""JWTs of an identity provider: verified with its published keys, mapped to scopes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import jwt

from hms_svc.domain.errors import Outage
from hms_svc.http_api.provider_keys import PublicKey, read_keys, verifier
from hms_svc.operations.tokens import JWT_ACTOR, JWT_SCOPE, Scope
from hms_svc.ports.tls import ssl_context_of

log: Final = logging.getLogger("hms_svc.http")
FETCH_SECONDS: Final = 5.0
KEYS_FRESH_SECONDS: Final = 600.0
KEYS_STALE_SECONDS: Final = 600.0
"""How much longer keys are trusted while the provider is unavailable."""
KEYS_AGAIN_SECONDS: Final = 30.0
LEEWAY_SECONDS: Final = 30
MOST_REMEMBERED: Final = 1000
SCOPE_CLAIMS: Final = ("scope", "scp", "roles")


_VERIFIER: Final = verifier()


class IdentityProviderAway(Outage):
    """The identity provider's keys cannot be fetched, and none are cached or still fresh."""


class IdentityProvider:
    """Verifies tokens; each valid one is cached until it expires."""

    def __init__(
        self,
        jwks_url: str,
        *,
        issuer: str,
        audience: str,
        scope_claims: Sequence[str] = SCOPE_CLAIMS,
        ca_file: Path | None = None,
    ) -> None:
        self._url = jwks_url
        self._issuer = issuer
        self._audience = audience
        self._scope_claims = tuple(scope_claims)
        self._verify = ssl_context_of(ca_file) if jwks_url.startswith("https:") else False
        self._keys: dict[str, list[PublicKey]] = {}
        self._fetched = float("-inf")
        self._tried = float("-inf")
        self._fetching = asyncio.Lock()
        self._held: OrderedDict[str, tuple[float, str, frozenset[Scope]]] = OrderedDict()

    async def verify(self, token: str) -> tuple[str, frozenset[Scope]] | None:
        """Return actor and scopes of a valid token, else None; an Outage without keys."""
        held = self._held.get(token)
        if held is not None and held[0] > time.time():
            return held[1], held[2]
        claims = await self._claims(token)
        if claims is None:
            return None
        actor, scopes = f"{JWT_ACTOR}{claims['sub']}", _scopes_of(claims, self._scope_claims)
        # No longer than keys are trusted: a token must not outlive the key that signed it.
        believed = min(KEYS_FRESH_SECONDS, self._believed_seconds())
        ends = min(float(claims["exp"]), time.time() + believed)
        self._held[token] = (ends, actor, scopes)
        while len(self._held) > MOST_REMEMBERED:
            self._held.popitem(last=False)
        return actor, scopes

    async def _claims(self, token: str) -> Mapping[str, Any] | None:
        try:
            header = jwt.get_unverified_header(token)
            algorithm = str(header.get("alg", ""))
            key = await self._key(str(header.get("kid", "")), algorithm)
            if key is None:
                log.info(
                    "a JWT was rejected: no key matches kid %.80r and alg %.20r",
                    header.get("kid"),
                    algorithm,
                )
                return None
            claims: Mapping[str, Any] = _VERIFIER.decode(
                token,
                key.public,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            log.info("a JWT was rejected: %r", str(error))
            return None
        return claims if claims["sub"] else None

    async def _key(self, kid: str, algorithm: str) -> PublicKey | None:
        now = asyncio.get_running_loop().time()
        wanted = kid not in self._keys or now - self._fetched > KEYS_FRESH_SECONDS
        if wanted and now - self._tried > KEYS_AGAIN_SECONDS:
            async with self._fetching:
                if now >= self._tried:
                    await self._fetch()
        if not self._keys or self._believed_seconds() <= 0:
            raise IdentityProviderAway(
                f"jwks_url {self._url} returned no keys, and none are cached or still fresh"
            )
        fitting = (key for key in self._keys.get(kid, ()) if algorithm in key.algorithms)
        return next(fitting, None)

    def _believed_seconds(self) -> float:
        age = asyncio.get_running_loop().time() - self._fetched
        return KEYS_FRESH_SECONDS + KEYS_STALE_SECONDS - age

    async def _fetch(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with httpx.AsyncClient(
                verify=self._verify, timeout=FETCH_SECONDS, trust_env=False
            ) as client:
                answer = (await client.get(self._url)).raise_for_status().json()
            found = read_keys(answer)
        except (httpx.HTTPError, ValueError) as error:
            log.warning(
                "the keys of the identity provider cannot be fetched: %s: %s",
                type(error).__name__,
                error,
            )
            return
        finally:
            self._tried = loop.time()
        self._keys = found
        self._fetched = loop.time()


def _scopes_of(claims: Mapping[str, Any], paths: Sequence[str]) -> frozenset[Scope]:
    names: set[str] = set()
    for value in (value for path in paths for value in _at(claims, path)):
        if isinstance(value, str):
            names |= set(value.split())
        elif isinstance(value, list):
            names |= {name for name in value if isinstance(name, str)}
    scopes = {name.removeprefix(JWT_SCOPE) for name in names if name.startswith(JWT_SCOPE)}
    return frozenset(scope for scope in Scope if scope.value in scopes)


def _at(claims: Mapping[str, Any], path: str) -> Iterator[Any]:
    """Return the value at a path such as `realm_access.roles`; names of claims may have dots, too."""
    if path in claims:
        yield claims[path]
    for place, letter in enumerate(path):
        inner = claims.get(path[:place]) if letter == "." else None
        if isinstance(inner, Mapping):
            yield from _at(inner, path[place + 1 :])
