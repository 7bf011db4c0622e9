"""Redis at `maxmemory` under `noeviction`: honest refusals at the door, and the work goes on behind it."""

from __future__ import annotations

import pytest

from hms_svc import bootstrap
from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.settings import Settings
from tests.servers.redis import RedisServer

from .conftest import TYPE, Fleet, settings_for


async def fill(fleet: Fleet, server: RedisServer) -> int:
    """Enqueue until the server is full; gives the number that were accepted."""
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
