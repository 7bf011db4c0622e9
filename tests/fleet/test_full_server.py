"""Redis at `maxmemory` under `noeviction`: honest refusals at the HTTP server, and the work goes on behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence

import pytest

from hms_svc import bootstrap
from hms_svc.brokers.redis.eviction import LEAST_AGE_MS, RedisEviction
from hms_svc.domain.erasure import ERASED
from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.domain.event import service_event
from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import JobDetail
from hms_svc.ports.clock import SystemClock
from hms_svc.ports.database import Database
from hms_svc.runtime.memory_retention import END_SHARE, MemoryRetention
from hms_svc.settings import Settings
from tests.support.broker_engines import transfer_between
from tests.support.database_requests import effect, publish_nothing
from tests.support.fleet import TYPE, Fleet, settings_for
from tests.support.redis_server import RedisMaker, RedisServer


async def fill(fleet: Fleet, server: RedisServer) -> int:
    """Enqueue until the server is full; return the number that were accepted."""
    accepted = 0
    padding = "x" * 20_000
    while True:
        try:
            await fleet.broker.enqueue([fleet.job({"n": accepted, "padding": padding})])
        except BrokerUnavailable:
            return accepted
        accepted += 1


@pytest.mark.parametrize("with_intake", [False, True])
async def test_a_full_server_is_drained_to_zero(
    settings: Settings, redis_server: RedisServer, with_intake: bool
) -> None:
    used = int(redis_server.info("memory")["used_memory"])
    redis_server.cli("CONFIG", "SET", "maxmemory", used + 8_000_000)
    try:
        async with bootstrap.backend(settings_for(settings, redis_server.url())) as backend:
            fleet = Fleet(backend, redis_server)
            if with_intake:
                redis_server.cli("LPUSH", f"jobs:{TYPE}", *[b'{"data":{}}'] * 50)
            accepted = await fill(fleet, redis_server)
            assert accepted > 50
            done = 0
            while jobs := await fleet.claim(10):
                await fleet.complete(*jobs)
                done += len(jobs)
            await fleet.broker.reap(100)
            while jobs := await fleet.claim(10):
                await fleet.complete(*jobs)
                done += len(jobs)
            assert done == accepted + (50 if with_intake else 0)
            assert await fleet.counts() == {"completed": done}
    finally:
        redis_server.cli("CONFIG", "SET", "maxmemory", 0)


@pytest.fixture
async def small(
    settings: Settings, make_redis: RedisMaker
) -> AsyncIterator[tuple[Fleet, Database, MemoryRetention]]:
    """A Redis of 8 MB, a database, and what moves from the one to the other."""
    server = make_redis(maxmemory="8mb")
    database = bootstrap.database(settings)
    await database.open()
    async with bootstrap.backend(settings_for(settings, server.url())) as backend:
        eviction = backend.control.eviction
        assert isinstance(eviction, RedisEviction)
        eviction.least_age_ms = 0
        yield (
            Fleet(backend, server),
            database,
            MemoryRetention(eviction, database.outbox, transfer_between(backend, database)),
        )
    await database.close()


async def ids_in(database: Database) -> set[str]:
    archived, _ = await database.archive.page(limit=0, cursor=None)
    return {detail.view.id for detail in archived}


def ended_at(details: Iterable[JobDetail | None]) -> list[int]:
    return [detail.view.finished_at or 0 for detail in details if detail is not None]


async def test_what_is_done_makes_room_in_a_full_server(
    small: tuple[Fleet, Database, MemoryRetention],
) -> None:
    fleet, database, maker = small
    await fleet.accept(1, type="dead.letter")
    [bad] = await fleet.claim(1, "dead.letter")
    assert await fleet.broker.settle([fleet.settlement(bad, State.DEAD)]) == []
    accepted = await fill(fleet, fleet.server)
    full = await fleet.inspection.health()
    assert full.refused == 1
    assert full.capacity is not None
    assert full.capacity.is_full
    assert any("new jobs are refused" in note for note in full.notes)
    await maker.run_once()
    assert await ids_in(database) == set(), "nothing has ended but a dead letter, which stays"
    done = [job for _ in range(accepted // 10 + 1) for job in await fleet.claim(10)]
    await fleet.complete(*done)
    with pytest.raises(BrokerUnavailable):
        await fleet.accept(1)
    await maker.run_once()
    moved = await ids_in(database)
    capacity = (await fleet.inspection.health()).capacity
    assert capacity is not None
    assert capacity.share <= END_SHARE
    archived, _ = await database.archive.page(limit=0, cursor=None)
    left = await fleet.inspection.details([job.job.id for job in done if job.job.id not in moved])
    ends = [max(ended_at(archived)), min(ended_at(left))]
    assert ends == sorted(ends), "those that ended first"
    assert await fleet.counts() == {"completed": accepted - len(moved)}
    assert await fleet.counts("dead.letter") == {"dead": 1}
    assert capacity.share > END_SHARE / 2, "no more than needed"
    await fleet.accept(1)


async def test_a_job_that_has_just_ended_stays_so_that_its_id_is_known(
    small: tuple[Fleet, Database, MemoryRetention],
) -> None:
    fleet, database, maker = small
    eviction = fleet.control.eviction
    assert isinstance(eviction, RedisEviction)
    eviction.least_age_ms = LEAST_AGE_MS
    accepted = await fill(fleet, fleet.server)
    done = [job for _ in range(accepted // 10 + 1) for job in await fleet.claim(10)]
    await fleet.complete(*done)
    await maker.run_once()
    assert await ids_in(database) == set()
    assert await fleet.counts() == {"completed": accepted}


async def test_a_job_that_the_outbox_names_stays(
    small: tuple[Fleet, Database, MemoryRetention],
) -> None:
    fleet, database, maker = small
    accepted = await fill(fleet, fleet.server)
    done = [job for _ in range(accepted // 10 + 1) for job in await fleet.claim(10)]
    await fleet.complete(*done)
    follow_up = done[0].job
    await database.effects.commit([effect("another", placed=False, follow_ups=(follow_up,))])
    await maker.run_once()
    assert await fleet.state(follow_up.id) is State.COMPLETED
    assert await fleet.detail(done[1].job.id) is None
    assert await database.outbox.relay(10, publish_nothing)
    await fleet.accept(10, type="more")
    await fill(fleet, fleet.server)
    await maker.run_once()
    assert await fleet.detail(follow_up.id) is None


async def test_what_is_erased_on_its_way_to_the_archive_is_blank_there(
    small: tuple[Fleet, Database, MemoryRetention], monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet, database, maker = small
    accepted = await fill(fleet, fleet.server)
    done = [job for _ in range(accepted // 10 + 1) for job in await fleet.claim(10)]
    await fleet.complete(*done)
    ids = [job.job.id for job in done]
    keep = database.archive.keep

    async def erase_before(jobs: Sequence[JobDetail]) -> None:
        await fleet.control.erase(ids)
        await database.erasure.erase(ids)
        await keep(jobs)

    monkeypatch.setattr(database.archive, "keep", erase_before)
    await maker.run_once()
    archived, _ = await database.archive.page(limit=0, cursor=None)
    assert archived
    assert {detail.view.data for detail in archived} == {ERASED}


async def test_events_go_up_to_the_first_that_a_group_has_not_handled(fleet: Fleet) -> None:
    old = SystemClock().now_ms() - 2 * LEAST_AGE_MS
    await fleet.bus.publish([service_event(f"j{n}", "a.b", "", None, old) for n in range(6)])
    quick = await fleet.bus.read_group("quick", "one", limit=10)
    await fleet.bus.acknowledge("quick", [event.position for event in quick])
    slow = await fleet.bus.read_group("slow", "one", limit=4)
    await fleet.bus.acknowledge("slow", [slow[0].position, slow[2].position])
    eviction = fleet.control.eviction
    assert eviction is not None
    assert await eviction.trim_handled(limit=10) == 1
    assert [event.subject for event in await fleet.bus.read(after=0, limit=9)] == [
        "j1",
        "j2",
        "j3",
        "j4",
        "j5",
    ]
    await fleet.bus.acknowledge("slow", [slow[1].position, slow[3].position])
    assert await eviction.trim_handled(limit=2) == 2
    assert await eviction.trim_handled(limit=10) == 1
    young = [service_event("young", "a.b", "", None, SystemClock().now_ms())]
    await fleet.bus.publish(young)
    for group in ("quick", "slow"):
        found = await fleet.bus.read_group(group, "one", limit=10)
        await fleet.bus.acknowledge(group, [event.position for event in found])
    assert await eviction.trim_handled(limit=10) == 2
    assert [event.subject for event in await fleet.bus.read(after=0, limit=9)] == ["young"]
