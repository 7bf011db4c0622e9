"""`pothole.report` by hand over PostgreSQL, one commit a job: awaited (asyncpg), blocking (psycopg).

The same statements for both; places are locked coarsely, so that the look at the
neighbours and the insert belong together.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from importlib import import_module
from typing import Any

from benchmarks.by_hand import RADIUS_M, SCHEMA, box, check_user, metres

SERIAL = "number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
POSTGRES_SCHEMA = SCHEMA.replace("number INTEGER PRIMARY KEY", SERIAL).replace("REAL", "FLOAT8")
LOCK = "SELECT pg_advisory_xact_lock($1)"
REPORT = "INSERT INTO reports VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
HOUR = "SELECT count(*) FROM reports WHERE user_id = $1 AND at > $2"
NEAR = (
    "SELECT lat, lon FROM cases WHERE status = 'open' AND lat BETWEEN $1 AND $2 "
    "AND lon BETWEEN $3 AND $4"
)
CASE = "INSERT INTO cases VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
AUDIT = "INSERT INTO audit (at, subject, detail) VALUES ($1, $2, $3)"
OUTBOX = "INSERT INTO outbox (type, subject, data) VALUES ($1, $2, $3)"
COUNT_UP = "INSERT INTO counters AS c VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET n = c.n + 1"


def address() -> str:
    """Return the database of the measurement."""
    return os.environ["BENCH_DATABASE"]


def counter() -> str:
    """Return one of 64 rows of the counter, so that commits do not wait for each other's row."""
    return f"cases.opened.{uuid.uuid4().int % 64}"


def allowed(data: dict[str, Any], reports: int, near: list[Any]) -> None:
    """Raise ValueError where there are too many reports, or an open case within the radius."""
    if reports > 10:
        raise ValueError("identity")
    if any(metres(data["lat"], data["lon"], *other) <= RADIUS_M for other in near):
        raise ValueError("duplicate")


def writes(
    job: str, data: dict[str, Any], now: float
) -> tuple[str, list[tuple[str, tuple[Any, ...]]]]:
    """Return the case's id and the statements that write it."""
    case = f"case-{uuid.uuid4()}"
    lat, lon, user = data["lat"], data["lon"], data["user_id"]
    return case, [
        (CASE, (case, job, lat, lon, user, 50, "open", now, json.dumps(data))),
        (AUDIT, (now, case, job)),
        (OUTBOX, ("case.opened", job, json.dumps({"case_id": case}))),
        (COUNT_UP, (counter(),)),
    ]


class AwaitedCases:
    """A pool of asyncpg; statements are prepared once a connection."""

    def __init__(self, connections: int) -> None:
        self._connections = connections
        self._pool: Any = None

    async def open(self) -> None:
        """Connect; the tables are there."""
        self._pool = await import_module("asyncpg").create_pool(
            address(), min_size=self._connections, max_size=self._connections
        )

    async def open_case(self, job: str, data: dict[str, Any]) -> str:
        """Commit one case; return its id. ValueError names the rule that rejects it."""
        check_user(data)
        now = time.time()
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(LOCK, place(data))
            await connection.execute(REPORT, data["user_id"], job, now)
            reports = await connection.fetchval(HOUR, data["user_id"], now - 3600)
            allowed(data, reports, await connection.fetch(NEAR, *box(data["lat"], data["lon"])))
            case, statements = writes(job, data, now)
            for statement, values in statements:
                await connection.execute(statement, *values)
        return case


class BlockingCases:
    """A connection of psycopg for each thread."""

    def __init__(self) -> None:
        self._local = threading.local()

    def open_case(self, job: str, data: dict[str, Any]) -> str:
        """Commit one case; return its id. ValueError names the rule that rejects it."""
        check_user(data)
        now = time.time()
        connection = self._connection()
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute(LOCK, (place(data),))
            cursor.execute(REPORT, (data["user_id"], job, now))
            cursor.execute(HOUR, (data["user_id"], now - 3600))
            [reports] = cursor.fetchone()
            cursor.execute(NEAR, box(data["lat"], data["lon"]))
            allowed(data, reports, cursor.fetchall())
            case, statements = writes(job, data, now)
            for statement, values in statements:
                cursor.execute(statement, values)
        return case

    def _connection(self) -> Any:
        if not hasattr(self._local, "cases"):
            psycopg = import_module("psycopg")
            self._local.cases = psycopg.connect(
                address(), autocommit=True, cursor_factory=psycopg.RawCursor, prepare_threshold=1
            )
        return self._local.cases


def place(data: dict[str, Any]) -> int:
    """Return the number of the square of a hundredth of a degree that a report lies in."""
    return int((data["lat"] + 90) * 100) * 100_000 + int((data["lon"] + 180) * 100)
