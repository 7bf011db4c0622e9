"""A fleet's database that refuses, says nothing, or takes too long: an outage, and no longer than it lasts."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from sqlalchemy import Connection

from hms_svc.domain.errors import DatabaseUnavailable
from hms_svc.persistence import postgres_connector
from hms_svc.persistence.database import SqlDatabase
from hms_svc.persistence.postgres_connector import Connector
from hms_svc.persistence.postgres_engine import PostgresEngine
from hms_svc.ports.stores import PlaceQuery, StoredEffect
from tests.support.database_engines import PATIENCE_SECONDS, HandClock, PostgresSite
from tests.support.database_requests import LAT, LON, RADIUS_M, effect
from tests.support.postgres_server import PostgresServer
from tests.support.proxy import Proxy
from tests.support.waiting import until

SECRET = "hush-hush"


@pytest.fixture
def site(postgres_server: PostgresServer, postgres_database: str) -> PostgresSite:
    return PostgresSite(postgres_server, postgres_database)


async def database_over(engine: PostgresEngine, clock: HandClock) -> SqlDatabase:
    database = SqlDatabase(engine, clock)
    await database.effects.commit([effect("warm", kind="warmth")])
    return database


@pytest.fixture
async def database(engine: PostgresEngine, clock: HandClock) -> SqlDatabase:
    return await database_over(engine, clock)


@pytest.fixture
async def hasty_database(hasty: PostgresEngine, clock: HandClock) -> SqlDatabase:
    return await database_over(hasty, clock)


async def until_it_answers(database: SqlDatabase) -> None:
    async def answers() -> bool:
        return (await database.health()).ok

    await until("the database answers", answers, PATIENCE_SECONDS)


async def test_a_statement_that_takes_too_long_is_an_outage(hasty: PostgresEngine) -> None:
    with pytest.raises(DatabaseUnavailable, match="statement timeout"):
        await hasty.write(lambda on: on.exec_driver_sql("SELECT pg_sleep(60)"))


async def test_a_lock_that_is_not_to_be_had_is_an_outage(
    hasty: PostgresEngine, site: PostgresSite
) -> None:
    connection = await site.server.connect(site.name)
    async with connection.transaction():
        await connection.execute("LOCK TABLE cases")
        with pytest.raises(DatabaseUnavailable, match="lock timeout"):
            await hasty.read(lambda on: on.exec_driver_sql("SELECT * FROM cases"))
    await connection.close()


async def test_who_sleeps_inside_a_transaction_does_not_hold_up_the_others(
    hasty: PostgresEngine, engine: PostgresEngine
) -> None:
    """A machine that froze or died with the locks of a place loses them to the others."""
    asleep, awake = asyncio.Event(), asyncio.Event()

    def lock(one: PostgresEngine, on: Connection) -> list[int]:
        one.lock(on, [7])
        return [7]

    async def sleep(_numbers: list[int]) -> None:
        asleep.set()
        await awake.wait()

    sleeping = asyncio.create_task(
        hasty.relay(lambda on: lock(hasty, on), sleep, lambda _on, _numbers: None)
    )
    await asleep.wait()
    assert await engine.write(lambda on: lock(engine, on)) == [7]
    awake.set()
    await sleeping


async def test_a_server_that_refuses_is_an_outage_until_it_is_back(
    database: SqlDatabase, proxy: Proxy
) -> None:
    proxy.refuse()
    for _ in range(5):
        with pytest.raises(DatabaseUnavailable):
            await database.effects.commit([effect("a")])
    assert not (await database.health()).ok
    proxy.pass_through()
    await until_it_answers(database)
    assert isinstance((await database.effects.commit([effect("a")]))[0], StoredEffect)


async def test_a_server_that_says_nothing_is_an_outage_until_it_is_back(
    hasty_database: SqlDatabase, proxy: Proxy
) -> None:
    proxy.black_hole()
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(DatabaseUnavailable, match="no answer"):
            await hasty_database.effects.commit([effect("a")])
    proxy.pass_through()
    await until_it_answers(hasty_database)
    assert isinstance((await hasty_database.effects.commit([effect("a")]))[0], StoredEffect)


async def test_all_who_wait_for_a_server_that_says_nothing_are_told(
    hasty_database: SqlDatabase, proxy: Proxy
) -> None:
    await asyncio.gather(*(hasty_database.outbox.waiting(1) for _ in range(3)))
    proxy.black_hole()
    calls = [
        hasty_database.cases.near([PlaceQuery("pothole", LAT, LON, RADIUS_M)]) for _ in range(12)
    ]
    async with asyncio.timeout(PATIENCE_SECONDS):
        answers = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(answer) for answer in answers} == {DatabaseUnavailable}


async def test_while_it_is_down_one_caller_knocks_for_all(
    site: PostgresSite, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_connector, "CONNECT_SECONDS", 0.1)
    address = site.server.address(site.name, port=proxy.port)
    connector = Connector(address, statement_seconds=1)
    proxy.black_hole()
    with pytest.raises(DatabaseUnavailable):
        await connector.connect()
    before = proxy.traffic
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not proxy.traffic.since(before).connections:
            calls = (connector.connect() for _ in range(50))
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(answer) for answer in answers} == {DatabaseUnavailable}
    assert proxy.traffic.since(before).connections == 1


async def test_a_disconnected_engine_can_be_closed(engine: PostgresEngine, proxy: Proxy) -> None:
    proxy.black_hole()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await engine.close()


async def test_no_message_has_the_password(site: PostgresSite, proxy: Proxy) -> None:
    address = site.server.address(site.name, port=proxy.port)
    proxy.refuse()
    refused = PostgresEngine(msgspec.structs.replace(address, password=SECRET))
    with pytest.raises(DatabaseUnavailable) as told:
        await refused.open()
    assert SECRET not in f"{told.value!r}{told.value.__cause__!r}{refused.where}"


async def test_a_database_that_is_not_there_is_named(site: PostgresSite) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"nowhere.*no such database"):
        await site.engine(database="nowhere").open()
