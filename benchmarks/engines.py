"""Which engines a measurement runs on, and what it is asked for."""

from __future__ import annotations

import os
from typing import Literal, NamedTuple

POSTGRES_VARIABLE = "HMS_SVC_TEST_POSTGRES_URL"
Appendonly = Literal["no", "everysec", "always"]


class Engines(NamedTuple):
    """Broker and database of a measurement; `appendonly` is how Redis keeps its data."""

    redis: bool = False
    postgres: bool = False
    appendonly: Appendonly = "no"

    def __str__(self) -> str:
        if not self.redis:
            broker = "SQLite (FULL)"
        elif self.appendonly == "no":
            broker = "Redis without persistence"
        else:
            broker = f"Redis, AOF {self.appendonly}"
        return f"{broker}, cases in {'PostgreSQL' if self.postgres else 'SQLite (FULL)'}"


class Plan(NamedTuple):
    """What to measure: on which engines, how many rounds, which share of the usual jobs."""

    engines: Engines = Engines()
    rounds: int = 3
    scale: float = 1.0

    def of(self, jobs: int, least: int = 1) -> int:
        """Return the number of jobs at this scale."""
        return max(least, int(jobs * self.scale))


EMBEDDED = Engines()


def read_engines(name: str, appendonly: Appendonly) -> Engines:
    """Read `sqlite`, `redis`, `sqlite+postgres` or `redis+postgres`; ends the program otherwise."""
    broker, _, database = name.partition("+")
    if broker not in {"sqlite", "redis"} or database not in {"", "postgres"}:
        raise SystemExit(
            f"--backend {name}: expected sqlite, redis, sqlite+postgres, redis+postgres"
        )
    if database and not os.environ.get(POSTGRES_VARIABLE):
        raise SystemExit(
            f"--backend {name} needs a PostgreSQL: set {POSTGRES_VARIABLE} to the address of a "
            "server where databases may be made, such as postgresql://postgres@127.0.0.1/postgres"
        )
    return Engines(broker == "redis", bool(database), appendonly)
