"""Hostile keys, types, bodies and hanging services: the other types, `status` and Redis go on.

Each scene does one hostile thing to a running service, with a plain job submitted and a status asked
for several times a second meanwhile. What is told: the longest that either took, the
longest script, and how far the memory of a process grew.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import pytest
import redis

from hms_svc.brokers.redis import scripts
from hms_svc.domain.lifecycle import State
from tests.chaos.bounded_app import APP
from tests.chaos.site import Site
from tests.support.framing import POSTGRESQL
from tests.support.proxy import LOOPBACK, Proxy, free_port
from tests.support.serve_process import Served
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
MIB: Final = 1024 * 1024
LONGEST_SECONDS: Final = 1.0
LONGEST_SCRIPT_SECONDS: Final = 0.1
MOST_GROWN: Final = 256 * MIB
MANY_TYPES: Final = 20_000
STRAY: Final = {
    "string": ("SET", "hello"),
    "list": ("LPUSH", "no json"),
    "set": ("SADD", "x"),
    "zset": ("ZADD", "1", "x"),
    "hash": ("HSET", "x", "1"),
    "stream": ("XADD", "*", "x", "1"),
}
OPEN_NAMES: Final = ("jobs:{}", "jobs:{}:retry", "stats:{}")


class Seen(msgspec.Struct):
    """What one scene took at most, in seconds and bytes."""

    scene: str
    rounds: int = 0
    job: float = 0.0
    status: float = 0.0
    script: float = 0.0
    script_name: str = ""
    grown: int = 0
    faults: list[str] = []

    def __str__(self) -> str:
        return (
            f"{self.scene:42} rounds {self.rounds:3}  job {self.job * 1000:5.0f} ms  "
            f"status {self.status * 1000:5.0f} ms  "
            f"script {self.script * 1000:4.0f} ms {self.script_name:8}  "
            f"grown {self.grown / MIB:4.0f} MiB  {'; '.join(self.faults)}"
        )


class Canary:
    """A service under watch: submits a plain job and asks for the status, again and again."""

    def __init__(self, served: Served, address: str, server: redis.Redis | None) -> None:
        self._served = served
        self._address = address
        self._server = server

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
        connection = HTTPConnection(self._address, timeout=120)
        with closing(connection):
            headers = {"content-type": "application/json"} if body is not None else {}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        return answer.status, json.loads(text) if text else None

    def run_plain_job(self) -> float:
        """Submit a plain job; the seconds until it is completed."""
        began = time.monotonic()
        status, told = self.ask("POST", "/jobs", b'{"type":"plain.job","data":1}')
        assert status == 202, told
        path = f"/jobs/{told['id']}"
        while self.ask("GET", path)[1]["state"] != "completed":
            assert time.monotonic() - began < 120, f"{path} does not complete"
            time.sleep(0.005)
        return time.monotonic() - began

    @contextmanager
    def watching(self, scene: str, seconds: float) -> Iterator[Seen]:
        """Watch while the block runs, and for so long at least."""
        seen, stop = Seen(scene), threading.Event()
        before = {pid: _memory(pid) for pid in self._served.members()}
        if self._server is not None:
            self._server.config_set("slowlog-log-slower-than", 10_000)
            self._server.slowlog_reset()
        thread = threading.Thread(target=self._look, args=(seen, stop, before))
        thread.start()
        try:
            yield seen
            stop.wait(seconds)
        finally:
            stop.set()
            thread.join()
            self._note_scripts(seen)
            print(seen)

    def _look(self, seen: Seen, stop: threading.Event, before: dict[int, int]) -> None:
        while not stop.is_set():
            try:
                seen.job = max(seen.job, self.run_plain_job())
                began = time.monotonic()
                status, _ = self.ask("GET", "/status")
                assert status == 200
                seen.status = max(seen.status, time.monotonic() - began)
            except (OSError, HTTPException, AssertionError, KeyError, TypeError) as error:
                seen.faults.append(f"{type(error).__name__}: {error}"[:200])
            seen.rounds += 1
            for pid, size in before.items():
                seen.grown = max(seen.grown, _memory(pid) - size)
            stop.wait(0.05)

    def _note_scripts(self, seen: Seen) -> None:
        for entry in [] if self._server is None else self._server.slowlog_get(128):
            seconds = entry["duration"] / 1e6
            if seconds > seen.script and entry["command"].startswith(b"EVAL"):
                seen.script, seen.script_name = seconds, _name_of(entry["command"])


def _name_of(command: bytes) -> str:
    digest = command.split()[1].decode()
    names = [path.stem for path in Path(scripts.__file__).with_name("lua").glob("*.lua")]
    known = {scripts.script(name).digest: name for name in names}
    return known.get(digest, "EVAL")


def _memory(pid: int) -> int:
    """Return the resident memory of a process, in bytes; 0 where it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _is_bounded(seen: Seen) -> bool:
    return (
        not seen.faults
        and seen.rounds > 3
        and max(seen.job, seen.status) < LONGEST_SECONDS
        and seen.script < LONGEST_SCRIPT_SECONDS
        and seen.grown < MOST_GROWN
    )


