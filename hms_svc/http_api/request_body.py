"""Request bodies: limited in bytes and in time, each and together, before any is parsed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from hms_svc.http_api.problems import Problem

MOST_BODY_BYTES: Final = 8 * 1024 * 1024
MOST_BYTES_TOGETHER: Final = 256 * 1024 * 1024
BODY_SECONDS: Final = 30.0
WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


class Bodies:
    """All bodies that are held at the moment."""

    def __init__(self) -> None:
        self.held = 0

    @contextmanager
    def bound(self, scope: Scope, receive: Receive) -> Iterator[Receive]:
        """Return a function that reads the body of a request within the limits; the body is counted until then."""
        if scope["type"] != "http" or scope["method"] not in WITH_BODY:
            yield receive
            return
        body = _Body(self, receive)
        try:
            yield body
        finally:
            self.held -= body.taken


class _Body:
    def __init__(self, bodies: Bodies, receive: Receive) -> None:
        self._bodies = bodies
        self._receive = receive
        self._ends = asyncio.get_running_loop().time() + BODY_SECONDS
        self._complete = False
        self.taken = 0

    async def __call__(self) -> Message:
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._ends):
                message = await self._receive()
        except TimeoutError as error:
            raise Problem(
                408, "body-too-slow", f"the body did not arrive within {BODY_SECONDS:g} s"
            ) from error
        self._take(len(message.get("body", b"")))
        self._complete = not message.get("more_body", False)
        return message

    def _take(self, size: int) -> None:
        self.taken += size
        self._bodies.held += size
        if self.taken > MOST_BODY_BYTES:
            raise _too_large()
        if self._bodies.held > MOST_BYTES_TOGETHER:
            raise Problem(
                503,
                "busy",
                "the service is receiving too many large bodies at once",
                {"retry-after": "5"},
            )


def check_length(headers: Headers) -> None:
    """Reject a body whose declared length is too large; Problem 413."""
    length = headers.get("content-length", "0")
    if len(length) > 18 or int(length) > MOST_BODY_BYTES:
        raise _too_large()


def _too_large() -> Problem:
    return Problem(413, "body-too-large", f"the body has more than {MOST_BODY_BYTES:,} bytes")
