"""The middleware of every request: its host, its origin, the proxies, and its size."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose, WebSocketDisconnect

from hms_svc.domain.errors import HmsError
from hms_svc.http_api.cross_origin import (
    Origins,
    is_preflight,
    plain_origin,
    preflight,
    readable_by,
)
from hms_svc.http_api.methods import as_read
from hms_svc.http_api.problems import Problem, problem, problem_of
from hms_svc.http_api.proxies import Proxies, sign_of_proxy
from hms_svc.http_api.request_body import WITH_BODY, Bodies, Body, check_length

log: Final = logging.getLogger("hms_svc.http")
OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})
"""Called by load balancers, which name none of our hosts, and through any proxy."""
SCRAPED: Final = "/metrics"
"""Called by Prometheus at the address of a pod, which is none of our hosts, with a token."""
CONSOLE: Final = "/console"
STREAMS: Final = "/events"
"""The last segment of every path that is followed."""
MOST_STREAMS: Final = 3_000
"""Fewer than the limit of connections: followers leave some for all other callers."""
BUSY_SECONDS: Final = "5"
ONCE: Final = ("host", "authorization", "origin", "content-type", "content-encoding")
"""Headers that may occur once: of two, this HTTP server and a proxy could each use a different one."""
SAFETY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"same-origin"),
)
GONE: Final = (ClientDisconnect, WebSocketDisconnect)
Observer = Callable[[str, str, int, float], None]
"""Called for each answer: template of the route, method, status, seconds."""
Guard = Callable[[str], Awaitable[None]]
"""Called with the sign of a proxy; raises if forwarded requests are not allowed."""
Openness = Callable[[], Awaitable[bool]]
"""Returns whether no token is required."""
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[0-9a-z_.-]*[0-9a-z_-])(:[0-9]{1,5})?", re.ASCII)


class RequestGuard:
    """The outermost application. Answers requests that are not admitted, and every error, in one shape."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Iterable[str],
        guard: Guard,
        is_open: Openness,
        origins: Iterable[str] = (),
        proxies: Iterable[str] = (),
        observe: Observer | None = None,
    ) -> None:
        self._app = app
        self._hosts = frozenset(_bare(host) for host in hosts) - {""}
        self._guard = guard
        self._is_open = is_open
        self._origins = Origins(origins)
        self._proxies = Proxies(proxies)
        self._observe = observe
        self._bodies = Bodies()
        self._streams = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or one WebSocket."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        origin = self._origins.listed(scope)
        answered = _Answer(send, scope["type"], origin)
        began, method = time.perf_counter(), scope.get("method", "WS")
        try:
            scope = await self._check(scope)
            if origin and is_preflight(scope):
                await answered.send_error(preflight(scope), scope, receive)
                return
            if scope["path"] not in OPEN_PATHS and (sign := sign_of_proxy(scope)):
                await self._guard(sign)
            scope = as_read(scope)
            if scope["type"] != "http" or scope["path"].endswith(STREAMS):
                with self._counted():
                    await self._app(scope, receive, answered)
            elif scope["method"] in WITH_BODY:
                with Body(self._bodies, scope, receive) as body:
                    await self._app(scope, body, answered)
            else:
                await self._app(scope, receive, answered)
        except Problem as error:
            await answered.send_error(error.response(), scope, receive)
        except HmsError as error:
            await answered.send_error(problem_of(error), scope, receive)
        except GONE:
            log.debug("%r: the client disconnected", scope["path"])
        except Exception:
            log.exception("%s %r failed", method, scope["path"])
            await answered.send_error(internal_error(), scope, receive)
        finally:
            if self._observe is not None and scope["type"] == "http":
                seconds = time.perf_counter() - began
                self._observe(_template(scope), method, answered.status, seconds)

    async def _check(self, scope: Scope) -> Scope:
        """Return the scope as its caller meant it; Problem if it is not admitted."""
        if len(dict(scope["headers"])) < len(scope["headers"]):
            _check_once(Headers(scope=scope))
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            raise Problem(400, "bad-input", "the request target contains NUL")
        if scope["path"] in OPEN_PATHS:
            return scope
        scope = self._proxies.wake(scope)
        headers = first_values(scope)
        host = headers.get(b"host", b"").decode("latin-1")
        if _bare(host) not in self._hosts and not await self._is_scraped(scope, host):
            raise Problem(
                421,
                "unknown-host",
                f"host {host!r:.100} is not one of this service: see http_hosts",
            )
        self._check_origin(headers, scope, host)
        if scope["type"] == "http" and scope["method"] in WITH_BODY:
            _check_encoding(headers)
            check_length(headers)
        return scope

    async def _is_scraped(self, scope: Scope, host: str) -> bool:
        """Return whether this requests metrics at an IP address, where a token is required.

        A page whose name was made to point at this machine (DNS rebinding) still sends that name, and
        has no token: an IP address in the Host header reveals nothing.
        """
        by_address = scope["path"] == SCRAPED and _is_address(_bare(host))
        return by_address and not await self._is_open()

    def _check_origin(self, headers: Mapping[bytes, bytes], scope: Scope, host: str) -> None:
        given = headers.get(b"origin")
        if given is None:
            if headers.get(b"sec-fetch-site") == b"cross-site" and not _is_link(scope, headers):
                raise Problem(403, "foreign-origin", "pages of other sites may not call this API")
            return
        origin, secure = given.decode("latin-1"), scope["scheme"] in {"https", "wss"}
        ours = plain_origin(f"{'https' if secure else 'http'}://{host}")
        if plain_origin(origin) != ours and not self._origins.listed(scope):
            raise Problem(
                403,
                "foreign-origin",
                f"origin {origin!r:.100} may not call this API: see http_origins",
            )

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if self._streams >= MOST_STREAMS:
            detail = f"there are already {MOST_STREAMS:,} followers, the limit"
            raise Problem(503, "too-many-followers", detail, {"retry-after": BUSY_SECONDS})
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1


