"""The pipelined connections that all commands of a process share.

Commands of one iteration of the event loop are sent in one write, and the replies are
read in order. So a claim and a settlement share a round trip, and so do many
producers. Up to two exchanges are in progress at a time; further commands wait for the
first that ends. The reply to a cancelled caller is read and dropped, so that no caller gets
the reply of another. redis-py connects; `wire.py` sends and reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

from hiredis import pack_command
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError

from hms_svc.brokers.redis.wire import Answer, Pending, Wire, resolve, unasked

Argument = bytes | str | int | float
MOST_CONNECTIONS: Final = 2
_CANCEL_SECONDS: Final = 0.1
_CLOSED: Final = "the connection was closed"


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
        _fail(self._take(), ConnectionResetError(_CLOSED))
        connections, self._connections, self._idle = self._connections, [], []
        for connection in connections:
            await connection.close()
        await close_client(self._client)

    def release(self, connection: _Connection) -> None:
        """Mark a connection as idle."""
        self._idle.append(connection)
        self._wake()

    def _put(self, command: Sequence[Argument]) -> Answer:
        if self._closed:
            raise ConnectionResetError(_CLOSED)
        answer: Answer = asyncio.get_running_loop().create_future()
        packed = pack_command((*str(command[0]).split(), *command[1:]))  # type: ignore[arg-type]  # the stub expects a tuple of one
        self._pending.append((packed, answer))
        self._wake()
        return answer

    def _wake(self) -> None:
        """Send what waits at the end of this iteration, unless all connections are busy."""
        can_send = self._idle or len(self._connections) < MOST_CONNECTIONS
        if self._pending and can_send and not self._is_waking:
            self._is_waking = True
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._is_waking = False
        pending = self._take()
        if not pending:
            return
        if not self._idle:
            connection = _Connection(self, self._client, len(self._connections))
            self._connections.append(connection)
        else:
            connection = self._idle.pop()
        connection.run(pending)

    def _take(self) -> Pending:
        """Return the commands that are not sent yet, without those whose caller was cancelled."""
        pending, self._pending = self._pending, []
        return [(packed, answer) for packed, answer in pending if not answer.cancelled()]

    def _read(self, command: Sequence[Argument], answer: Any) -> Any:
        reader = self._client.response_callbacks.get(str(command[0]))
        return reader(answer) if reader is not None else answer


class _Connection:
    """One connection, with one exchange at a time; it is connected again when it is broken or stale."""

    def __init__(self, exchange: Exchange, client: AsyncRedis, number: int) -> None:
        self.is_stale = False
        self._exchange = exchange
        self._pool = client.connection_pool
        self._name = f"redis-connection-{number}"
        self._connection: Any = None
        self._wire: Wire | None = None
        self._opening: asyncio.Task[None] | None = None
        self._unsent: Pending = []

    def run(self, pending: Pending) -> None:
        """Begin an exchange; its end releases this connection."""
        if self._wire is not None and self._wire.is_open and not self.is_stale:
            self._wire.send(pending)
        else:
            self._unsent = pending
            self._opening = asyncio.create_task(self._connect(), name=self._name)
            self._opening.add_done_callback(self._opened)

    async def close(self) -> None:
        """End the exchange and the connection."""
        if self._opening is not None:
            await end_tasks([self._opening])
        if self._wire is not None:
            self._wire.fail(ConnectionResetError(_CLOSED))
        if self._connection is not None:
            await self._connection.disconnect()
            await self._pool.release(self._connection)

    async def _connect(self) -> None:
        self._wire = None
        self.is_stale = False
        if self._connection is None:
            self._connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]  # untyped in redis-py
        else:
            with suppress(RedisError, OSError):
                await self._connection.disconnect(nowait=True)
            await self._connection.connect()

    def _opened(self, opening: asyncio.Task[None]) -> None:
        """Send what waits for the connection, or fail it if there is none."""
        unsent, self._unsent = self._unsent, []
        error = asyncio.CancelledError() if opening.cancelled() else opening.exception()
        if error is None:
            error = unasked(self._connection)
        if error is None:
            self._wire = Wire(self._connection, lambda: self._exchange.release(self))
            self._wire.send(unsent)
        else:
            _fail(unsent, error if isinstance(error, Exception) else ConnectionResetError(_CLOSED))
            self._exchange.release(self)


def _fail(pending: Pending, error: Exception) -> None:
    for _, answer in pending:
        resolve(answer, error)


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
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
