"""Request bodies: limited in bytes and in time, each and together, before any is parsed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, Self

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope

from hms_svc.http_api.problems import Problem

MOST_BODY_BYTES: Final = 8 * 1024 * 1024
MOST_BYTES_TOGETHER: Final = 256 * 1024 * 1024
BODY_SECONDS: Final = 30.0
ARRIVED: Final = "hms_svc.arrived"
"""In the scope of a request whose whole body has come: it needs no timer."""
WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


class Bodies:
    """All bodies that are held at the moment."""

    def __init__(self) -> None:
        self.held = 0


class Body:
    """Receives the messages of one request within the limits; what came is held until the block ends."""

    def __init__(self, bodies: Bodies, scope: Scope, receive: Receive) -> None:
        self._bodies = bodies
        self._scope = scope
        self._receive = receive
        self._ends = asyncio.get_running_loop().time() + BODY_SECONDS
        self._complete = False
        self._taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._bodies.held -= self._taken

    async def __call__(self) -> Message:
        """Return the next message; Problem 408, 413 or 503 if the body exceeds a limit."""
        if self._complete:
            return await self._receive()
        if ARRIVED in self._scope:
            message = await self._receive()
        else:
            message = await self._receive_in_time()
        self._take(len(message.get("body", b"")))
        self._complete = not message.get("more_body", False)
        return message

    async def _receive_in_time(self) -> Message:
        try:
            async with asyncio.timeout_at(self._ends):
                return await self._receive()
        except TimeoutError as error:
            raise Problem(
                408, "body-too-slow", f"the body did not arrive within {BODY_SECONDS:g} s"
            ) from error

    def _take(self, size: int) -> None:
        self._taken += size
        self._bodies.held += size
        if self._taken > MOST_BODY_BYTES:
            raise _too_large()
        if self._bodies.held > MOST_BYTES_TOGETHER:
            raise Problem(
                503,
                "busy",
                "the service is receiving too many large bodies at once",
                {"retry-after": "5"},
            )


async def read_whole(request: Request) -> bytes:
    """Return the whole body of a request whose body nobody has read; ClientDisconnect if the client left."""
    pieces: list[bytes] = []
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(pieces)


def check_length(headers: Mapping[bytes, bytes]) -> None:
    """Reject a body whose declared length is too large; Problem 413."""
    length = headers.get(b"content-length", b"0")
    if len(length) > 18 or int(length) > MOST_BODY_BYTES:
        raise _too_large()


def _too_large() -> Problem:
    return Problem(413, "body-too-large", f"the body has more than {MOST_BODY_BYTES:,} bytes")
