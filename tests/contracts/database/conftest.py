"""One database for each test. PostgreSQL joins as a second maker; the tests stay as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from hms_svc.persistence.database import SqlDatabase
from hms_svc.persistence.sqlite_engine import SQLiteEngine
from hms_svc.sqlite.file import SQLiteFile
from tests.contracts.database.requests import NOON

Opener: TypeAlias = Callable[[], Awaitable[SqlDatabase]]


class HandClock:
    """Time that only a test moves; both clocks go together."""

    def __init__(self) -> None:
        self.now = NOON

    def now_ms(self) -> int:
        return self.now

    def lease_ms(self) -> int:
        return self.now


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cases.db"


@pytest.fixture(params=["sqlite"])
async def another(path: Path, clock: HandClock) -> AsyncIterator[Opener]:
    """Open one more connection to the same database, as another process would."""
    opened: list[SqlDatabase] = []

    async def open_one() -> SqlDatabase:
        one = SqlDatabase(SQLiteEngine(SQLiteFile(path)), clock)
        await one.open()
        opened.append(one)
        return one

    yield open_one
    for one in opened:
        await one.close()


@pytest.fixture
async def database(another: Opener) -> SqlDatabase:
    return await another()