def internal_error() -> Response:
    """Return the answer of an unforeseen error."""
    return problem(500, "internal-error", "an internal error; the log has the details")


def _is_link(scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
    """Return whether a person follows a link to the console: the other site cannot read the answer."""
    fetch = headers.get(b"sec-fetch-mode"), headers.get(b"sec-fetch-dest")
    page = scope["path"] == CONSOLE and scope.get("method") == "GET"
    return page and fetch == (b"navigate", b"document")


def _check_once(headers: Headers) -> None:
    for name in ONCE:
        if len(headers.getlist(name)) > 1:
            raise Problem(400, "ambiguous-header", f"{name} occurs more than once")


def _check_encoding(headers: Mapping[bytes, bytes]) -> None:
    encoding = headers.get(b"content-encoding", b"identity").decode("latin-1").lower()
    if encoding != "identity":
        raise Problem(
            415, "unsupported-encoding", f"content-encoding {encoding!r:.40} is not supported"
        )


class _Answer:
    """Sends messages on, adds the headers of every answer, and tracks its progress."""

    def __init__(self, send: Send, kind: str, origin: str) -> None:
        self._send = send
        self._headers = (*SAFETY_HEADERS, *readable_by(origin))
        self._kind = kind
        self._began = False
        self._complete = False
        self.status = 0

    async def __call__(self, message: Message) -> None:
        kind = message["type"]
        if kind in {"http.response.start", "websocket.http.response.start"}:
            self._began = True
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self._headers]
        elif kind in {"http.response.body", "websocket.http.response.body"}:
            self._complete = not message.get("more_body", False)
        elif kind == "websocket.accept":
            self._began = True
        elif kind == "websocket.close":
            self._began = self._complete = True
        try:
            await self._send(message)
        except OSError as error:  # ASGI's sign that the client has disconnected.
            raise ClientDisconnect from error

    async def send_error(self, response: ASGIApp, scope: Scope, receive: Receive) -> None:
        """Answer with an error; if an answer has begun, end it."""
        if self._complete:
            return
        with suppress(*GONE):
            if not self._began:
                await response(scope, receive, self)
            elif self._kind == "websocket":
                await WebSocketClose(1011)(scope, receive, self)
            else:
                await self({"type": "http.response.body", "body": b""})


def first_values(scope: Scope) -> dict[bytes, bytes]:
    """Return the first value of each header, by its name in lower case."""
    return dict(reversed(scope["headers"]))


def _template(scope: Scope) -> str:
    route = scope.get("route")
    return str(getattr(route, "path", ""))


def _is_address(host: str) -> bool:
    """Return whether a host without port is an IP address; IPv6 has brackets."""
    try:
        ip_address(host[1:-1] if host.startswith("[") else host)
    except ValueError:
        return False
    return True


def _bare(host: str) -> str:
    """Return a host without its port, in lower case; an IPv6 address has brackets. "" for none."""
    found = _HOST.fullmatch(host.lower())
    return found[1] if found else ""
