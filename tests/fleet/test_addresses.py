"""Each way to a real Redis: a Unix socket, TLS with an authority of one's own, TLS to Sentinel too."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from hms_svc import bootstrap
from hms_svc.brokers.redis import link
from hms_svc.brokers.redis.clients import ServerClients, close_blocking_client
from hms_svc.domain.backend_url import read_broker_url
from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.settings import Settings
from tests.support.fleet import Fleet, settings_for
from tests.support.proxy import LOOPBACK, free_port
from tests.support.redis_server import RedisMaker, RedisServer, redis_binary
from tests.support.tls import Authority
from tests.support.waiting import until

SENTINEL = """\
port 0
tls-port {port}
tls-cert-file {certificate}
tls-key-file {key}
tls-ca-cert-file {authority}
tls-auth-clients no
tls-replication yes
bind 127.0.0.1
dir {folder}
sentinel monitor city 127.0.0.1 {master} 1
"""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def secure(make_redis: RedisMaker, authority: Authority) -> tuple[RedisServer, int]:
    """A server that also listens with TLS, and that port."""
    server = make_redis()
    certificate, key = authority.issue("server")
    port = free_port()
    words = ["tls-cert-file", str(certificate), "tls-key-file", str(key)]
    words += ["tls-ca-cert-file", str(authority.path), "tls-auth-clients", "no"]
    try:
        server.cli("CONFIG", "SET", *words, "tls-port", port)
    except redis.ResponseError as error:
        pytest.skip(f"this redis-server is built without TLS: {error}")
    return server, port


async def works(settings: Settings, url: str, server: RedisServer) -> None:
    """A job goes in and out over the address; the heart and what waits reach it, too."""
    async with bootstrap.backend(settings_for(settings, url)) as backend:
        fleet = Fleet(backend, server)
        ids = await fleet.accept()
        claimed = await fleet.claim()
        assert [job.job.id for job in claimed] == ids
        await fleet.complete(*claimed)

        async def asleep() -> bool:
            return not await fleet.broker.wait_for_work(0.05)

        await until("it waits at the server", asleep)
    lease_keeper = ServerClients(read_broker_url(url)).for_lease_keeper()
    assert await asyncio.to_thread(lease_keeper.ping)
    close_blocking_client(lease_keeper)


async def unavailable(settings: Settings, url: str) -> str:
    with pytest.raises(BrokerUnavailable) as told:
        async with bootstrap.backend(settings_for(settings, url)):
            pass
    return str(told.value)


async def test_a_unix_socket(settings: Settings, make_redis: RedisMaker, tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    server = make_redis(unixsocket=str(path), password="p/w@1")
    await works(settings, f"unix://:p%2Fw%401@{path}?db=3", server)
    assert server.keys(database=3)
    assert str(tmp_path / "no.sock") in await unavailable(settings, f"unix://{tmp_path}/no.sock")


async def test_a_valkey_address(settings: Settings, redis_server: RedisServer) -> None:
    await works(settings, redis_server.url().replace("redis://", "valkey://"), redis_server)


async def test_tls_with_an_authority_of_ones_own(
    settings: Settings, secure: tuple[RedisServer, int], authority: Authority
) -> None:
    server, port = secure
    for host in ("localhost", LOOPBACK):
        url = f"rediss://{host}:{port}/0?ssl_ca_certs={authority.path}"
        await works(settings, url, server)
    await works(settings, f"valkeys://{LOOPBACK}:{port}/0?ssl_cert_reqs=none", server)
    assert "CERTIFICATE_VERIFY_FAILED" in await unavailable(settings, f"rediss://localhost:{port}")


async def test_a_server_that_wants_a_certificate_of_ours(
    settings: Settings, secure: tuple[RedisServer, int], authority: Authority
) -> None:
    server, port = secure
    server.cli("CONFIG", "SET", "tls-auth-clients", "yes")
    certificate, key = authority.issue("worker")
    url = f"rediss://{LOOPBACK}:{port}/0?ssl_ca_certs={authority.path}"
    await unavailable(settings, url)
    await works(settings, f"{url}&ssl_certfile={certificate}&ssl_keyfile={key}", server)


@pytest.fixture
def sentinel(
    secure: tuple[RedisServer, int], authority: Authority, tmp_path: Path
) -> Iterator[int]:
    """A Sentinel that speaks TLS alone, and watches the server's TLS port."""
    port = free_port()
    certificate, key = authority.issue("sentinel")
    file = tmp_path / "sentinel.conf"
    file.write_text(
        SENTINEL.format(
            port=port,
            certificate=certificate,
            key=key,
            authority=authority.path,
            folder=tmp_path,
            master=secure[1],
        )
    )
    with subprocess.Popen(
        [redis_binary(), str(file), "--sentinel"], stdout=subprocess.DEVNULL
    ) as process:
        yield port
        process.kill()


async def test_tls_to_sentinel_and_to_its_master(
    settings: Settings, secure: tuple[RedisServer, int], sentinel: int, authority: Authority
) -> None:
    async def answers() -> bool:
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, sentinel)
        except OSError:
            return False
        writer.close()
        return True

    await until("the Sentinel listens", answers)
    url = f"rediss+sentinel://{LOOPBACK}:{sentinel}/city/0"
    await works(settings, f"{url}?ssl_ca_certs={authority.path}", secure[0])
    told = await unavailable(settings, url)
    reason = "No master found for 'city': no Sentinel could be reached (ConnectionError)"
    assert told.endswith(reason)


@pytest.mark.parametrize(
    "url",
    ["redis://{at}/0", "rediss://{at}/0", "unix://{path}", "redis+sentinel://{at},{at},{at}/city"],
)
async def test_a_server_that_takes_connections_and_says_nothing_is_told_in_time(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setattr(link, "OPEN_SECONDS", 0.2)
    path = tmp_path / "mute.sock"
    with socket.create_server((LOOPBACK, 0)) as mute, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(path))
        local.listen()
        at = f"{LOOPBACK}:{mute.getsockname()[1]}"
        told = await unavailable(settings, url.format(at=at, path=path))
    assert told.endswith(": no answer in 0.2 s")


async def test_whatever_ends_a_connection_is_told_to_who_waits_for_it(
    settings: Settings, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lane that ended for a reason of its own left its callers waiting for ever."""
    clients = ServerClients(settings_for(settings, redis_server.url()).broker)
    commands = clients.for_commands()
    commands._client.connection_pool.connection_kwargs["unheard_of"] = 1
    for _ in range(5):
        with pytest.raises(TypeError, match="unheard_of"):
            async with asyncio.timeout(20):
                await commands.ask("PING")
    await commands.close()
