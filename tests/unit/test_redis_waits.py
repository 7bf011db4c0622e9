"""What waits at a server does not spin where the server answers at once, and empty-handed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self, cast

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import ResponseError

from hms_svc.brokers.redis.bus import RedisBus
from hms_svc.brokers.redis.idle_waiter import IdleWaiter
from hms_svc.brokers.redis.intake import Intake
from hms_svc.brokers.redis.link import Link
from hms_svc.brokers.redis.scripts import script
from hms_svc.domain.backend_url import read_broker_url

TURNS = 2000
MOST_CALLS = TURNS // 20


class Hasty:
    """A server with nothing in it, which never blocks; counts what was to wait."""

    def __init__(self) -> None:
        self.calls = 0

    async def ask(self, *words: Any) -> Any:
        if words[:2] == ("EVALSHA", script("sleep").digest):
            return 60_000
        return {"redis_version": "7.0.0"} if words[0] == "INFO" else []

    async def ask_all(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        return [[] for _ in commands]

    async def reconnect(self) -> None:
        """Keep the one connection."""

    async def close(self) -> None:
        """Have nothing to release."""

    aclose = close

    @property
    def connection_pool(self) -> Self:
        return self

    async def get_connection(self) -> Self:
        raise ResponseError("unknown command 'CLIENT'")

    def for_commands(self) -> Hasty:
        return self

    def for_probe(self) -> Hasty:
        return self

    def for_waiting(self) -> AsyncRedis:
        return cast("AsyncRedis", self)

    def for_lease_keeper(self) -> Redis:
        raise NotImplementedError

    async def blmove(self, *words: Any) -> None:
        self.calls += 1

    async def xread(self, streams: dict[str, str], *, count: int, block: int) -> list[Any]:
        self.calls += 1
        return []

    def pubsub(self) -> HastyChannel:
        return HastyChannel(self)


class HastyChannel:
    """A subscription that answers each ping, and never waits for a message."""

    def __init__(self, server: Hasty) -> None:
        self._server = server
        self._answers: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        """Have nothing to leave."""

    async def subscribe(self, name: str) -> None:
        self._answers.append({"type": "subscribe", "data": 1})

    async def ping(self) -> None:
        self._answers.append({"type": "pong", "data": b""})

    async def get_message(self, **options: float) -> dict[str, Any] | None:
        self._server.calls += 1
        return self._answers.pop() if self._answers else None


async def watch(link: Link) -> None:
    intake = Intake(link)
    intake.watch(["crew.notify"])
    try:
        await asyncio.Event().wait()
    finally:
        await intake.close()


async def sleep(link: Link) -> None:
    sleeper = IdleWaiter(link)
    try:
        while True:
            await sleeper.wait("w", ["crew.notify"], 60, suspects=False)
    finally:
        await sleeper.close()


async def follow_bus(link: Link) -> None:
    await RedisBus(link).wait(0, 60)


@pytest.mark.parametrize("wait", [watch, sleep, follow_bus])
async def test_a_wait_that_is_answered_at_once_does_not_spin(
    wait: Callable[[Link], Awaitable[None]],
) -> None:
    server = Hasty()
    link = Link(read_broker_url("redis://hasty/0"), "hms", server)
    await link.open()
    waiter = asyncio.ensure_future(wait(link))
    for _ in range(TURNS):
        await asyncio.sleep(0)
    assert not waiter.done()
    assert 0 < server.calls < MOST_CALLS
    waiter.cancel()
    await asyncio.wait({waiter})
    await link.close()


async def test_a_wait_on_the_bus_lasts_its_time_though_the_server_does_not_block() -> None:
    server = Hasty()
    link = Link(read_broker_url("redis://hasty/0"), "hms", server)
    await link.open()
    assert not await RedisBus(link).wait(0, 0.25)
    assert server.calls > 1
    await link.close()
