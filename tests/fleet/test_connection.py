"""Redis restarted, cut off, black-holed, read-only, loading: claims resume, and nothing is lost."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial

import pytest

from hms_svc import bootstrap
from hms_svc.brokers.redis import link
from hms_svc.brokers.redis.clients import ServerClients
from hms_svc.brokers.redis.exchange import MOST_CONNECTIONS
from hms_svc.domain.backend_url import read_broker_url
from hms_svc.domain.errors import BadSetting, BrokerUnavailable
from hms_svc.ports import answer_timeout
from hms_svc.settings import Settings
from tests.support.fleet import Fleet, settings_for
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisMaker, RedisServer
from tests.support.waiting import until

RESUME_SECONDS = 5.0


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    with Proxy(redis_server.port) as proxy:
        yield proxy


@pytest.fixture
async def cut(settings: Settings, redis_server: RedisServer, proxy: Proxy) -> AsyncIterator[Fleet]:
    url = redis_server.url(port=proxy.port)
    async with bootstrap.backend(settings_for(settings, url)) as backend:
        yield Fleet(backend, redis_server)


async def claim_when_healthy(fleet: Fleet, job_ids: list[str]) -> float:
    """Claim until the jobs have come; return the seconds that it took."""
    began = time.monotonic()
    missing = set(job_ids)

    async def all_came() -> bool:
        try:
            missing.difference_update(job.job.id for job in await fleet.claim())
        except BrokerUnavailable:
            return False
        return not missing

    await until("the jobs are claimed", all_came)
    return time.monotonic() - began


def kill_clients(server: RedisServer, _proxy: Proxy) -> None:
    server.cli("CLIENT", "KILL", "TYPE", "normal")
    server.cli("CLIENT", "KILL", "TYPE", "pubsub")


def reset(_server: RedisServer, proxy: Proxy) -> None:
    proxy.reset_all()


def flush_scripts(server: RedisServer, _proxy: Proxy) -> None:
    server.cli("SCRIPT", "FLUSH", "SYNC")


@pytest.mark.parametrize("fault", [kill_clients, reset, flush_scripts])
async def test_a_fault_that_passes_is_not_noticed(
    cut: Fleet, proxy: Proxy, fault: Callable[[RedisServer, Proxy], None]
) -> None:
    first = await cut.accept()
    assert len(await cut.claim()) == len(first)
    fault(cut.server, proxy)
    second = await cut.accept()
    assert [job.job.id for job in await cut.claim()] == second


async def test_a_waiting_worker_outlives_its_connections_and_hears_again(
    cut: Fleet, proxy: Proxy
) -> None:
    await cut.claim()
    await cut.broker.wait_for_work(0.1)
    waiting = asyncio.create_task(cut.broker.wait_for_work(20))
    kill_clients(cut.server, proxy)
    await waiting

    async def asleep() -> bool:
        return not await cut.broker.wait_for_work(0.05)

    await until("the worker sleeps again", asleep)
    waiting = asyncio.create_task(cut.broker.wait_for_work(20))

    async def registered() -> bool:
        names = cut.server.keys("hms:default:waiting:*")
        return bool(names)

    await until("the worker lies down", registered)
    await cut.accept()
    assert await waiting


@pytest.mark.parametrize("kind", ["refuse", "black_hole"])
async def test_an_outage_is_told_and_claims_resume(
    cut: Fleet, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(link, "_TRIES", 1)
    ids = await cut.accept(3)
    getattr(proxy, kind)()
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1"):
        await cut.claim()
    health = await cut.inspection.health()
    assert (health.ok, bool(health.notes)) == (False, True)
    proxy.pass_through()
    await claim_when_healthy(cut, ids)
    assert await cut.counts() == {"processing": 3}


async def test_a_restarted_server_is_found_again(
    settings: Settings, make_redis: RedisMaker
) -> None:
    server = make_redis(appendonly="always")
    async with bootstrap.backend(settings_for(settings, server.url())) as backend:
        fleet = Fleet(backend, server)
        ids = await fleet.accept(3)
        server.restart()
        await claim_when_healthy(fleet, ids)


async def test_a_server_that_became_a_replica_is_unavailable_not_an_error(
    settings: Settings, make_redis: RedisMaker
) -> None:
    server, master = make_redis(), make_redis()
    async with bootstrap.backend(settings_for(settings, server.url())) as backend:
        fleet = Fleet(backend, server)
        server.cli("REPLICAOF", "127.0.0.1", master.port)
        with pytest.raises(BrokerUnavailable):
            await fleet.accept()
        server.cli("REPLICAOF", "NO", "ONE")
        [job_id] = await fleet.accept()
        await claim_when_healthy(fleet, [job_id])


async def test_a_wrong_password_is_told_without_it(
    settings: Settings, make_redis: RedisMaker
) -> None:
    server = make_redis(password="right")
    url = server.url().replace("right", "wrong-secret")
    with pytest.raises(BrokerUnavailable) as told:
        async with bootstrap.backend(settings_for(settings, url)):
            pass
    assert "WRONGPASS" in str(told.value) or "password" in str(told.value)
    assert "wrong-secret" not in str(told.value)


async def test_nobody_there_is_told_with_the_address(settings: Settings) -> None:
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1"):
        async with bootstrap.backend(settings_for(settings, "redis://127.0.0.1:1/0")):
            pass


async def test_a_cluster_is_refused_with_the_reason(
    settings: Settings, make_redis: RedisMaker
) -> None:
    server = make_redis(cluster=True)
    with pytest.raises(BadSetting, match="Redis Cluster is not supported"):
        async with bootstrap.backend(settings_for(settings, server.url())):
            pass


async def test_a_server_that_takes_no_further_client_is_there(
    settings: Settings, make_redis: RedisMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is slow is waited for, also where the question whether it is there is refused a connection."""
    monkeypatch.setattr(answer_timeout, "ASK_AFTER_SECONDS", 0.01)
    server = make_redis()
    async with bootstrap.backend(settings_for(settings, server.url()), bounded=True) as backend:
        fleet = Fleet(backend, server)
        await fleet.accept()
        server.cli("CLIENT", "PAUSE", 500, "WRITE")
        server.cli("CONFIG", "SET", "maxclients", 1)
        assert len(await fleet.accept()) == 1


