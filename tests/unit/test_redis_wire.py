"""One connection to Redis: what arrives, in whatever pieces, reaches its caller, and no other."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from redis.asyncio import Connection
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    InvalidResponse,
    MasterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from hms_svc.brokers.redis.wire import Answer, Wire

SECONDS = 5.0


class Streams(asyncio.Protocol):
    """The protocol of redis-py's streams."""

    def __init__(self) -> None:
        self.lost: list[Exception | None] = []

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.streams = Streams()
        self.protocol: asyncio.BaseProtocol = self.streams
        self.is_aborted = False

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True


class Line:
    """A wire, and both of its ends."""

    def __init__(self) -> None:
        self.transport = Transport()
        connection = SimpleNamespace(
            socket_timeout=SECONDS,
            _parser=Connection()._parser,
            _writer=SimpleNamespace(transport=self.transport),
        )
        self.ends = 0
        self.wire = Wire(connection, self._end)

    def _end(self) -> None:
        self.ends += 1

    def ask(self, *commands: bytes) -> list[Answer]:
        loop = asyncio.get_running_loop()
        answers: list[Answer] = [loop.create_future() for _ in commands]
        self.wire.send(list(zip(commands, answers, strict=True)))
        return answers


@pytest.fixture
async def line() -> Line:
    return Line()


async def test_a_reply_in_many_pieces_is_one_reply(line: Line) -> None:
    [answer] = line.ask(b"one")
    for byte in b"*2\r\n$3\r\nab\n\r\n:7\r\n":
        assert not answer.done()
        line.wire.data_received(bytes([byte]))
    assert answer.result() == [b"ab\n", 7]
    assert line.ends == 1


async def test_replies_in_one_piece_are_answered_in_order(line: Line) -> None:
    first, second, third = line.ask(b"one", b"two", b"three")
    assert line.transport.writes == [b"onetwothree"]
    line.wire.data_received(b":1\r\n$-1\r\n$5\r\nth")
    assert (first.result(), second.result(), third.done(), line.ends) == (1, None, False, 0)
    line.wire.data_received(b"ree\r\n")
    assert (third.result(), line.ends) == (b"three", 1)


async def test_the_reply_to_a_cancelled_caller_is_dropped(line: Line) -> None:
    first, second = line.ask(b"one", b"two")
    first.cancel()
    line.wire.data_received(b":1\r\n:2\r\n")
    assert second.result() == 2
    [last] = line.ask(b"three")
    line.wire.data_received(b":3\r\n")
    assert last.result() == 3


@pytest.mark.parametrize("error", [None, ConnectionResetError("reset by peer")])
async def test_a_connection_cut_inside_a_reply_fails_what_is_unanswered(
    line: Line, error: Exception | None
) -> None:
    first, second, third = line.ask(b"one", b"two", b"three")
    line.wire.data_received(b":1\r\n$5\r\nab")
    if error is None:
        line.wire.eof_received()
    line.wire.connection_lost(error)
    assert first.result() == 1
    assert {type(answer.exception()) for answer in (second, third)} == {RedisConnectionError}
    assert (line.wire.is_open, line.ends) == (False, 1)
    assert line.transport.streams.lost == [error]


@pytest.mark.parametrize(
    ("reply", "kind", "text"),
    [
        ("NOSCRIPT No matching script", NoScriptError, "No matching script"),
        ("READONLY You can't write", ReadOnlyError, "You can't write"),
        ("OOM command not allowed", OutOfMemoryError, "command not allowed"),
        ("LOADING Redis is loading", BusyLoadingError, "Redis is loading"),
        ("MASTERDOWN Link is down", MasterDownError, "Link is down"),
        ("NOAUTH Authentication required.", AuthenticationError, "Authentication required."),
        ("WRONGPASS invalid", AuthenticationError, "invalid"),
        ("NOPERM no permission", NoPermissionError, "no permission"),
        ("ERR unknown command", ResponseError, "unknown command"),
        ("BUSY Redis is busy", ResponseError, "BUSY Redis is busy"),
    ],
)
async def test_an_error_that_is_a_reply_reaches_its_caller_alone(
    line: Line, reply: str, kind: type[RedisError], text: str
) -> None:
    first, second = line.ask(b"one", b"two")
    line.wire.data_received(f"-{reply}\r\n:2\r\n".encode())
    error = first.exception()
    assert (type(error), str(error), second.result()) == (kind, text, 2)
    assert line.wire.is_open


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (b"-ERR max number of clients reached\r\n", RedisConnectionError),
        (b"?not RESP\r\n", InvalidResponse),
    ],
)
async def test_a_reply_that_ends_the_connection_fails_all(
    line: Line, sent: bytes, kind: type[RedisError]
) -> None:
    answers = line.ask(b"one", b"two")
    line.wire.data_received(sent)
    assert {type(answer.exception()) for answer in answers} == {kind}
    assert (line.wire.is_open, line.ends) == (False, 1)


@pytest.mark.parametrize("early", [b":1\r\n:2\r\n", b":1\r\n$5\r\nab"])
async def test_what_was_not_asked_for_is_no_answer_to_the_next_command(
    line: Line, early: bytes
) -> None:
    [answer] = line.ask(b"one")
    line.wire.data_received(early)
    assert answer.result() == 1
    assert (line.wire.is_open, line.ends) == (False, 1)


async def test_each_reply_extends_the_limit(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    began = now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)

    async def pass_time(seconds: float) -> None:
        nonlocal now
        now = began + seconds
        for _ in range(3):
            await asyncio.sleep(0)

    first, second, third = line.ask(b"one", b"two", b"three")
    await pass_time(SECONDS - 1)
    line.wire.data_received(b":1\r\n")
    await pass_time(SECONDS + 1)
    line.wire.data_received(b":2\r\n")
    await pass_time(2 * SECONDS)
    assert not third.done()
    await pass_time(2 * SECONDS + 2)
    with pytest.raises(RedisTimeoutError, match=r"^no reply within 5 s$"):
        third.result()
    assert (first.result(), second.result()) == (1, 2)
    assert (line.wire.is_open, line.ends) == (False, 1)


async def test_time_without_a_command_is_no_silence(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)
    for _ in range(3):
        [answer] = line.ask(b"one")
        line.wire.data_received(b":1\r\n")
        now += 3 * SECONDS
        for _ in range(3):
            await asyncio.sleep(0)
        assert answer.result() == 1
    assert line.wire.is_open
