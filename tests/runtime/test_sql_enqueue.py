"""Jobs in a producer's own transaction on PostgreSQL: rolled back never was, committed is delivered once."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

from hms_svc import BadInput, Job, RunningJob, SchemaMismatch, aio, bootstrap, sql
from hms_svc.runtime.outbox_relay import OutboxRelay
from hms_svc.sdk.captured_output import captured_output
from hms_svc.settings import load_settings
from tests.support.postgres_server import PostgresServer
from tests.support.redis_server import RedisServer
from tests.support.waiting import until
from tests.support.worker import TYPE, WorkerHarness, registry_of

ran: list[str] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


@pytest.fixture
async def harness(
    tmp_path: Path,
    postgres_server: PostgresServer,
    postgres_database: str,
    redis_server: RedisServer,
) -> AsyncIterator[WorkerHarness]:
    given = {
        "data_dir": str(tmp_path),
        "broker_url": redis_server.url(),
        "database_url": postgres_server.url(postgres_database),
    }
    settings = load_settings(given, environ={"HMS_SVC_CONFIG": ""}).settings

    async def note(job: RunningJob) -> None:
        ran.append(job.id)

    async with bootstrap.engines(settings, registry_of(note)) as engines:
        harness = WorkerHarness(engines, settings)
        with captured_output(pass_on=True):
            yield harness
            await harness.stop()


@pytest.fixture
async def connection(postgres_server: PostgresServer, postgres_database: str) -> AsyncIterator[Any]:
    opened = await postgres_server.connect(postgres_database)
    yield opened
    await opened.close()


@pytest.fixture
async def engine(
    postgres_server: PostgresServer, postgres_database: str
) -> AsyncIterator[AsyncEngine]:
    url = postgres_server.url(postgres_database).replace("postgresql:", "postgresql+asyncpg:")
    engine = create_async_engine(url)
    yield engine
    await engine.dispose()


async def test_what_is_committed_runs_once_and_what_is_rolled_back_never(
    harness: WorkerHarness, connection: Any
) -> None:
    transaction = connection.transaction()
    await transaction.start()
    await aio.sql.enqueue(connection, Job(TYPE, 1, id="phantom"))
    await transaction.rollback()
    async with connection.transaction():
        await aio.sql.enqueue(connection, Job(TYPE, 1, id="a"), aio.Job(TYPE, 2, id="b"))
    harness.start()
    await until("both ran", lambda: len(ran) == 2)
    await harness.stop()
    assert sorted(ran) == ["a", "b"]
    assert await harness.details(["phantom"]) == []
    assert await harness.engines.database.outbox.waiting(9) == []


@pytest.mark.parametrize("form", ["connection", "session", "blocking connection"])
async def test_sqlalchemy_has_the_same_in_each_form(
    harness: WorkerHarness, engine: AsyncEngine, form: str
) -> None:
    async def add(caller: AsyncConnection | AsyncSession, job_id: str) -> None:
        if form == "blocking connection":
            await caller.run_sync(lambda blocking: sql.enqueue(blocking, Job(TYPE, 1, id=job_id)))
        else:
            await aio.sql.enqueue(caller, Job(TYPE, 1, id=job_id))

    opened = AsyncSession(engine) if form == "session" else engine.connect()
    async with opened as caller:
        await add(caller, "rolled-back")
        await caller.rollback()
        await add(caller, "committed")
        await caller.commit()
    harness.start()
    await until("it ran", lambda: ran == ["committed"])
    await harness.stop()
    assert ran == ["committed"]


@asynccontextmanager
async def relaying(harness: WorkerHarness) -> AsyncIterator[OutboxRelay]:
    """Run a relay that would poll once an hour, and wait until it has begun to listen."""
    engines = harness.engines
    relay = OutboxRelay(engines.database.outbox, engines.bus, engines.broker)
    relay._interval_seconds = 3600.0
    running = asyncio.create_task(relay.run())
    await until("it listens", lambda: listener_of(harness) is not None)
    yield relay
    relay.stop()
    await running


def listener_of(harness: WorkerHarness) -> Any:
    """Return the connection on which the database's engine listens."""
    database: Any = harness.engines.database
    return database._engine._listener._connection


async def arrives(harness: WorkerHarness, job_id: str) -> None:
    """Wait until the broker has a job."""
    await until(f"job {job_id} is known", lambda: harness.details([job_id]))