async def test_calls_cancelled_at_random_cross_no_replies(fleet: Fleet) -> None:
    """Each call asks for what nobody else asks for; an answer for another would be seen."""
    chance = random.Random(7)
    await asyncio.gather(*(fleet.broker.enqueue([fleet.job(id=f"j{n}")]) for n in range(20)))

    async def ask(number: int) -> None:
        [detail] = await fleet.inspection.details([f"j{number}"])
        assert detail is not None
        assert detail.view.id == f"j{number}"

    crossed = 0
    for _ in range(100):
        tasks = [asyncio.create_task(ask(chance.randrange(20))) for _ in range(10)]
        await asyncio.sleep(chance.random() * 0.002)
        for task in tasks[::2]:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        crossed += sum(isinstance(answer, Exception) for answer in answers)
    assert crossed == 0


async def test_what_is_asked_together_shares_a_round_trip(cut: Fleet, proxy: Proxy) -> None:
    """Fifty producers, an operator and the promoter, none of whom knows of the others."""
    await cut.accept()
    await cut.broker.promote(1)
    await cut.broker.abandon("nobody")
    before = proxy.traffic
    await asyncio.gather(*(cut.accept() for _ in range(50)), cut.broker.abandon("nobody"))
    sent = proxy.traffic.since(before)
    assert (sent.round_trips, sent.requests) == (1, 51)


async def test_what_is_under_way_at_the_close_is_cancelled(
    settings: Settings, redis_server: RedisServer, proxy: Proxy
) -> None:
    url = redis_server.url(port=proxy.port)
    async with bootstrap.backend(settings_for(settings, url)) as backend:
        await backend.broker.promote(1)
        proxy.black_hole()
        waiting = asyncio.create_task(backend.broker.reap(1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    with pytest.raises((asyncio.CancelledError, BrokerUnavailable)):
        await waiting


async def test_what_nobody_waits_for_any_more_is_not_sent(
    redis_server: RedisServer, proxy: Proxy
) -> None:
    exchange = ServerClients(read_broker_url(redis_server.url(port=proxy.port))).for_commands()
    try:
        await asyncio.gather(exchange.ask("PING"), exchange.ask("PING"))
        proxy.black_hole()
        under_way = []
        for _ in range(MOST_CONNECTIONS):
            under_way.append(asyncio.create_task(exchange.ask("PING")))
            await turns()
        late = asyncio.create_task(exchange.ask("SET", "late", 1))
        await turns()
        late.cancel()
        await asyncio.wait({late})
        proxy.pass_through()
        await asyncio.gather(*under_way)
        await exchange.ask("SET", "later", 1)
        assert redis_server.keys() == ["later"]
    finally:
        await exchange.close()


async def turns() -> None:
    """Let what was asked leave, where it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_an_item_that_a_waiter_hears_of_is_not_sent_to_it(cut: Fleet, proxy: Proxy) -> None:
    """What others push may be far larger than anything that is read."""
    await cut.claim(1, "a.job")
    waits = partial(_has_blocked_client, cut.server)
    await until("the waiter waits", waits)
    before = proxy.traffic
    cut.server.cli("LPUSH", "jobs:a.job", b"x" * 40_000_000)

    async def is_dead() -> bool:
        return any(queue.counts.dead for queue in await cut.inspection.queues())

    await until("it is a dead letter", is_dead)
    assert proxy.traffic.since(before).bytes_down < 1_000_000


async def _has_blocked_client(server: RedisServer) -> bool:
    return int(server.cli("INFO", "clients")["blocked_clients"]) > 0
