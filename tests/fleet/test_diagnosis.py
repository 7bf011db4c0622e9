"""What `doctor` is notified of a server: its durability level, and what breaks a promise."""

from __future__ import annotations

import pytest

from hms_svc import bootstrap
from hms_svc.brokers.redis.diagnosis import diagnose
from hms_svc.brokers.redis.link import Link
from hms_svc.domain.backend_url import read_broker_url
from hms_svc.ports.inspection import BrokerHealth
from hms_svc.settings import Settings
from tests.support.fleet import settings_for
from tests.support.redis_server import RedisMaker, RedisServer


async def health(settings: Settings, server: RedisServer) -> BrokerHealth:
    async with bootstrap.backend(settings_for(settings, server.url())) as backend:
        return await backend.inspection.health()


@pytest.mark.parametrize(
    ("appendonly", "level"), [("no", "memory"), ("everysec", "everysec"), ("always", "always")]
)
async def test_the_level_in_force_is_named(
    settings: Settings, make_redis: RedisMaker, appendonly: str, level: str
) -> None:
    found = await health(settings, make_redis(appendonly=appendonly))
    assert found.durability.startswith(level + ":")


async def test_a_policy_that_evicts_is_named(settings: Settings, make_redis: RedisMaker) -> None:
    server = make_redis()
    assert not any("maxmemory-policy" in note for note in (await health(settings, server)).notes)
    server.cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    assert any("allkeys-lru" in note for note in (await health(settings, server)).notes)


async def test_a_server_that_takes_huge_items_is_named(
    settings: Settings, make_redis: RedisMaker
) -> None:
    as_it_comes, bounded = make_redis(), make_redis(longest="8mb")
    assert any(
        "proto-max-bulk-len is 536,870,912" in note
        for note in (await health(settings, as_it_comes)).notes
    )
    assert not any("bulk" in note for note in (await health(settings, bounded)).notes)


async def test_replicas_without_a_minimum_are_named(
    settings: Settings, make_redis: RedisMaker
) -> None:
    master, replica = make_redis(), make_redis()
    replica.cli("REPLICAOF", "127.0.0.1", master.port)
    master.cli("SET", "any", "thing")
    assert master.cli("WAIT", 1, 20_000) == 1
    assert any("min-replicas" in note for note in (await health(settings, master)).notes)


async def test_no_authentication_away_from_loopback_is_named(
    settings: Settings, redis_server: RedisServer
) -> None:
    async with bootstrap.backend(settings_for(settings, redis_server.url())) as backend:
        link: Link = backend.inspection._link  # type: ignore[attr-defined]  # the port has no such attribute, Redis's implementation has
        at_home = await diagnose(link, link.url)
        away = await diagnose(link, read_broker_url("redis://redis.example.org/0"))
    assert not any("authentication" in note for note in at_home.notes)
    assert any("redis.example.org:6379" in note for note in away.notes)
