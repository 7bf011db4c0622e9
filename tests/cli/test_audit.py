"""`hms-svc audit` over both pairs of engines, and somebody who can write to the database alone."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hms_svc import bootstrap
from hms_svc.domain.audit_heads import DAY_MS
from hms_svc.domain.views import AuditRecord
from hms_svc.persistence.audit_walk import chained
from hms_svc.ports.clock import SystemClock
from hms_svc.settings import Settings, load_settings
from tests.support.command_line import Cli, drain, environment, make_cli
from tests.support.postgres_server import PostgresServer
from tests.support.redis_server import RedisServer

_ROWS = "SELECT number, at, actor, action, subject, detail FROM audit ORDER BY link"
Query = Callable[[str], list[tuple[Any, ...]]]


class EightDaysLater(SystemClock):
    """The clock when the bus has forgotten all that it holds now."""

    def now_ms(self) -> int:
        return super().now_ms() + 8 * DAY_MS


class City:
    """One installation at the command line, and a way into its database past the program."""

    def __init__(self, folder: Path, query: Query) -> None:
        self.folder = folder
        self.cli: Cli = make_cli(folder)
        self.query = query

    @property
    def settings(self) -> Settings:
        return load_settings({"data_dir": str(self.folder)}).settings

    def act(self, times: int) -> None:
        for _ in range(times):
            self.cli("queues", "pause", "crew.notify", "--reason", "evil act")

    def quiet_week(self) -> None:
        """Let the retention of the bus take all that it holds, as a worker does."""

        async def trim() -> None:
            async with bootstrap.backend(self.settings, EightDaysLater()) as later:
                while await later.control.trim(limit=5000):
                    pass
                assert await later.bus.newest(1) == []

        asyncio.run(trim())

    def cut(self) -> None:
        self.query("DELETE FROM audit WHERE number > 4")

    def chain_anew(self) -> None:
        self.query("UPDATE audit SET actor = 'somebody-else' WHERE number > 4")
        digest = ""
        for number, at, actor, action, subject, detail in self.query(_ROWS):
            record = AuditRecord(
                number=number, at=at, actor=actor, action=action, subject=subject, detail=detail
            )
            digest = chained(digest, record)
            self.query(f"UPDATE audit SET digest = '{digest}' WHERE number = {number}")


@pytest.fixture(params=["sqlite", "redis-postgresql"])
def city(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> City:
    folder = tmp_path / "data"
    for name, value in environment(folder).items():
        monkeypatch.setenv(name, value)
    if request.param == "sqlite":

        def query(statement: str) -> list[tuple[Any, ...]]:
            with closing(sqlite3.connect(folder / "cases.db")) as connection, connection:
                return connection.execute(statement).fetchall()

        return City(folder, query)
    redis: RedisServer = request.getfixturevalue("redis_server")
    server: PostgresServer = request.getfixturevalue("postgres_server")
    database: str = request.getfixturevalue("postgres_database")
    monkeypatch.setenv("HMS_SVC_BROKER_URL", redis.url())
    monkeypatch.setenv("HMS_SVC_DATABASE_URL", server.url(database))
    return City(folder, lambda statement: asyncio.run(server.fetch(database, statement)))


@pytest.mark.parametrize(
    ("city", "forgery"),
    [
        ("sqlite", "cut"),
        ("redis-postgresql", "chain_anew"),
        pytest.param("sqlite", "chain_anew", marks=pytest.mark.interop),
        pytest.param("redis-postgresql", "cut", marks=pytest.mark.interop),
    ],
    indirect=["city"],
)
def test_a_forgery_is_found_after_the_bus_has_forgotten_the_head(city: City, forgery: str) -> None:
    city.act(5)
    drain(city.folder)
    city.quiet_week()
    assert city.cli("audit", "verify", "--json").row == {"ok": True, "faults": []}
    getattr(city, forgery)()
    answer = city.cli("audit", "verify", "--json", code=1).row
    [fault] = answer["faults"]
    assert (answer["ok"], fault["link"]) == (False, 10)
    assert fault["fault"] == {"chain_anew": "rewritten", "cut": "truncated"}[forgery]
    assert "compare the database with a backup" in city.cli("audit", "verify", code=1).out
    assert "does not contain the kept head" in city.cli("doctor", code=1).out


def test_a_broker_that_was_emptied_is_a_finding_until_an_operator_accepts(
    city: City, request: pytest.FixtureRequest
) -> None:
    city.act(2)
    drain(city.folder)
    if "redis" in request.node.callspec.id:
        request.getfixturevalue("redis_server").flush()
    else:
        for file in city.folder.glob("queue.db*"):
            if file.is_file():
                file.unlink()
    said = city.cli("audit", "verify", code=1).out
    assert "no head" in said
    assert "hms-svc serve" in said
    assert "no head of the audit chain is kept" in city.cli("doctor", code=1).out
    drain(city.folder)
    [fault] = city.cli("audit", "verify", "--json", code=1).row["faults"]
    assert (fault["link"], fault["fault"]) == (4, "unproven")
    assert "unproven" in city.cli("doctor").out
    assert "--reason" in city.cli("audit", "accept", code=2).err
    city.cli("--read-only", "audit", "accept", "--reason", "x", code=6)
    accepted = city.cli("audit", "accept", "--reason", "as the copy of Monday has it", "--json").row
    assert (accepted["link"], accepted["signed"]) == (4, False)
    assert city.cli("audit", "verify").out == "the chain is intact\n"
    assert "the head at link 4 has been kept for" in city.cli("doctor").out
    acts = [row["action"] for row in city.cli("audit", "list", "--json").rows]
    assert acts[:2] == ["audit.accept", "audit.accept"]


def test_heads_are_signed_under_the_key_and_the_key_is_not_shown(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HMS_SVC_AUDIT_KEY", "a key of this city")
    city.act(1)
    drain(city.folder)
    city.cli("audit", "verify")
    sealed = [row for row in city.cli("events", "--json").rows if row["type"] == "audit.sealed"]
    assert len(sealed[-1]["data"]["signature"]) == 64
    shown = {row["setting"]: row["value"] for row in city.cli("config", "--json").rows}
    assert shown["audit_key"] == "***"
    monkeypatch.setenv("HMS_SVC_AUDIT_KEY", "another key of this city")
    [fault] = city.cli("audit", "verify", "--json", code=1).row["faults"]
    assert fault["fault"] == "wrong signature"
    monkeypatch.setenv("HMS_SVC_AUDIT_KEY", "too short")
    assert "16 characters or more" in city.cli("audit", "verify", code=2).err


def test_a_broker_of_one_process_proves_nothing_and_says_so(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("queues", "pause", "x.y")
    monkeypatch.setenv("HMS_SVC_BROKER_URL", "memory://")
    assert "memory:// ends with its process" in cli("audit", "verify", code=1).out
    assert "memory:// keeps none" in cli("doctor").out


def test_a_restored_backup_holds(cli: Cli, tmp_path: Path) -> None:
    cli("queues", "pause", "x.y")
    drain(tmp_path / "data")
    cli("db", "backup", tmp_path / "copy")
    copied = make_cli(tmp_path / "copy")
    copied("audit", "verify")
    drain(tmp_path / "copy")
    copied("audit", "verify")
