"""The connections that all commands of a process share.

What is asked in one turn of the loop leaves in one write, and the answers come
back in order. So a claim and a settlement share a round trip, and so do many
producers. While one exchange is under way a second one may be; what is asked
meanwhile waits for the first that ends. A caller that is cancelled leaves its
answer to be read and dropped: nobody gets another's.
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

Argument = bytes | str | int | float
Answer = asyncio.Future[Any]
Asked = list[tuple[bytes, Answer]]
MOST_UNDER_WAY: Final = 2
_PATIENCE_SECONDS: Final = 0.1
_CLOSED: Final = "the connection was closed"
ANSWERS: Final = (ResponseError, BusyLoadingError, AuthenticationError)
"""Errors that are the server's answer to one command; all others end the connection."""


class Exchange:
    """Asks, and is answered. It connects when it must, and repeats nothing."""

    def __init__(self, client: AsyncRedis) -> None:
        self._client = client
        self._asked: Asked = []
        self._lanes: list[_Lane] = []
        self._idle: list[_Lane] = []
        self._called = False
        self._closed = False

    async def ask(self, *command: Argument) -> Any:
        """Run one command. Raises what the server says, or redis-py where there is no server."""
        return self._read(command, await self._put(command))

    async def ask_all(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """Run commands in one round trip; the first error is raised when all are answered."""
        waiting = [self._put(command) for command in commands]
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        pairs = zip(commands, answers, strict=True)
        return [self._read(command, answer) for command, answer in pairs]

    async def reconnect(self) -> None:
        """Leave these connections, so that the next command looks for the server again."""
        for lane in self._lanes:
            lane.is_stale = True

    async def close(self) -> None:
        """End the connections; what has not been answered fails as it would without them."""
        self._closed = True
        lanes, self._lanes, self._idle = self._lanes, [], []
        for lane in lanes:
            await lane.close()
        for _, answer in self.take():
            _give(answer, ConnectionResetError(_CLOSED))
        await close_client(self._client)

    def take(self) -> Asked:
        """Return all that has been asked and not sent, without what nobody waits for any more."""
        asked, self._asked = self._asked, []
        return [(packed, answer) for packed, answer in asked if not answer.cancelled()]

    def rest(self, lane: _Lane) -> None:
        """Know a lane as free."""
        self._idle.append(lane)

    def _put(self, command: Sequence[Argument]) -> Answer:
        if self._closed:
            raise ConnectionResetError(_CLOSED)
        loop = asyncio.get_running_loop()
        answer: Answer = loop.create_future()
        packed = pack_command((*str(command[0]).split(), *command[1:]))  # type: ignore[arg-type]
        self._asked.append((packed, answer))
        if not self._called:
            self._called = True
            loop.call_soon(self._call)
        return answer

    def _call(self) -> None:
        self._called = False
        if self._closed:
            return
        if self._idle:
            self._idle.pop().called.set()
        elif len(self._lanes) < MOST_UNDER_WAY:
            self._lanes.append(_Lane(self, self._client, len(self._lanes)))

    def _read(self, command: Sequence[Argument], answer: Any) -> Any:
        reader = self._client.response_callbacks.get(str(command[0]))
        return reader(answer) if reader is not None else answer


class _Lane:
    """One connection with one exchange under way."""

    def __init__(self, exchange: Exchange, client: AsyncRedis, number: int) -> None:
        self.called = asyncio.Event()
        self.is_stale = False
        self._exchange = exchange
        self._pool = client.connection_pool
        self._connection: Any = None
        self._task = asyncio.create_task(self._serve(), name=f"redis-lane-{number}")

    async def close(self) -> None:
        """End the exchange and the connection."""
        await end_tasks([self._task])
        if self._connection is not None:
            await self._connection.disconnect()
            await self._pool.release(self._connection)

    async def _serve(self) -> None:
        while True:
            asked = self._exchange.take()
            if asked:
                await self._run(asked)
            else:
                self.called.clear()
                self._exchange.rest(self)
                await self.called.wait()

    async def _run(self, asked: Asked) -> None:
        """Send all, then read the answers; where the connection breaks, the rest has none."""
        answered = 0
        try:
            connection = await self._connect()
            await connection.send_packed_command(
                [packed for packed, _ in asked], check_health=False
            )
            for _, answer in asked:
                _give(answer, await _answer_from(connection))
                answered += 1
        except Exception as error:  # noqa: BLE001 - what it is, whoever asked is told
            for _, answer in asked[answered:]:
                _give(answer, error)
            self.is_stale = True
        except asyncio.CancelledError:
            for _, answer in asked[answered:]:
                _give(answer, ConnectionResetError(_CLOSED))
            raise

    async def _connect(self) -> Any:
        if self._connection is None:
            self._connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        elif self.is_stale:
            with suppress(RedisError, OSError):
                await self._connection.disconnect(nowait=True)
        self.is_stale = False
        await self._connection.connect()
        return self._connection


async def _answer_from(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except ANSWERS as error:
        return error


def _give(answer: Answer, result: Any) -> None:
    if answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)


async def end_tasks(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: the library may turn a cancellation into an error of its own."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_PATIENCE_SECONDS)


async def close_client(client: AsyncRedis) -> None:
    """Close a client, and the connections to Sentinels that it was made over."""
    await client.aclose()
    for sentinel in sentinels_of(client):
        await sentinel.aclose()


def sentinels_of(client: AsyncRedis | Redis) -> list[Any]:
    """Return the clients of the Sentinels that a client was made over."""
    manager = getattr(client.connection_pool, "sentinel_manager", None)
    return list(manager.sentinels) if manager is not None else []
