"""A real redis-server of the tests' own, in a folder of its own, that dies with them."""

from __future__ import annotations

import atexit
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
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.proxy import LOOPBACK, free_port

REQUIRED_VARIABLE: Final = "HMS_SVC_TEST_REQUIRE_SERVERS"
PATIENCE_SECONDS: Final = 30.0
CHECK_SECONDS: Final = 0.005


class RedisOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a server is set up. `maxmemory` as Redis writes it (`8mb`), empty is no limit.

    `longest` is that of one argument, a pushed item among them.
    `unixsocket` is the path of a socket beside the port, empty for none.
    """

    appendonly: Literal["no", "everysec", "always"] = "no"
    maxmemory: str = ""
    password: str = ""
    longest: str = ""
    cluster: bool = False
    unixsocket: str = ""

    def words(self) -> list[str]:
        """Return the command line."""
        words = ["--save", "", "--appendonly", "no" if self.appendonly == "no" else "yes"]
        if self.appendonly != "no":
            words += ["--appendfsync", self.appendonly]
        if self.maxmemory:
            words += ["--maxmemory", self.maxmemory]
        if self.password:
            words += ["--requirepass", self.password]
        if self.longest:
            words += ["--proto-max-bulk-len", self.longest]
        if self.cluster:
            words += ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
        if self.unixsocket:
            words += ["--unixsocket", self.unixsocket]
        return [*words, "--maxmemory-policy", "noeviction"]


class RedisServer:
    """One server. It keeps port and folder when it is started again after its end."""

    def __init__(self, folder: Path, options: RedisOptions | None = None) -> None:
        self.folder = folder
        self.options = options or RedisOptions()
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._client: redis.Redis | None = None

    @property
    def pid(self) -> int:
        """The process that runs now."""
        assert self._process is not None, "redis-server is not started"
        return self._process.pid

    @property
    def log(self) -> Path:
        """What the server has said, over all its starts."""
        return self.folder / "redis.log"

    def url(self, database: int = 0, *, port: int | None = None) -> str:
        """Return the address; `port` is that of a proxy in front."""
        secret = f":{quote(self.options.password, safe='')}@" if self.options.password else ""
        return f"redis://{secret}{LOOPBACK}:{port or self.port}/{database}"

    def start(self) -> None:
        """Start it, for the first time or again; it has loaded its data when this returns."""
        binary = redis_binary()
        command = [binary, "--bind", LOOPBACK, "--port", str(self.port), "--dir", str(self.folder)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_dying_with_parent(), *command, *self.options.words()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        atexit.register(self.kill)
        self._wait_until_ready(self._process)

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL)."""
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """End it as an administrator would (SIGTERM): what it keeps on disk is complete."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Kill it, and start it again on the same port and folder."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Stop the process without closing anything; `thaw` lets it go on."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        os.kill(self.pid, signal.SIGCONT)

    def flush(self) -> None:
        """Remove every key and every loaded script."""
        self.cli("FLUSHALL", "SYNC")
        self.cli("SCRIPT", "FLUSH", "SYNC")

    def cli(self, *words: str | bytes | float, database: int = 0) -> Any:
        """Run one command; gives bytes, numbers, lists, and dictionaries where redis-py makes them."""
        if self._client is None or database:
            client = redis.Redis.from_url(
                self.url(database), socket_timeout=PATIENCE_SECONDS, retry=Retry(NoBackoff(), 0)
            )
            if database:
                with client:
                    return client.execute_command(*words)  # type: ignore[no-untyped-call]
            self._client = client
        return self._client.execute_command(*words)  # type: ignore[no-untyped-call]

    def info(self, section: str = "everything") -> dict[str, Any]:
        """Return one section of INFO, or all of them."""
        found: dict[str, Any] = self.cli("INFO", section)
        return found

    def commands(self) -> dict[str, int]:
        """Count the calls of each command since the start, those inside scripts included."""
        stats = self.info("commandstats")
        return {name.removeprefix("cmdstat_"): int(each["calls"]) for name, each in stats.items()}

    def keys(self, pattern: str = "*", database: int = 0) -> list[str]:
        """Return the names of the keys, sorted."""
        return sorted(name.decode() for name in self.cli("KEYS", pattern, database=database))

    def lasting_keys(self, database: int = 0) -> list[str]:
        """Return the keys that no lifetime ends."""
        names = self.keys(database=database)
        return [name for name in names if self.cli("PTTL", name, database=database) == -1]

    def connections(self) -> int:
        """Count the clients, without this one."""
        return int(self.info("clients")["connected_clients"]) - 1

    def close(self) -> None:
        """End the server and forget it."""
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
"""Makes and starts a server of the test's own, of the options given by name."""


def redis_binary() -> str:
    """Find the server; the test is skipped where there is none, and fails where there must be."""
    found = shutil.which("redis-server")
    if found is None:
        reason = "redis-server is not on the PATH (apt-get install redis-server)"
        if os.environ.get(REQUIRED_VARIABLE):
            pytest.fail(f"{reason}, and {REQUIRED_VARIABLE} is set")
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def session_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for the whole run; a test takes `redis_server`, which is it, emptied."""
    redis_binary()
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.close()


@pytest.fixture
def redis_server(session_redis: RedisServer) -> RedisServer:
    """The shared server, without a key or a script."""
    session_redis.flush()
    return session_redis


@pytest.fixture
def make_redis(tmp_path: Path) -> Iterator[RedisMaker]:
    """Makes servers that the test may kill, fill up or restart."""
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
