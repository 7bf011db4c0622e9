"""The pipelined connections that all commands of a process share.

Commands of one iteration of the event loop are sent in one write, and the replies are
read in order. So a claim and a settlement share a round trip, and so do many
producers. Up to two exchanges are in progress at a time; further commands wait for the
first that ends. The reply to a cancelled caller is read and dropped, so that no caller gets
the reply of another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

from hiredis import pack_command
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

Argument = bytes | str | int | float
Answer = asyncio.Future[Any]
Pending = list[tuple[bytes, Answer]]
MOST_CONNECTIONS: Final = 2
_CANCEL_SECONDS: Final = 0.1
_CLOSED: Final = "the connection was closed"
ANSWERS: Final = (ResponseError, BusyLoadingError, AuthenticationError)
"""Errors that are the server's reply to one command; all others end the connection."""


class Exchange:
    """Sends commands and returns their replies. It connects on demand and repeats nothing."""

    def __init__(self, client: AsyncRedis) -> None:
        self._client = client
        self._pending: Pending = []
        self._connections: list[_Connection] = []
        self._idle: list[_Connection] = []
        self._is_waking = False
        self._closed = False

    async def ask(self, *command: Argument) -> Any:
        """Run one command; raise the error of the server, or that of redis-py if it is unreachable."""
        return self._read(command, await self._put(command))

    async def ask_all(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """Run commands in one round trip; raise the first error when all are answered."""
        waiting = [self._put(command) for command in commands]
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        pairs = zip(commands, answers, strict=True)
        return [self._read(command, answer) for command, answer in pairs]

    async def reconnect(self) -> None:
        """Drop these connections, so that the next command looks up the server again."""
        for connection in self._connections:
            connection.is_stale = True

    async def close(self) -> None:
        """Close the connections; unanswered commands fail as if the connection was lost."""
        self._closed = True
        connections, self._connections, self._idle = self._connections, [], []
        for connection in connections:
            await connection.close()
        for _, answer in self.take():
            _resolve(answer, ConnectionResetError(_CLOSED))
        await close_client(self._client)

    def take(self) -> Pending:
        """Return the commands that are not sent yet, without those whose caller was cancelled."""
        self._is_waking = False
        pending, self._pending = self._pending, []
        return [(packed, answer) for packed, answer in pending if not answer.cancelled()]

    def release(self, connection: _Connection) -> None:
        """Mark a connection as idle."""
        self._idle.append(connection)

    def _put(self, command: Sequence[Argument]) -> Answer:
        if self._closed:
            raise ConnectionResetError(_CLOSED)
        loop = asyncio.get_running_loop()
        answer: Answer = loop.create_future()
        packed = pack_command((*str(command[0]).split(), *command[1:]))  # type: ignore[arg-type]  # the stub expects a tuple of one
        self._pending.append((packed, answer))
        if not self._is_waking:
            self._wake()
        return answer

    def _wake(self) -> None:
        """Let a connection take the commands in the next iteration, unless all are busy."""
        if self._idle:
            self._is_waking = True
            self._idle.pop().wake.set()
        elif len(self._connections) < MOST_CONNECTIONS:
            self._is_waking = True
            self._connections.append(_Connection(self, self._client, len(self._connections)))

    def _read(self, command: Sequence[Argument], answer: Any) -> Any:
        reader = self._client.response_callbacks.get(str(command[0]))
        return reader(answer) if reader is not None else answer


class _Connection:
    """One connection, with one exchange at a time."""

    def __init__(self, exchange: Exchange, client: AsyncRedis, number: int) -> None:
        self.wake = asyncio.Event()
        self.is_stale = False
        self._exchange = exchange
        self._pool = client.connection_pool
        self._connection: Any = None
        self._seconds: float | None = None
        self._task = asyncio.create_task(self._serve(), name=f"redis-connection-{number}")

    async def close(self) -> None:
        """End the exchange and the connection."""
        await end_tasks([self._task])
        if self._connection is not None:
            await self._connection.disconnect()
            await self._pool.release(self._connection)

    async def _serve(self) -> None:
        while True:
            pending = self._exchange.take()
            if pending:
                await self._run(pending)
            else:
                self.wake.clear()
                self._exchange.release(self)
                await self.wake.wait()

    async def _run(self, pending: Pending) -> None:
        """Send all commands, then read the replies; if the connection breaks, the rest fails."""
        answered = 0
        try:
            connection = await self._connect()
            async with asyncio.timeout(self._seconds) as limit:
                await connection.send_packed_command(
                    [packed for packed, _ in pending], check_health=False
                )
                for _, answer in pending:
                    _resolve(answer, await _answer_from(connection))
                    answered += 1
                    if answered < len(pending) and self._seconds is not None:
                        limit.reschedule(asyncio.get_running_loop().time() + self._seconds)
        except Exception as error:  # noqa: BLE001 - each caller gets it
            limit_text = "in time" if self._seconds is None else f"within {self._seconds:g} s"
            late = RedisTimeoutError(f"no reply {limit_text}")
            for _, answer in pending[answered:]:
                _resolve(answer, late if isinstance(error, TimeoutError) else error)
            self.is_stale = True
        except asyncio.CancelledError:
            for _, answer in pending[answered:]:
                _resolve(answer, ConnectionResetError(_CLOSED))
            raise

    async def _connect(self) -> Any:
        if self._connection is None:
            self._connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]  # untyped in redis-py
            self._seconds = self._connection.socket_timeout
        elif self.is_stale:
            with suppress(RedisError, OSError):
                await self._connection.disconnect(nowait=True)
        self.is_stale = False
        if not self._connection.is_connected:
            self._connection.socket_timeout = self._seconds
            await self._connection.connect()
        # redis-py would limit each write in a task of its own, and each read: one timer serves all of them.
        self._connection.socket_timeout = None
        return self._connection


async def _answer_from(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except ANSWERS as error:
        return error


def _resolve(answer: Answer, result: Any) -> None:
    if answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)


async def end_tasks(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: the library may swallow a cancellation."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_SECONDS)


async def close_client(client: AsyncRedis) -> None:
    """Close a client and its connections to Sentinels."""
    await client.aclose()
    for sentinel in sentinels_of(client):
        await sentinel.aclose()


def sentinels_of(client: AsyncRedis | Redis) -> list[Any]:
    """Return a client's connections to Sentinels."""
    manager = getattr(client.connection_pool, "sentinel_manager", None)
    return list(manager.sentinels) if manager is not None else []
