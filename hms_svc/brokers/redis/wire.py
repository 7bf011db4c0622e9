"""One connection to Redis once redis-py has connected it: commands out, replies in, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from hiredis import Reader
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    InvalidResponse,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

Answer = asyncio.Future[Any]
Pending = list[tuple[bytes, Answer]]
"""Packed commands, each with the future of its reply."""
ANSWERS: Final = (ResponseError, BusyLoadingError, AuthenticationError)
"""Errors that are the server's reply to one command; all others end the connection."""
_UNFINISHED: Final = object()


class Wire(asyncio.Protocol):
    """Takes over the transport of a connection of redis-py, until that disconnects it.

    It carries one exchange at a time: commands that are sent in one write, and their replies.
    So no more than one exchange is buffered for a server that does not read.
    Each reply has to arrive within the connection's `socket_timeout` (s) of the one before it.
    `ended` is called when each command of an exchange is answered or has failed.
    """

    def __init__(self, connection: Any, ended: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = ended
        self._seconds: float = connection.socket_timeout
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._unanswered: deque[Answer] = deque()
        self._is_busy = False
        self._reader = _make_reader(connection)
        self._transport: asyncio.Transport = connection._writer.transport
        self._streams: asyncio.BaseProtocol = self._transport.get_protocol()
        self._transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        """Whether commands can be sent."""
        return not self._transport.is_closing()

    def send(self, pending: Pending) -> None:
        """Begin an exchange."""
        self._is_busy = True
        self._unanswered.extend([answer for _, answer in pending])
        self._transport.write(b"".join([packed for packed, _ in pending]))
        self._deadline = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._check_time)

    def fail(self, error: Exception) -> None:
        """Break the connection; the unanswered commands fail with the error."""
        self._transport.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._unanswered:
            resolve(self._unanswered.popleft(), error)
        self._end()

    def data_received(self, data: bytes) -> None:
        """Resolve the commands whose replies are complete."""
        try:
            self._reader.feed(data)
            while self._unanswered:
                reply = self._reader.gets()
                if reply is _UNFINISHED:
                    return
                if isinstance(reply, RedisError) and not isinstance(reply, ANSWERS):
                    raise reply
                resolve(self._unanswered.popleft(), reply)
                self._deadline = self._loop.time() + self._seconds
            if self._reader.has_data():
                raise InvalidResponse("a reply to no command")
        except Exception as error:  # noqa: BLE001 - each caller gets it
            self.fail(error)
        else:
            self._end()

    def eof_received(self) -> None:
        """Break the connection: a server that has closed it answers nothing more."""
        self.fail(RedisConnectionError("the server closed the connection"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify redis-py's streams: it waits for their end when it disconnects."""
        self._streams.connection_lost(exc)
        self.fail(RedisConnectionError(f"the connection was lost: {exc}"))

    def _end(self) -> None:
        if self._is_busy:
            self._is_busy = False
            self._ended()

    def _check_time(self) -> None:
        """End an exchange that is late. The timer is set again only here, not with each reply."""
        self._timer = None
        if not self._unanswered:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._check_time)
        else:
            self.fail(RedisTimeoutError(f"no reply within {self._seconds:g} s"))


def unasked(connection: Any) -> RedisError | None:
    """Return as an error what a server has sent on a new connection before any command, None for nothing.

    One that takes no further client says so there. Nothing is awaited, so that whatever comes later
    comes to the Wire.
    """
    stream: asyncio.StreamReader = connection._reader
    if stream.at_eof() or connection._writer.transport.is_closing():
        return RedisConnectionError("the server closed the connection")
    data: bytes = bytes(stream._buffer)  # type: ignore[attr-defined]  # nothing public shows it without waiting
    if not data:
        return None
    reader = _make_reader(connection)
    reader.feed(data)
    said = reader.gets()
    return said if isinstance(said, RedisError) else InvalidResponse("a reply to no command")


def _make_reader(connection: Any) -> Reader:
    """Return a reader of RESP2: replies as bytes, errors as those classes to which redis-py maps them."""
    return Reader(
        protocolError=InvalidResponse,
        replyError=connection._parser.parse_error,
        notEnoughData=_UNFINISHED,
    )


def resolve(answer: Answer, result: Any) -> None:
    """Set a caller's reply or error, unless the caller was cancelled."""
    if answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)
