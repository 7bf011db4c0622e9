"""A fleet's database that goes away, says nothing, or ends a connection at the worst moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, ProgrammingError

from hms_svc.domain.errors import DatabaseUnavailable
from hms_svc.domain.views import AuditRecord
from hms_svc.persistence.database import SqlDatabase
from hms_svc.persistence.postgres_engine import PostgresEngine
from hms_svc.persistence.schema import OLDEST_PROGRAM
from hms_svc.ports.stores import OutboxEntry, PlaceQuery, ReportCount, StoredEffect
from tests.support.database_engines import HandClock, PostgresSite
from tests.support.database_requests import LAT, LON, NOON, RADIUS_M, effect
from tests.support.postgres_server import PostgresServer
from tests.support.proxy import Proxy

RECORD = AuditRecord(at=NOON, actor="ada", action="job.retried", subject="a", detail=b"{}")


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


async def counts(site: PostgresSite) -> tuple[int, int, int]:
    """Count cases, audit records and outgoing events, without those of the warming up."""
    query = "SELECT (SELECT count(*) FROM cases), (SELECT count(*) FROM audit), (SELECT count(*) FROM outbox)"
    ((cases, audit, outbox),) = await site.server.fetch(site.name, query)
    return cases - 1, audit - 1, outbox - 1


CUTS: dict[str, Callable[[Proxy, bytes], None]] = {
    "before": lambda proxy, words: proxy.cut_before(matching=words),
    "after the reply": lambda proxy, words: proxy.cut_after_reply(matching=words),
    "inside the reply": lambda proxy, words: proxy.cut_inside_reply(matching=words),
}


@pytest.mark.parametrize("words", [b"BEGIN", b"COMMIT;"])
@pytest.mark.parametrize("cut", CUTS)
async def test_a_connection_cut_around_a_transaction_leaves_one_case(
    database: SqlDatabase, proxy: Proxy, site: PostgresSite, cut: str, words: bytes
) -> None:
    CUTS[cut](proxy, words)
    answers = await database.effects.commit([effect("a"), effect("b", north_m=100)])
    assert all(isinstance(answer, StoredEffect) for answer in answers)
    assert not proxy.armed
    assert await counts(site) == (2, 2, 2)


@pytest.mark.parametrize("nth", range(1, 8))
async def test_a_connection_cut_at_any_request_of_a_group_leaves_one_case(
    database: SqlDatabase, proxy: Proxy, site: PostgresSite, nth: int
) -> None:
    proxy.cut_after_reply(nth)
    await database.effects.commit([effect("a")])
    assert await counts(site) == (1, 1, 1)


async def test_after_an_unknown_commit_the_effect_is_answered_as_it_stands(
    database: SqlDatabase, proxy: Proxy
) -> None:
    proxy.cut_after_reply(matching=b"COMMIT;")
    (answer,) = await database.effects.commit([effect("a")])
    assert isinstance(answer, StoredEffect)
    assert not answer.fresh


@pytest.mark.parametrize(("cut", "rows"), [("before", 0), ("after the reply", 1)])
async def test_an_audit_record_is_not_repeated_after_an_unknown_commit(
    database: SqlDatabase, proxy: Proxy, site: PostgresSite, cut: str, rows: int
) -> None:
    """It has no key to be recognised by; whoever acts is told that nobody knows."""
    CUTS[cut](proxy, b"COMMIT;")
    with pytest.raises(DatabaseUnavailable):
        await database.audit.append([RECORD])
    assert await counts(site) == (0, rows, 0)


async def test_an_audit_record_is_repeated_before_its_commit(
    database: SqlDatabase, proxy: Proxy, site: PostgresSite
) -> None:
    proxy.cut_after_reply(matching=b"BEGIN")
    await database.audit.append([RECORD])
    assert await counts(site) == (0, 1, 0)


async def test_a_session_that_is_ended_inside_a_transaction_is_replaced(
    engine: PostgresEngine, site: PostgresSite
) -> None:
    turns: list[int] = []

    def end_the_first(on: Connection) -> int:
        turns.append(1)
        on.exec_driver_sql("CREATE TABLE IF NOT EXISTS mine (a int)")
        if len(turns) == 1:
            on.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
        return len(turns)

    assert await engine.write(end_the_first) == 2


async def test_sessions_that_were_ended_while_idle_are_not_noticed(
    database: SqlDatabase, site: PostgresSite
) -> None:
    await asyncio.gather(*(database.outbox.waiting(1) for _ in range(3)))
    await site.end_connections()
    answers = await asyncio.gather(
        *(database.effects.commit([effect(f"job-{n}", north_m=n * 100)]) for n in range(3))
    )
    assert all(isinstance(answer, StoredEffect) for (answer,) in answers)


async def test_the_victim_of_a_deadlock_tries_again(site: PostgresSite) -> None:
    """The one who waits last is the victim: the engine, once the other one waits for it."""
    engine, connection = site.engine(), await site.server.connect(site.name)
    await engine.open()
    turns: list[int] = []
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'cases'::regclass"

    def take_both(on: Connection) -> int:
        turns.append(1)
        on.exec_driver_sql("SET LOCAL deadlock_timeout = '20ms'")
        on.exec_driver_sql("LOCK TABLE cases")
        while len(turns) == 1 and not on.exec_driver_sql(waiting).scalar():
            pass
        on.exec_driver_sql("LOCK TABLE audit")
        return len(turns)

    async with connection.transaction():
        await connection.execute("LOCK TABLE audit")
        writing = asyncio.create_task(engine.write(take_both))
        await site.until("SELECT 1 FROM pg_locks WHERE granted AND relation = 'cases'::regclass")
        await connection.execute("LOCK TABLE cases")
    assert await writing == 2
    await connection.close()
    await engine.close()


async def test_our_own_mistakes_stay_ours(engine: PostgresEngine) -> None:
    with pytest.raises(ProgrammingError):
        await engine.write(lambda on: on.exec_driver_sql("SELEKT 1"))
    with pytest.raises(IntegrityError):
        await engine.write(
            lambda on: on.exec_driver_sql("INSERT INTO schema_info (oldest_program) VALUES (NULL)")
        )


async def test_a_key_that_stays_taken_is_our_own_mistake(engine: PostgresEngine) -> None:
    with pytest.raises(IntegrityError, match="schema_info"):
        await engine.write(
            lambda on: on.exec_driver_sql(
                f"INSERT INTO schema_info (oldest_program) VALUES ('{OLDEST_PROGRAM}')"
            )
        )


async def test_what_was_delivered_is_marked_although_its_locks_were_lost(
    database: SqlDatabase, proxy: Proxy
) -> None:
    delivered: list[int] = []

    async def deliver(entries: Sequence[OutboxEntry]) -> None:
        delivered.extend(entry.number for entry in entries)
        proxy.reset_all()

    assert await database.outbox.relay(10, deliver) == 1
    assert delivered == [1]
    assert await database.outbox.waiting(10) == []


async def test_calls_that_are_called_off_cross_no_answers(database: SqlDatabase) -> None:
    for turns in range(60):
        task = asyncio.create_task(database.outbox.waiting(1))
        for _ in range(turns % 30):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    answers = await asyncio.gather(*(database.cases.get(f"case-{n}") for n in range(8)))
    assert answers == [None] * 8


async def test_a_commit_whose_caller_has_gone_is_whole(
    database: SqlDatabase, engine: PostgresEngine, site: PostgresSite
) -> None:
    task = asyncio.create_task(database.effects.commit([effect("a")]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await engine.close()
    assert await counts(site) == (1, 1, 1)


@pytest.mark.parametrize("size", [1, 100])
async def test_round_trips_do_not_grow_with_the_group(
    database: SqlDatabase, proxy: Proxy, size: int
) -> None:
    async def trips(call: Callable[[list[str]], Awaitable[object]]) -> int:
        for turn in ("first", "second"):
            before = proxy.traffic
            await call([f"{turn}-{n}" for n in range(size)])
        return proxy.traffic.since(before).round_trips

    place = PlaceQuery("pothole", LAT, LON, RADIUS_M)
    effects = await trips(
        lambda jobs: database.effects.commit([effect(job, kind=job) for job in jobs])
    )
    near = await trips(lambda jobs: database.cases.near([place] * len(jobs)))
    recall = await trips(lambda jobs: database.effects.recall([(job, 2) for job in jobs]))
    reports = await trips(
        lambda jobs: database.reports.count([ReportCount(job, job, NOON, 0) for job in jobs])
    )
    assert (effects, near, recall, reports) == (7, 1, 2, 2)
