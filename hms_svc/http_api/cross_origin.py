"""Web pages of other origins that may call the API: those in `http_origins` (CORS)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

METHODS: Final = "GET, HEAD, POST"
REQUEST_HEADERS: Final = (
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    "last-event-id",
    "traceparent",
    "tracestate",
)
EXPOSED: Final = "Location, Retry-After, Idempotency-Replayed"
KEPT_SECONDS: Final = 600
"""How long a browser may cache the answer."""
_OF_CLOUD_EVENTS: Final = re.compile(r"ce-[a-z0-9]{1,20}")
VARY: Final = (b"vary", b"Origin")


class Origins:
    """The allowed origins."""

    def __init__(self, listed: Iterable[str]) -> None:
        self._listed = frozenset(plain_origin(origin) for origin in listed)

    def listed(self, scope: Scope) -> str:
        """Return the origin of a request if it is listed, else ""."""
        if not self._listed:
            return ""
        named = Headers(scope=scope).getlist("origin")
        return named[0] if len(named) == 1 and plain_origin(named[0]) in self._listed else ""


def plain_origin(origin: str) -> str:
    """Return an origin as browsers write it: in lower case, without the default port of its scheme."""
    plain = origin.lower()
    return plain.removesuffix(":443" if plain.startswith("https:") else ":80")


def is_preflight(scope: Scope) -> bool:
    """Return whether a request is a browser's question of what a page of another origin may send."""
    requested = "access-control-request-method" in Headers(scope=scope)
    return requested and scope.get("method") == "OPTIONS"


def preflight(scope: Scope) -> Response:
    """Answer a preflight of a listed origin; nothing is done, so no token is required."""
    names = Headers(scope=scope).get("access-control-request-headers", "").lower().split(",")
    events = sorted({name.strip() for name in names if _OF_CLOUD_EVENTS.fullmatch(name.strip())})
    return Response(
        status_code=204,
        headers={
            "access-control-allow-methods": METHODS,
            "access-control-allow-headers": ", ".join([*REQUEST_HEADERS, *events]),
            "access-control-max-age": str(KEPT_SECONDS),
            "vary": "Access-Control-Request-Headers",
        },
    )


def readable_by(origin: str) -> list[tuple[bytes, bytes]]:
    """Return the headers that let pages of a listed origin read an answer; none for ""."""
    if not origin:
        return [VARY]
    return [
        VARY,
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", EXPOSED.encode()),
    ]