async def test_a_relay_is_told_of_a_commit_and_need_not_poll(
    harness: WorkerHarness, connection: Any
) -> None:
    async with relaying(harness):
        for job_id in ("first", "second"):
            async with connection.transaction():
                await aio.sql.enqueue(connection, Job(TYPE, 1, id=job_id))
            await arrives(harness, job_id)


async def test_a_lost_listening_connection_is_opened_again_by_the_next_round(
    harness: WorkerHarness, connection: Any
) -> None:
    async with relaying(harness) as relay:
        lost = listener_of(harness)
        await connection.fetch("select pg_terminate_backend($1)", lost.get_server_pid())
        await until("the end is known", lost.is_closed)
        relay.wake()
        await until("it listens again", lambda: listener_of(harness) is not lost)
        async with connection.transaction():
            await aio.sql.enqueue(connection, Job(TYPE, 1, id="afterwards"))
        await arrives(harness, "afterwards")


async def test_nothing_is_lost_and_nothing_is_a_phantom_while_workers_come_and_go(
    harness: WorkerHarness, postgres_server: PostgresServer, postgres_database: str
) -> None:
    random.seed(7)
    committed: set[str] = set()

    async def produce(name: str) -> None:
        connection = await postgres_server.connect(postgres_database)
        for number in range(50):
            job_id = f"{name}-{number}"
            transaction = connection.transaction()
            await transaction.start()
            await aio.sql.enqueue(connection, Job(TYPE, number, id=job_id))
            if random.random() < 0.5:
                await transaction.rollback()
            else:
                await transaction.commit()
                committed.add(job_id)
        await connection.close()

    async def come_and_go() -> None:
        for _ in range(5):
            worker = harness.start()
            await asyncio.sleep(0)
            worker.stop()
            await harness.ended(worker)

    await asyncio.gather(produce("p"), produce("q"), come_and_go())
    harness.start()
    await until("all have run", lambda: len(set(ran)) >= len(committed))
    await harness.stop()
    assert set(ran) == committed
    assert await harness.engines.database.outbox.waiting(9) == []


async def test_a_connection_without_a_transaction_is_refused(connection: Any) -> None:
    with pytest.raises(BadInput, match="is in no transaction"):
        await aio.sql.enqueue(connection, Job(TYPE, 1))


async def test_a_connection_that_does_not_see_our_tables_is_refused(connection: Any) -> None:
    await connection.execute("set search_path to pg_catalog")
    async with connection.transaction():
        with pytest.raises(SchemaMismatch, match="sees no tables of hms-svc"):
            await aio.sql.enqueue(connection, Job(TYPE, 1))
        assert await connection.fetchval("select 1") == 1


async def test_a_schema_that_this_program_does_not_support_is_refused(connection: Any) -> None:
    async with connection.transaction():
        await connection.execute("update hms_svc_version set version_num = '9999'")
        await connection.execute("update schema_info set oldest_program = '9999'")
        with pytest.raises(SchemaMismatch, match="use a newer hms-svc"):
            await aio.sql.enqueue(connection, Job(TYPE, 1))


async def test_each_form_names_what_it_takes(connection: Any, engine: AsyncEngine) -> None:
    with pytest.raises(BadInput, match=r"await hms_svc\.aio\.sql\.enqueue"):
        sql.enqueue(connection, Job(TYPE, 1))
    async with engine.connect() as caller:
        with pytest.raises(BadInput, match=r"await hms_svc\.aio\.sql\.enqueue"):
            sql.enqueue(caller, Job(TYPE, 1))
    with closing(sqlite3.connect(":memory:")) as embedded:
        with pytest.raises(
            BadInput, match=r"not sqlite3\.Connection: on SQLite, hms_svc\.sql\.transaction"
        ):
            sql.enqueue(embedded, Job(TYPE, 1))
        with pytest.raises(
            BadInput, match=r"not sqlite3\.Connection: on SQLite, hms_svc\.sql\.transaction"
        ):
            await aio.sql.enqueue(embedded, Job(TYPE, 1))
    async with connection.transaction():
        with pytest.raises(BadInput, match=r"expected hms_svc\.Job, got str"):
            await aio.sql.enqueue(connection, "job")  # type: ignore[arg-type]  # that is the point
