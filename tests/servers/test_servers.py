"""The servers and the proxy do what they say: otherwise no fault test proves anything."""

from __future__ import annotations

import gc
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.servers.framing import PostgresFramer, RespFramer
from tests.servers.proxy import LOOPBACK, Proxy
from tests.servers.redis import RedisMaker, RedisServer, make_redis, redis_server, session_redis

__all__ = ["make_redis", "redis_server", "session_redis"]
ROOT = Path(__file__).parents[2]


def dial(port: int, timeout_seconds: float = 10.0) -> redis.Redis:
    """A client that repeats nothing; it connects with its first command."""
    retry = Retry(NoBackoff(), 0)
    return redis.Redis(LOOPBACK, port, socket_timeout=timeout_seconds, retry=retry)


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    with Proxy(redis_server.port) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[redis.Redis]:
    with dial(proxy.port) as client:
        client.ping()
        yield client


def test_what_was_acknowledged_is_there_after_a_kill(make_redis: RedisMaker) -> None:
    server = make_redis(appendonly="always")
    server.cli("SET", "name", "ravi")
    server.restart()
    assert server.cli("GET", "name") == b"ravi"


def test_a_full_server_refuses_writes(make_redis: RedisMaker) -> None:
    server = make_redis(maxmemory="100kb")
    with pytest.raises(redis.OutOfMemoryError):
        server.cli("SET", "name", "ravi")


def test_a_server_with_a_password_lets_nobody_else_in(make_redis: RedisMaker) -> None:
    server = make_redis(password="a-secret")
    with dial(server.port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_a_frozen_server_answers_nobody(make_redis: RedisMaker) -> None:
    server = make_redis()
    server.freeze()
    with dial(server.port, timeout_seconds=0.1) as client, pytest.raises(redis.TimeoutError):
        client.ping()


@pytest.mark.skipif(sys.platform != "linux", reason="the parent's death is a signal on Linux only")
def test_the_server_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; from tests.servers.redis import RedisServer\n"
        f"server = RedisServer(Path({str(tmp_path)!r})); server.start()\n"
        "print(server.pid, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        server = os.pidfd_open(int(process.stdout.readline()))
        process.kill()
    ended, _, _ = select.select([server], [], [], 30)
    os.close(server)
    assert ended, "redis-server outlived the process that started it"


def test_a_proxy_lets_everything_through(proxy: Proxy, client: redis.Redis) -> None:
    client.set("name", b"x" * 1_000_000)
    assert client.get("name") == b"x" * 1_000_000


def test_a_pipeline_is_one_round_trip_of_many_requests(proxy: Proxy, client: redis.Redis) -> None:
    before = proxy.traffic
    pipeline = client.pipeline(transaction=False)
    for number in range(20):
        pipeline.set(f"name:{number}", number)
    pipeline.execute()
    gone = proxy.traffic.since(before)
    assert (gone.requests, gone.round_trips) == (20, 1)


def test_a_request_cut_before_it_arrives_is_not_executed(
    proxy: Proxy, client: redis.Redis, redis_server: RedisServer
) -> None:
    proxy.cut_before(matching=b"INCR")
    with pytest.raises(redis.ConnectionError):
        client.incr("count")
    assert redis_server.cli("GET", "count") is None


def test_a_request_whose_reply_is_cut_is_executed(
    proxy: Proxy, client: redis.Redis, redis_server: RedisServer
) -> None:
    proxy.cut_after_reply(matching=b"INCR")
    with pytest.raises(redis.ConnectionError):
        client.incr("count")
    assert redis_server.cli("GET", "count") == b"1"


def test_the_nth_matching_request_is_the_one(
    proxy: Proxy, client: redis.Redis, redis_server: RedisServer
) -> None:
    proxy.cut_after_reply(3, matching=b"INCR")
    client.incr("count")
    client.ping()
    client.incr("count")
    with pytest.raises(redis.ConnectionError):
        client.incr("count")
    assert (redis_server.cli("GET", "count"), proxy.armed) == (b"3", False)


def test_a_cut_in_a_pipeline_waits_for_the_reply_that_is_meant(
    proxy: Proxy, client: redis.Redis, redis_server: RedisServer
) -> None:
    proxy.cut_after_reply(matching=b"INCR")
    pipeline = client.pipeline(transaction=False)
    pipeline.set("large", b"x" * 1_000_000)
    pipeline.get("large")
    pipeline.incr("count")
    with pytest.raises(redis.ConnectionError):
        pipeline.execute()
    assert redis_server.cli("GET", "count") == b"1"


def test_half_a_reply_is_no_reply(proxy: Proxy, client: redis.Redis) -> None:
    client.set("name", "ravi")
    before = proxy.traffic
    proxy.cut_inside_reply(matching=b"GET")
    with pytest.raises(redis.ConnectionError):
        client.get("name")
    assert proxy.traffic.since(before).bytes_down == len(b"$4\r\nravi\r\n") // 2


def test_a_black_hole_freezes_and_lets_go(proxy: Proxy) -> None:
    with dial(proxy.port, timeout_seconds=0.1) as client:
        client.ping()
        proxy.black_hole()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        proxy.pass_through()
        assert client.ping()


def test_a_refusing_proxy_comes_back_on_its_port(proxy: Proxy, client: redis.Redis) -> None:
    proxy.refuse()
    with pytest.raises(redis.ConnectionError):
        client.ping()
    with dial(proxy.port) as another, pytest.raises(redis.ConnectionError):
        another.ping()
    proxy.pass_through()
    assert client.ping()


def test_a_reset_ends_every_connection(proxy: Proxy) -> None:
    with socket.create_connection((LOOPBACK, proxy.port), timeout=10) as raw:
        raw.sendall(b"PING\r\n")
        assert raw.recv(64) == b"+PONG\r\n"
        proxy.reset_all()
        with pytest.raises(ConnectionResetError):
            raw.recv(64)


def test_a_reply_in_single_bytes_is_a_reply(proxy: Proxy, client: redis.Redis) -> None:
    proxy.trickle()
    assert client.ping()


def test_a_delayed_client_waits_that_long(proxy: Proxy, client: redis.Redis) -> None:
    proxy.delay(milliseconds=10_000)
    with dial(proxy.port, timeout_seconds=0.1) as slow, pytest.raises(redis.TimeoutError):
        slow.ping()


def test_whoever_dials_as_a_proxy_begins_to_refuse_is_cut_off(proxy: Proxy) -> None:
    for _ in range(100):
        dialling = [socket.socket() for _ in range(20)]
        for each in dialling:
            each.setblocking(False)
            each.connect_ex((LOOPBACK, proxy.port))
        proxy.refuse()
        proxy.pass_through()
        for each in dialling:
            each.settimeout(10)
            with suppress(ConnectionError):
                assert each.recv(1) == b"", "a connection outlived the refusal"
            each.close()
    gc.collect()


def test_replies_are_counted_whole_however_they_arrive() -> None:
    replies = b"+OK\r\n*2\r\n$4\r\nra\r\n\r\n%1\r\n+a\r\n:1\r\n>1\r\n+pushed\r\n$-1\r\n|1\r\n+b\r\n,2\r\n_\r\n"
    framer = RespFramer()
    found = [message for byte in replies for message in framer.feed(bytes([byte]))]
    assert [(message.content, message.ends_turn) for message in found] == [
        (b"+OK\r\n", True),
        (b"*2\r\n$4\r\nra\r\n\r\n%1\r\n+a\r\n:1\r\n", True),
        (b">1\r\n+pushed\r\n", False),
        (b"$-1\r\n", True),
        (b"|1\r\n+b\r\n,2\r\n_\r\n", True),
    ]


def test_postgresql_is_asked_in_the_clear_and_each_query_ends_a_turn() -> None:
    encryption = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")
    start = (8).to_bytes(4, "big") + (3 << 16).to_bytes(4, "big")
    bind, sync = b"B\x00\x00\x00\x04", b"S\x00\x00\x00\x04"
    found = PostgresFramer(of_client=True).feed(encryption + start + bind + sync)
    assert [(message.content, message.ends_turn, message.answer) for message in found] == [
        (encryption, False, b"N"),
        (start, True, b""),
        (bind, False, b""),
        (sync, True, b""),
    ]
