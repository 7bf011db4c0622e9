"""The servers of a measurement: a Redis of its own on loopback, a database of its own."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from benchmarks.engines import POSTGRES_VARIABLE, Appendonly
from tests.support.redis_server import RedisOptions, RedisServer

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Work(NamedTuple):
    """What a Redis has done since its start, or between two moments.

    `commands` counts those inside scripts too, `reads` is how often it read from a
    client: one for each round trip, more where a request is longer than 16 KiB.
    """

    cpu_seconds: float
    commands: int
    reads: int
    scripts: int

    def since(self, earlier: Work) -> Work:
        """Return the difference."""
        return Work(
            self.cpu_seconds - earlier.cpu_seconds,
            self.commands - earlier.commands,
            self.reads - earlier.reads,
            self.scripts - earlier.scripts,
        )


class Redis:
    """A redis-server without a key, ended with the block."""

    def __init__(self, folder: Path, appendonly: Appendonly) -> None:
        home = folder / "redis"
        home.mkdir()
        self.server = RedisServer(home, RedisOptions(appendonly=appendonly))

    @property
    def url(self) -> str:
        """Its address."""
        return self.server.url()

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.server.close()

    def work(self) -> Work:
        """Return what it has done so far, without what this question costs."""
        stats, calls = self.server.info("stats"), self.server.commands()
        scripts = sum(calls.get(name, 0) for name in ("eval", "evalsha", "fcall"))
        asked = calls.get("info", 0) + calls.get("ping", 0)
        return Work(
            self.cpu_seconds(),
            int(stats["total_commands_processed"]) - asked,
            int(stats["total_reads_processed"]) - asked,
            scripts,
        )

    def cpu_seconds(self) -> float:
        """Return the CPU time of the process so far."""
        fields = Path(f"/proc/{self.server.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND

    def memory_bytes(self) -> int:
        """Return the memory in use for data."""
        return int(self.server.info("memory")["used_memory_dataset"])


def database_cpu_seconds() -> float:
    """Return the CPU time of the PostgreSQL server of this machine so far, ended sessions included."""
    families: dict[int, list[list[str]]] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = file.read_text().partition("(")[2].rpartition(")")
        except OSError:  # it has ended meanwhile
            continue
        if name == "postgres":
            fields = rest.split()
            families.setdefault(int(fields[1]), []).append(fields)
    # Fields 11 to 14 are the ticks of a process and of its children that have ended.
    ticks = sum(int(field) for each in families.values() for one in each for field in one[11:15])
    return ticks / _TICKS_A_SECOND


@contextmanager
def fresh_database() -> Iterator[str]:
    """Make a database for the length of the block; return its address."""
    server = os.environ[POSTGRES_VARIABLE]
    name = f"hms_bench_{secrets.token_hex(6)}"
    asyncio.run(ask_database(server, f"CREATE DATABASE {name}"))
    try:
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
    finally:
        asyncio.run(ask_database(server, f"DROP DATABASE {name} WITH (FORCE)"))


async def ask_database(address: str, statement: str) -> int:
    """Run one statement, or several that give nothing; return its number, 0 where it has none."""
    asyncpg: Any = import_module("asyncpg")
    connection = await asyncpg.connect(address)
    try:
        if statement.startswith("SELECT"):
            return int(await connection.fetchval(statement))
        await connection.execute(statement)
        return 0
    finally:
        await connection.close()
