"""A real redis-server for tests, in its own folder, that ends with them."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import quote

import msgspec
import pytest
import redis
import redis.utils
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.proxy import LOOPBACK, free_port

REQUIRED_VARIABLE: Final = "HMS_SVC_TEST_REQUIRE_SERVERS"
PATIENCE_SECONDS: Final = 30.0
CHECK_SECONDS: Final = 0.005


class RedisOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a server. `maxmemory` is as Redis writes it (`8mb`), empty for no limit.

    `longest` is the maximum length of one argument, also of a pushed item.
    `unixsocket` is the path of an additional socket, empty for none.
    """

    appendonly: Literal["no", "everysec", "always"] = "no"
    maxmemory: str = ""
    password: str = ""
    longest: str = ""
    cluster: bool = False
    unixsocket: str = ""

    def arguments(self) -> list[str]:
        """Return the command line."""
        arguments = ["--save", "", "--appendonly", "no" if self.appendonly == "no" else "yes"]
        if self.appendonly != "no":
            arguments += ["--appendfsync", self.appendonly]
        if self.maxmemory:
            arguments += ["--maxmemory", self.maxmemory]
        if self.password:
            arguments += ["--requirepass", self.password]
        if self.longest:
            arguments += ["--proto-max-bulk-len", self.longest]
        if self.cluster:
            arguments += ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
        if self.unixsocket:
            arguments += ["--unixsocket", self.unixsocket]
        return [*arguments, "--maxmemory-policy", "noeviction"]


class RedisServer:
    """One server. It keeps its port and folder when it is restarted."""

    def __init__(self, folder: Path, options: RedisOptions | None = None) -> None:
        self.folder = folder
        self.options = options or RedisOptions()
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._client: redis.Redis | None = None

    @property
    def pid(self) -> int:
        """The running process."""
        assert self._process is not None, "redis-server is not started"
        return self._process.pid

    @property
    def log(self) -> Path:
        """The log of the server, over all its starts."""
        return self.folder / "redis.log"

    def url(self, database: int = 0, *, port: int | None = None) -> str:
        """Return the address; `port` is that of a proxy in front."""
        secret = f":{quote(self.options.password, safe='')}@" if self.options.password else ""
        return f"redis://{secret}{LOOPBACK}:{port or self.port}/{database}"

    def start(self) -> None:
        """Start or restart the server, and wait until it has loaded its data.

        Its append-only file is repaired before, as docs/durability.md says.
        """
        binary = redis_binary()
        self.repair()
        command = [binary, "--bind", LOOPBACK, "--port", str(self.port), "--dir", str(self.folder)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_dying_with_parent(), *command, *self.options.arguments()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        atexit.register(self.kill)
        self._wait_until_ready(self._process)

    def repair(self) -> None:
        """Remove a transaction that is half written from the end of the append-only file, if there is one."""
        manifest = self.folder / "appendonlydir" / "appendonly.aof.manifest"
        if manifest.exists():
            check = Path(redis_binary()).with_name("redis-check-aof")
            subprocess.run(
                [check, "--fix", manifest], input=b"y\n", capture_output=True, check=True
            )

    def kill(self) -> None:
        """Kill the server as a power cut would (SIGKILL)."""
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """Stop the server as an administrator would (SIGTERM): its data on disk is complete."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Kill the server, and restart it on the same port and folder."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Suspend the process without closing connections; `thaw` resumes it."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume a frozen server."""
        os.kill(self.pid, signal.SIGCONT)

    def flush(self) -> None:
        """Remove every key and every loaded script."""
        self.cli("FLUSHALL", "SYNC")
        self.cli("SCRIPT", "FLUSH", "SYNC")

    def cli(self, *command: str | bytes | float, database: int = 0) -> Any:
        """Run one command; return bytes, numbers, lists, or dictionaries as redis-py does."""
        if self._client is None or database:
            client = redis.Redis.from_url(
                self.url(database), socket_timeout=PATIENCE_SECONDS, retry=Retry(NoBackoff(), 0)
            )
            if database:
                with client:
                    return client.execute_command(*command)  # type: ignore[no-untyped-call]  # untyped in redis-py
            self._client = client
        return self._client.execute_command(*command)  # type: ignore[no-untyped-call]  # untyped in redis-py

    def info(self, section: str = "everything") -> dict[str, Any]:
        """Return one section of INFO, or all of them."""
        found: dict[str, Any] = self.cli("INFO", section)
        return found

    def commands(self) -> dict[str, int]:
        """Return the number of calls of each command since the start, including those in scripts."""
        stats = self.info("commandstats")
        return {name.removeprefix("cmdstat_"): int(each["calls"]) for name, each in stats.items()}

    def keys(self, pattern: str = "*", database: int = 0) -> list[str]:
        """Return the names of the keys, sorted."""
        return sorted(name.decode() for name in self.cli("KEYS", pattern, database=database))

    def lasting_keys(self, database: int = 0) -> list[str]:
        """Return the keys without a time to live."""
        names = self.keys(database=database)
        return [name for name in names if self.cli("PTTL", name, database=database) == -1]

    def connections(self) -> int:
        """Return the number of clients, without this one."""
        return int(self.info("clients")["connected_clients"]) - 1

    def close(self) -> None:
        """Stop the server for good."""
        self.kill()
        atexit.unregister(self.kill)

    def _end(self, number: signal.Signals) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._process is not None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(PATIENCE_SECONDS)
            self._process = None

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not self._answers():
            if process.poll() is not None or time.monotonic() > end:
                log = self.log.read_text(errors="replace")[-2000:]
                raise AssertionError(f"redis-server on port {self.port} does not answer:\n{log}")
            time.sleep(CHECK_SECONDS)

    def _answers(self) -> bool:
        try:
            return bool(self.cli("PING"))
        except (redis.ConnectionError, redis.TimeoutError):  # BusyLoadingError is one, too
            return False


RedisMaker: TypeAlias = Callable[..., RedisServer]
"""Starts a server for one test, with options by name."""


def redis_binary() -> str:
    """Find the redis-server program; if there is none, skip the test, or fail if servers are required."""
    found = shutil.which("redis-server")
    if found is None:
        reason = "redis-server is not on the PATH (apt-get install redis-server)"
        if os.environ.get(REQUIRED_VARIABLE):
            pytest.fail(f"{reason}, and {REQUIRED_VARIABLE} is set")
        pytest.skip(reason)
    return found


@pytest.fixture(autouse=True, scope="session")
def known_version() -> Iterator[None]:
    """Let redis-py look up its own version once, instead of in its metadata for each connection."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            redis.utils,
            "get_lib_version",
            functools.cache(redis.utils.get_lib_version),
        )
        yield


@pytest.fixture(scope="session")
def session_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for the whole run; tests use `redis_server`, which is the same, emptied."""
    redis_binary()
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.close()


@pytest.fixture
def redis_server(session_redis: RedisServer) -> RedisServer:
    """The shared server, without keys and scripts."""
    session_redis.flush()
    return session_redis


@pytest.fixture
def make_redis(tmp_path: Path) -> Iterator[RedisMaker]:
    """Return a function that starts servers which the test may kill, fill or restart."""
    redis_binary()
    made: list[RedisServer] = []

    def make(**options: Any) -> RedisServer:
        folder = tmp_path / f"redis-{len(made)}"
        folder.mkdir()
        server = RedisServer(folder, RedisOptions(**options))
        made.append(server)
        server.start()
        return server

    yield make
    for server in made:
        server.close()


def _dying_with_parent() -> list[str]:
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []
