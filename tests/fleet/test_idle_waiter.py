"""Which idle workers are woken for new jobs: those that serve the type, one for each job, none twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial

import pytest

from hms_svc import bootstrap
from hms_svc.brokers.redis import idle_waiter
from hms_svc.ports.broker import ClaimRequest, ServedType
from hms_svc.settings import Settings
from tests.support.fleet import Fleet, settings_for
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

LONG_SECONDS = 25.0
TYPES = ("a", "b")


class Sleepers:
    """Some processes with a worker each."""

    def __init__(self, fleets: list[Fleet]) -> None:
        self.fleets = fleets

    async def lie_down(self, *types: tuple[str, ...]) -> list[asyncio.Task[bool]]:
        """Let each worker wait for its types, and give the waits once all are registered."""
        waits = []
        for number, (fleet, served) in enumerate(zip(self.fleets, types, strict=True)):
            assert await fleet.claim(1, *served, worker=f"w{number}") == []
            await until("it hears", partial(self._hears, fleet))
            wait = asyncio.create_task(fleet.broker.wait_for_work(LONG_SECONDS))
            waits.append(wait)
            await until("it lies down", partial(self._lies, f"w{number}", served))
        return waits

    async def _hears(self, fleet: Fleet) -> bool:
        await fleet.broker.wait_for_work(0.02)
        return not await fleet.broker.wait_for_work(0.02)

    async def _lies(self, worker: str, types: tuple[str, ...]) -> bool:
        server = self.fleets[0].server
        scores = [server.cli("ZSCORE", f"hms:default:waiting:{type}", worker) for type in types]
        seconds, _ = server.cli("TIME")
        return all(score and score > (seconds + 10) * 1000 for score in scores)


@pytest.fixture
async def sleepers(settings: Settings, redis_server: RedisServer) -> AsyncIterator[Sleepers]:
    async with AsyncExitStack() as stack:
        fleets = []
        for _ in range(3):
            backend = bootstrap.backend(settings_for(settings, redis_server.url()))
            fleets.append(Fleet(await stack.enter_async_context(backend), redis_server))
        yield Sleepers(fleets)


async def test_two_jobs_of_two_types_call_two_workers(sleepers: Sleepers, fleet: Fleet) -> None:
    waits = await sleepers.lie_down(TYPES, TYPES, TYPES)
    await fleet.broker.enqueue([fleet.job(type="a"), fleet.job(type="b")])

    async def two_are_awake() -> bool:
        return sum(wait.done() for wait in waits) == 2

    await until("two are awake", two_are_awake)
    for wait in waits:
        wait.cancel()


async def test_only_who_serves_the_type_is_called(sleepers: Sleepers, fleet: Fleet) -> None:
    other, right, another = await sleepers.lie_down(("a",), ("b",), ("a",))
    await fleet.accept(type="b")
    assert await right
    assert not other.done()
    assert not another.done()
    other.cancel()
    another.cancel()


@pytest.mark.parametrize(("limit", "capacity"), [(1, None), (5, 1)])
async def test_a_worker_that_cannot_take_all_hands_the_call_on(
    sleepers: Sleepers, fleet: Fleet, limit: int, capacity: int | None
) -> None:
    """The job was queued while its call was taken by nobody: whoever claims first calls the next."""
    waits = await sleepers.lie_down(("a",), ("a",), ("a",))
    fleet.server.cli("DEL", "hms:default:waiting:a")
    await fleet.accept(3, type="a")
    assert not any(wait.done() for wait in waits)
    fleet.server.cli("ZADD", "hms:default:waiting:a", 9_000_000_000_000, "w1")
    request = ClaimRequest("w0", (ServedType("a", 3, capacity),), limit, 30_000)
    assert len(await sleepers.fleets[0].broker.claim(request)) == 1
    assert await waits[1]
    waits[0].cancel()
    waits[2].cancel()


async def test_nobody_is_called_for_a_type_that_it_has_no_room_for(fleet: Fleet) -> None:
    await fleet.accept(3, type="a")
    types = (ServedType("a", 3, 0), ServedType("b", 3))
    assert await fleet.broker.claim(ClaimRequest("w0", types, 5, 30_000)) == []
    await until("it hears", partial(_sleeps_undisturbed, fleet))


async def _sleeps_undisturbed(fleet: Fleet) -> bool:
    return not await fleet.broker.wait_for_work(0.02)


async def test_the_first_wait_ends_when_the_worker_is_subscribed(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not be notified before: the jobs of that time are claimed at once, not at the next poll."""
    monkeypatch.setattr(idle_waiter, "_POLL_SECONDS", LONG_SECONDS)
    assert await fleet.claim(1, "a") == []
    async with asyncio.timeout(LONG_SECONDS / 5):
        assert await fleet.broker.wait_for_work(LONG_SECONDS)