@contextmanager
def hole() -> Iterator[str]:
    """Listen, and never answer; return the address."""
    with socket.create_server((LOOPBACK, 0), backlog=500) as listening:
        yield f"http://{LOOPBACK}:{listening.getsockname()[1]}"


@contextmanager
def watched(site: Site, **settings: object) -> Iterator[Canary]:
    """Serve with HTTP, and give the canary once a first job has run."""
    address = f"{LOOPBACK}:{free_port()}"
    given = {"app": APP, "lease_seconds": 30, **settings}
    served = site.serve(within=(), http=address, **given)
    server = None
    if site.broker_url.startswith("redis"):
        server = redis.Redis.from_url(site.broker_url)
    canary = Canary(served, address, server)
    served.wait_until("it listens", lambda: _listens(address))
    canary.run_plain_job()
    yield canary
    served.kill()


@contextmanager
def server_with_bound(site: Site) -> Iterator[redis.Redis]:
    """Set the largest push of the server as docs/fleet.md asks; afterwards it is as it was."""
    with closing(redis.Redis.from_url(site.broker_url)) as server:
        server.config_set("proto-max-bulk-len", "8mb")
        try:
            yield server
        finally:
            server.config_set("proto-max-bulk-len", "512mb")


def _push_zeros(site: Site, size: int) -> subprocess.CompletedProcess[bytes]:
    """Push one item of so many bytes from another process: this one's threads measure meanwhile."""
    words = f"head -c {size} /dev/zero | redis-cli -u {site.broker_url} -x LPUSH jobs:case.job"
    return subprocess.run(["sh", "-c", words], capture_output=True, check=False)


