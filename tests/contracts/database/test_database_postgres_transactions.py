"""Transactions in which an application writes, too, through faults of PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from hms_svc.domain.errors import DatabaseUnavailable, TransactionError
from hms_svc.persistence.database import SqlDatabase
from hms_svc.persistence.postgres_engine import PostgresEngine
from hms_svc.ports.stores import StoredEffect
from hms_svc.ports.transactions import Statements, TransactionRequest, Write, Written
from tests.support.database_engines import HandClock, PostgresSite
from tests.support.database_requests import NOON
from tests.support.postgres_server import PostgresServer
from tests.support.proxy import Proxy

INSERT = "insert into permits values ($1, $2)"


def request(job_id: str) -> TransactionRequest:
    return TransactionRequest(
        job_id=job_id, key="", fence=1, valid_until=NOON + 30_000, seconds=30.0
    )


def insertion(parcel: str, then: Callable[[Statements], Awaitable[None]] | None = None) -> Write:
    async def write(statements: Statements) -> Written:
        await statements.execute(INSERT, ("p", parcel))
        if then is not None:
            await then(statements)
        return Written(value=b"1")

    return write


@pytest.fixture
async def site(postgres_server: PostgresServer, postgres_database: str) -> PostgresSite:
    made = PostgresSite(postgres_server, postgres_database)
    await made.tamper("create table permits (id text not null, parcel text not null unique)")
    return made


@pytest.fixture
def database(engine: PostgresEngine, clock: HandClock, site: PostgresSite) -> SqlDatabase:
    return SqlDatabase(engine, clock)


async def parcels(site: PostgresSite) -> list[str]:
    query = "select parcel from permits order by parcel"
    return [row[0] for row in await site.server.fetch(site.name, query)]


CUTS: dict[str, Callable[[Proxy, bytes], None]] = {
    "before": lambda proxy, words: proxy.cut_before(matching=words),
    "after the reply": lambda proxy, words: proxy.cut_after_reply(matching=words),
    "inside the reply": lambda proxy, words: proxy.cut_inside_reply(matching=words),
}


@pytest.mark.parametrize("words", [b"BEGIN", b"COMMIT;"])
@pytest.mark.parametrize("cut", CUTS)
async def test_a_connection_cut_around_a_transaction_leaves_one_permit(
    database: SqlDatabase, proxy: Proxy, site: PostgresSite, cut: str, words: bytes
) -> None:
    await database.effects.transact(request("warm"), insertion("0"))
    CUTS[cut](proxy, words)
    stored = await database.effects.transact(request("a"), insertion("1"))
    assert isinstance(stored, StoredEffect)
    assert await parcels(site) == ["0", "1"]


@pytest.mark.parametrize("cut", CUTS)
async def test_a_connection_cut_at_the_begin_of_a_producers_transaction_is_only_a_delay(
    database: SqlDatabase, proxy: Proxy, site: PostgresSite, cut: str
) -> None:
    await database.transactions.run(insertion("0"), seconds=30)
    CUTS[cut](proxy, b"BEGIN")
    await database.transactions.run(insertion("1"), seconds=30)
    assert await parcels(site) == ["0", "1"]


@pytest.mark.parametrize(("cut", "stands"), [(cut, cut != "before") for cut in CUTS])
async def test_a_commit_of_a_producer_whose_outcome_is_unknown_is_not_repeated(
    database: SqlDatabase, proxy: Proxy, site: PostgresSite, cut: str, stands: bool
) -> None:
    calls: list[str] = []

    async def count(statements: Statements) -> None:
        calls.append(cut)

    await database.transactions.run(insertion("0"), seconds=30)
    CUTS[cut](proxy, b"COMMIT;")
    with pytest.raises(DatabaseUnavailable, match="the transaction may have been committed"):
        await database.transactions.run(insertion("1", count), seconds=30)
    assert calls == [cut]
    assert await parcels(site) == (["0", "1"] if stands else ["0"])


async def test_a_producer_whose_connection_is_lost_before_the_commit_is_told_of_an_outage_only(
    database: SqlDatabase, site: PostgresSite
) -> None:
    async def lose(statements: Statements) -> None:
        await site.end_connections()
        await statements.execute(INSERT, ("p", "2"))

    with pytest.raises(DatabaseUnavailable) as raised:
        await database.transactions.run(insertion("1", lose), seconds=30)
    assert "may have been committed" not in str(raised.value)
    assert await parcels(site) == []


async def test_a_connection_that_is_lost_inside_the_function_is_an_outage(
    database: SqlDatabase, site: PostgresSite
) -> None:

    async def lose(statements: Statements) -> None:
        await site.end_connections()
        await statements.execute(INSERT, ("p", "2"))

    with pytest.raises(DatabaseUnavailable):
        await database.effects.transact(request("a"), insertion("1", lose))
    await database.effects.transact(request("a"), insertion("3"))
    assert await parcels(site) == ["3"]


async def test_a_long_pause_is_named(
    database: SqlDatabase, engine: PostgresEngine, site: PostgresSite
) -> None:
    engine._pool.pause_seconds = 0.0
    with pytest.raises(TransactionError, match="ran no statement for"):
        await database.effects.transact(request("a"), insertion("1"))
    assert await parcels(site) == []


@pytest.mark.parametrize("by", ["jobs", "producers"])
async def test_the_victim_of_a_deadlock_is_called_again(
    database: SqlDatabase, site: PostgresSite, by: str
) -> None:
    await site.tamper("insert into permits values ('x', 'left'), ('x', 'right')")
    both = asyncio.Barrier(2)
    calls: list[str] = []

    def crossing(first: str, second: str) -> Write:
        async def write(statements: Statements) -> Written:
            calls.append(first)
            update = "update permits set id = id || 'y' where parcel = $1"
            await statements.execute(update, (first,))
            if len(calls) <= 2:
                await both.wait()
            await statements.execute(update, (second,))
            return Written(value=b"null")

        return write

    async def transact(job_id: str, write: Write) -> None:
        if by == "jobs":
            await database.effects.transact(request(job_id), write)
        else:
            await database.transactions.run(write, seconds=30)

    await asyncio.gather(
        transact("a", crossing("left", "right")), transact("b", crossing("right", "left"))
    )
    # More than 3 if the victim comes back before the server has woken the one that waited for it.
    assert len(calls) >= 3
    rows = await site.server.fetch(site.name, "select id from permits")
    assert [row[0] for row in rows] == ["xyy", "xyy"]
