"""A real Sentinel: the fleet follows the master that it names, through a failover."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from hms_svc import bootstrap
from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.settings import Settings
from tests.support.fleet import Fleet, settings_for
from tests.support.proxy import free_port
from tests.support.redis_server import RedisMaker, RedisServer, redis_binary
from tests.support.waiting import until

CONFIGURATION = """\
port {port}
bind 127.0.0.1
dir {folder}
sentinel monitor city 127.0.0.1 {master} 1
sentinel down-after-milliseconds city 300
sentinel failover-timeout city 3000
"""


class Guarded:
    """A master, a replica that has caught up, and the Sentinel that watches them."""

    def __init__(self, master: RedisServer, replica: RedisServer, port: int) -> None:
        self.master = master
        self.replica = replica
        self.port = port
        self.url = f"redis+sentinel://127.0.0.1:{port}/city/0"

    def ask(self, *words: str) -> object:
        with redis.Redis(port=self.port) as client:
            return client.execute_command("SENTINEL", *words)


@pytest.fixture
def guarded(make_redis: RedisMaker, tmp_path: Path) -> Iterator[Guarded]:
    master, replica = make_redis(), make_redis()
    replica.cli("REPLICAOF", "127.0.0.1", master.port)
    port = free_port()
    file = tmp_path / "sentinel.conf"
    file.write_text(CONFIGURATION.format(port=port, folder=tmp_path, master=master.port))
    with subprocess.Popen(
        [redis_binary(), str(file), "--sentinel"], stdout=subprocess.DEVNULL
    ) as process:
        yield Guarded(master, replica, port)
        process.kill()


async def ready(guarded: Guarded) -> None:
    """Wait until the replica is linked, and the Sentinel would choose it."""

    async def linked() -> bool:
        if guarded.replica.info("replication").get("master_link_status") != "up":
            return False
        try:
            return "b'master-link-status': b'ok'" in str(guarded.ask("REPLICAS", "city"))
        except redis.ConnectionError:
            return False

    await until("the replica is known", linked)


async def caught_up(guarded: Guarded) -> None:
    """Wait until the replica has all that the master has. WAIT heeds its own connection only."""
    written = guarded.master.info("replication")["master_repl_offset"]

    async def has_it() -> bool:
        return bool(guarded.replica.info("replication")["slave_repl_offset"] >= written)

    await until("the replica has caught up", has_it)


async def test_claims_resume_on_the_new_master(settings: Settings, guarded: Guarded) -> None:
    await ready(guarded)
    async with bootstrap.backend(settings_for(settings, guarded.url)) as backend:
        fleet = Fleet(backend, guarded.replica)
        ids = await fleet.accept(3)
        await caught_up(guarded)
        guarded.master.kill()
        found: set[str] = set()

        async def resumed() -> bool:
            try:
                found.update(job.job.id for job in await fleet.claim())
            except BrokerUnavailable:
                return False
            return found == set(ids)

        await until("the jobs are claimed of the new master", resumed)
        assert guarded.replica.info("replication")["role"] == "master"


async def test_a_service_that_sentinel_does_not_know_is_told(
    settings: Settings, guarded: Guarded
) -> None:
    await ready(guarded)
    url = guarded.url.replace("/city/", "/village/")
    with pytest.raises(BrokerUnavailable, match="village"):
        async with bootstrap.backend(settings_for(settings, url)):
            pass