def _listens(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


both_pairs = pytest.mark.parametrize("site", ["sqlite", "redis-postgresql"], indirect=True)
on_redis = pytest.mark.parametrize("site", ["redis-postgresql"], indirect=True)


@on_redis
def test_a_key_of_each_redis_type_under_each_open_name(site: Site) -> None:
    server = redis.Redis.from_url(site.broker_url)
    with watched(site) as canary:
        every = []
        for name in OPEN_NAMES:
            with canary.watching(f"{name.format('case.job')} of each Redis type", 1.0) as seen:
                for command, *words in STRAY.values():
                    server.delete(name.format("case.job"))
                    server.execute_command(command, name.format("case.job"), *words)  # type: ignore[no-untyped-call]  # untyped in redis-py
                    time.sleep(0.5)
                server.delete(name.format("case.job"))
            every.append(seen)
        assert all(map(_is_bounded, every)), "\n".join(map(str, every))


@both_pairs
def test_twenty_thousand_types(site: Site) -> None:
    with watched(site) as canary:
        with canary.watching("20,000 types", 8.0) as seen:
            _submit_types(site, canary)
        assert _is_bounded(seen), str(seen)
        with canary.watching("a start with 20,000 types", 2.0) as started:
            second = site.serve(app=APP)
            second.wait_until("it works", lambda: len(second.members()) > 1)
        assert _is_bounded(started), str(started)


def _submit_types(site: Site, canary: Canary) -> None:
    if site.broker_url.startswith("redis"):
        pipeline = redis.Redis.from_url(site.broker_url).pipeline(transaction=False)
        for number in range(MANY_TYPES):
            pipeline.lpush(f"jobs:typo.{number}", "1")
        pipeline.execute()
    for first in range(0, MANY_TYPES, 500):
        jobs = [{"type": f"typo.{first + each}", "data": 1} for each in range(500)]
        status, told = canary.ask("POST", "/jobs", json.dumps(jobs).encode())
        assert status == 202, told


BODIES: Final[dict[str, Callable[[], bytes]]] = {
    "lists in lists": lambda: b"[" * 4000 + b"]" * 4000,
    "two million empty lists": lambda: b"[" + b",".join([b"[]"] * 1_390_000) + b"]",
    "floats": lambda: b"[" + b",".join([b"1.7976931348623157e308"] * 180_000) + b"]",
    "long numbers": lambda: b"[" + b",".join([b"9" * 4000] * 1000) + b"]",
    "keys": lambda: json.dumps({f"k{number}": 0 for number in range(300_000)}).encode(),
    "escapes": lambda: b'"' + b"\\ud83d\\ude00" * 340_000 + b'"',
    "lone quotes": lambda: b'"' + b'\\"' * 2_000_000 + b'"',
    "backslashes": lambda: b'"' + b"\\\\" * 2_000_000,
    "no JSON": lambda: b"{" * 4_000_000,
    "bytes": lambda: b"\xff" * 4_000_000,
}


@both_pairs
def test_the_worst_bodies(site: Site) -> None:
    every = []
    with watched(site) as canary:
        for name, make in BODIES.items():
            text = b'{"type":"plain.job","data":' + make() + b"}"
            with canary.watching(f"{len(text) / 1e6:.1f} MB of {name}", 1.0) as seen:
                for _ in range(3):
                    canary.ask("POST", "/jobs", text)
                if site.broker_url.startswith("redis"):
                    redis.Redis.from_url(site.broker_url).lpush("jobs:case.job", *[text] * 3)
            every.append(seen)
    assert all(map(_is_bounded, every)), "\n".join(map(str, every))


@on_redis
@pytest.mark.parametrize("mib", [2, 4, 8])
def test_a_push_of_the_largest_size_that_a_fleet_allows(site: Site, mib: int) -> None:
    with server_with_bound(site) as server, watched(site) as canary:
        with canary.watching(f"pushes of {mib} MiB", 5.0) as seen:
            for _ in range(5):
                server.lpush("jobs:case.job", b"x" * (mib * MIB))
        assert _is_bounded(seen), str(seen)
        wait_until("they are dead letters", lambda: site.count(State.DEAD, "case.job") == 5)


@on_redis
def test_a_push_of_three_hundred_megabytes_where_the_server_has_its_bound(site: Site) -> None:
    with server_with_bound(site), watched(site) as canary:
        with canary.watching("a push of 300 MB, refused by Redis", 5.0) as seen:
            assert b"(integer)" not in _push_zeros(site, 300_000_000).stdout
        assert _is_bounded(seen), str(seen)


@on_redis
def test_a_push_of_three_hundred_megabytes(site: Site) -> None:
    with watched(site) as canary:
        with canary.watching("one push of 300 MB", 5.0) as seen:
            assert _push_zeros(site, 300_000_000).returncode == 0
        # Without proto-max-bulk-len Redis takes and gives the item in one step each: no bound on its time.
        assert not seen.faults, str(seen)
        assert seen.grown < 2 * MOST_GROWN, str(seen)
        wait_until("it is a dead letter", lambda: site.count(State.DEAD, "case.job") == 1)


@both_pairs
def test_a_receiver_that_hangs(site: Site) -> None:
    with hole() as address:
        agencies = site.folder / "agencies.toml"
        agencies.write_text(
            f'[[receiver]]\nname = "act"\nurl = "{address}/hook"\nallow_private = true\n'
            'secret = "whsec_dGhlLXNlY3JldC1vZi1hY3Q="\ntypes = ["case.*", "job.*"]\n'
        )
        with watched(site, agencies_file=agencies) as canary:
            with canary.watching("a receiver that hangs", 15.0) as seen:
                _submit(canary, "case.job", 300)
            assert site.count(State.COMPLETED, "case.job") == 300
            assert _is_bounded(seen), str(seen)


@both_pairs
def test_a_policy_service_that_hangs(site: Site) -> None:
    with hole() as address, watched(site, policy_url=address) as canary:
        with canary.watching("a policy service that hangs", 15.0) as seen:
            _submit(canary, "vetted.job", 300)
        assert site.count(State.COMPLETED, "vetted.job") == 0
        assert _is_bounded(seen), str(seen)


@both_pairs
def test_a_database_that_hangs(site: Site) -> None:
    with ExitStack() as stack:
        hang = _proxied(site, stack) if "postgres" in site.database_url else _locked(site, stack)
        with watched(site, database_url=site.database_url) as canary:
            _submit(canary, "case.job", 5)
            wait_until("five cases", lambda: site.count(State.COMPLETED, "case.job") == 5)
            with canary.watching("a database that hangs", 15.0) as seen:
                hang()
                _submit(canary, "case.job", 100)
            assert site.count(State.COMPLETED, "case.job") < 105
            assert _is_bounded(seen), str(seen)


def _proxied(site: Site, stack: ExitStack) -> Callable[[], object]:
    parts = urlsplit(site.database_url)
    proxy = stack.enter_context(Proxy(parts.port or 5432, dialect=POSTGRESQL))
    site.database_url = parts._replace(
        netloc=parts.netloc.replace(f":{parts.port}", f":{proxy.port}")
    ).geturl()
    return proxy.black_hole


def _locked(site: Site, stack: ExitStack) -> Callable[[], object]:
    def hang() -> None:
        connection = stack.enter_context(closing(sqlite3.connect(site.files[1], timeout=30)))
        connection.execute("BEGIN EXCLUSIVE")

    return hang


def _submit(canary: Canary, type: str, count: int) -> None:
    jobs = [{"type": type, "data": number} for number in range(count)]
    status, told = canary.ask("POST", "/jobs", json.dumps(jobs).encode())
    assert status == 202, told
