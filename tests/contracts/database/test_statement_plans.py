"""The embedded database looks rows up by its indexes: no statement for a job reads a whole table."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from hms_svc.persistence.database import SqlDatabase
from hms_svc.ports.stores import AcceptedKey, PlaceQuery, ReportCount
from tests.support.database_engines import Site, SQLiteSite
from tests.support.database_requests import (
    LAT,
    LON,
    NOON,
    RADIUS_M,
    dead_job,
    effect,
    publish_nothing,
)

OLDEST_WAITING: Final = {"SCAN outbox USING INDEX outbox_waiting"}
"""The index has only the rows that wait, and the relay takes the first of them."""
SEARCHED: Final = {"SCAN reports", "SCAN outbox"}
"""Erasure looks for reports and messages of a job, and neither table has an index for that."""


@pytest.fixture
def site(path: Path) -> Site:
    return SQLiteSite(path)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Return a list of what connections that are opened from now on execute, parameters filled in."""
    executed: list[str] = []
    connect = sqlite3.connect

    def connect_traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(executed.append)
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", connect_traced)
        yield executed


def scans(path: Path, statements: list[str]) -> set[str]:
    """Return the steps of the query plans that read a whole table or a whole index, or that sort."""
    steps: set[str] = set()
    with closing(sqlite3.connect(path)) as connection:
        tables = {
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
        }
        for text in list(statements):
            if text.startswith(("SELECT", "INSERT", "UPDATE", "DELETE")):
                plan = connection.execute(f"EXPLAIN QUERY PLAN {text}")
                steps |= {
                    detail
                    for *_, detail in plan
                    if (detail.startswith("SCAN ") and detail.split()[1] in tables)
                    or "TEMP B-TREE" in detail
                }
    return steps


async def test_what_a_report_needs_is_found_by_indexes(
    statements: list[str], database: SqlDatabase, path: Path
) -> None:
    statements.clear()
    await database.reports.count([ReportCount("u-1", "job-1", NOON, NOON - 1)])
    await database.cases.near([PlaceQuery("pothole", LAT, LON, RADIUS_M, "job-1")])
    await database.effects.commit([effect("job-1")])
    ((stored,),) = await database.effects.recall([("job-1", 1)])
    assert stored.job_id == "job-1"
    assert await database.outbox.relay(500, publish_nothing) == 1
    assert scans(path, statements) == OLDEST_WAITING


async def test_idempotency_keys_are_found_by_their_index(
    statements: list[str], database: SqlDatabase, path: Path
) -> None:
    statements.clear()
    key = AcceptedKey(key="k", request="r", answer=b"", at=NOON)
    assert await database.accepted_keys.reserve([key]) == [key]
    assert await database.accepted_keys.find(["k", "other"]) == [key, None]
    assert scans(path, statements) == set()


async def test_what_is_erased_is_found_by_indexes_where_there_are_some(
    statements: list[str], database: SqlDatabase, path: Path
) -> None:
    statements.clear()
    await database.archive.keep([dead_job("job-1", finished_at=NOON)])
    await database.effects.commit([effect("job-1")])
    assert await database.erasure.erase(["job-1"]) == ["job-1"]
    assert scans(path, statements) == SEARCHED
