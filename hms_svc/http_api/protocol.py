"""HTTP/1.1 on the socket, with the limits that uvicorn lacks: how much may come, and how slowly.

A request target is a path, or an address of this server; trailers are dropped; an upgrade is to a WebSocket, has no
body and comes after all answers that are due. Violations are rejected before the application
sees them, after the answers that are due already.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from hms_svc.http_api.cross_origin import VARY
from hms_svc.http_api.problems import problem
from hms_svc.http_api.request_body import ARRIVED
from hms_svc.http_api.slow_clients import WriteTimeout

HEAD_SECONDS: Final = 10.0
CLOSE_SECONDS: Final = 2.0
"""How long what follows an answer is read and discarded, so that the answer arrives."""
CLOSING_SECONDS: Final = 30.0
MOST_HEAD_BYTES: Final = 32 * 1024
MOST_FRAMING_BYTES: Final = 1024 * 1024
"""For a body: chunk sizes, extensions and trailers together."""
MOST_PIPELINED: Final = 16
_ADDRESS: Final = re.compile(rb"(https?)://([^/?#@]+)((?:[/?][^#]*)?)", re.IGNORECASE)
_WITH_BODY: Final = frozenset({b"content-length", b"transfer-encoding"})


class _Unreadable(Exception):
    """Stops the parser."""


class BoundedProtocol(WriteTimeout, HttpToolsProtocol):
    """Rejects requests whose head or framing does not end, and closes connections without progress."""

    _timer: asyncio.TimerHandle | None = None
    _in_head = True
    _in_body = False
    _ended = False
    _head_bytes = 0
    _framing_bytes = 0
    _too_long = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # narrower than asyncio's, as in uvicorn
        """Expect a head from the start."""
        super().connection_made(transport)
        self._within(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._forget()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Process bytes; those outside of a body are counted."""
        if self._ended:
            return
        self._framing_bytes += len(data)
        super().data_received(data)
        if self._ended or self.transport.is_closing():
            return
        if self._framing_bytes > (MOST_HEAD_BYTES if self._in_head else MOST_FRAMING_BYTES):
            self._too_long = True
            self.send_400_response("")
        elif self._timer is None and (
            self._in_head or (self._is_idle() and self.timeout_keep_alive_task is None)
        ):
            self._within(HEAD_SECONDS)  # Empty lines begin no head, and cancel uvicorn's timer.

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = self._framing_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Process a piece of the request target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Process a header; trailers are ignored, since they would count as headers."""
        if self._in_head:
            self._count(len(name) + len(value) + 4)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End a head."""
        self._in_head = False
        self._in_body = True
        self._forget()
        self._use_absolute_target()
        self._check_head()
        super().on_headers_complete()
        if self.cycle is None or self.cycle.scope is not self.scope:
            return  # It is an upgrade.
        if self.scope["method"] != "HEAD":  # no body follows with which its head would leave
            self.cycle.transport = JoinedWrites(self.transport, self.loop)  # type: ignore[assignment]  # all that uvicorn uses
        if self.scope["http_version"] == "1.0":
            # It knows no chunks: without a length, the answer ends with the connection.
            self.cycle.send = UntilClosed(self.cycle).send  # type: ignore[method-assign]  # uvicorn offers no other hook

    def on_body(self, body: bytes) -> None:
        """Process a piece of a body."""
        self._framing_bytes -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._in_body = False
        self._forget()
        self.scope[ARRIVED] = True  # type: ignore[typeddict-unknown-key]  # our own
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Continue with the next request; if the request was answered early, wait a moment for the rest of it."""
        if self._ended:
            self.pipeline.clear()
            self._close_behind()
            return
        super().on_response_complete()
        if self.transport.is_closing():
            self._within(CLOSING_SECONDS)
        elif self._in_body and self.cycle.response_complete:
            self._within(CLOSE_SECONDS)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection on which nothing came."""
        self.transport.abort()

    def handle_websocket_upgrade(self) -> None:
        """Pass the connection to the WebSocket protocol."""
        self._ended = True
        self._forget()
        self.forget_stall()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """Reject what cannot be parsed. Answers that are due before it are sent first."""
        self._ended = True
        self._forget()
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._refuse()
        elif not self.pipeline and cycle.more_body:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
            else:
                self._refuse()

    def _refuse(self) -> None:
        self.transport.write(_TOO_LONG if self._too_long else _MALFORMED)
        self._close_behind()

    def _close_behind(self) -> None:
        """Close once the client has: unread bytes would reset the connection before the answer arrives."""
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._within(CLOSE_SECONDS)
        else:
            self.transport.close()
            self._within(CLOSING_SECONDS)

    def _use_absolute_target(self) -> None:
        """Parse a target in absolute form as RFC 9112 (3.2.2) requires: its host replaces Host."""
        found = _ADDRESS.fullmatch(self.url)
        if found is None:
            return
        scheme, host, path = found.groups()
        if scheme.decode().lower() != self.scheme:
            raise _Unreadable
        self.url = path if path.startswith(b"/") else b"/" + path
        names = [name for name, _ in self.headers]
        if b"host" in names:  # HTTP/1.1 requires it in any form, and rejects it twice.
            self.headers[names.index(b"host")] = (b"host", host)

    def _check_head(self) -> None:
        if not self.url.startswith(b"/") or not self.url.isascii():
            raise _Unreadable
        if len(self.pipeline) >= MOST_PIPELINED:
            raise _Unreadable
        if self.parser.should_upgrade() and self._should_upgrade():
            busy = self.cycle is not None and not self.cycle.response_complete
            bodies = any(name in _WITH_BODY for name, _ in self.headers)
            if busy or bodies or self.parser.get_method() != b"GET":
                raise _Unreadable

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MOST_HEAD_BYTES:
            self._too_long = True
            raise _Unreadable

    def _is_idle(self) -> bool:
        answered = self.cycle is None or self.cycle.response_complete
        return answered and not self._in_head and not self._in_body

    def _within(self, seconds: float) -> None:
        self._forget()
        self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class JoinedWrites:
    """The transport of one answer: its head leaves with what follows in the same iteration of the loop.

    uvicorn writes head and body one after the other, which costs the server a further system call and the client a
    further wake-up.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""
        self._is_later = False

    def write(self, data: bytes) -> None:
        """Write bytes: the first ones with the next."""
        if self._is_later:
            self._transport.write(self._head + data)
            self._head = b""
        else:
            self._head, self._is_later = data, True
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """Close the connection once all is written."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Return whether the connection is closed or about to be."""
        return self._transport.is_closing()

    def _flush(self) -> None:
        if self._head:
            self._transport.write(self._head)
            self._head = b""


class UntilClosed:
    """Sends an answer to HTTP/1.0: without a length, up to the end of the connection."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._send = cycle.send
        self._without_length = False

    async def send(self, message: Any) -> None:
        """Send one ASGI message."""
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", ())}
            self._without_length = b"content-length" not in names
            if self._without_length:
                self._cycle.chunked_encoding = False
        if self._without_length:  # uvicorn counts down to 0 in any case.
            self._cycle.expected_content_length = len(message.get("body", b""))
        await self._send(message)


def _raw(response: Response) -> bytes:
    head = [
        f"HTTP/1.1 {response.status_code} Refused".encode(),
        b"connection: close",
        b": ".join(VARY),
    ]
    head += [name + b": " + value for name, value in response.raw_headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + bytes(response.body)


_MALFORMED: Final = _raw(
    problem(400, "malformed-request", "this is not an HTTP/1.1 request to a path")
)
_TOO_LONG: Final = _raw(
    problem(
        431,
        "head-too-large",
        f"request line and headers exceed the limit of {MOST_HEAD_BYTES:,} bytes",
    )
)
