"""What only the database of a fleet has: locks between machines, relays side by side, one migration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, Inspector, Table, UniqueConstraint, inspect

from hms_svc.domain.errors import BadInput, BadSetting, DatabaseUnavailable, SchemaMismatch
from hms_svc.persistence import schema
from hms_svc.persistence.database import SqlDatabase
from hms_svc.persistence.postgres_engine import PostgresEngine
from hms_svc.persistence.postgres_locks import MOST_PLACES
from hms_svc.persistence.tables import METADATA
from hms_svc.ports.stores import OutboxEntry, RefusedEffect, ReportCount, StoredEffect
from tests.support.database_engines import HandClock, Opener, PostgresSite
from tests.support.database_requests import HOUR, NOON, effect, publish_nothing
from tests.support.postgres_server import PostgresServer

EngineMaker: TypeAlias = Callable[[], Awaitable[PostgresEngine]]
FEW = [3, 5, 8]
MANY = list(range(5, 5 + MOST_PLACES + 1))


@pytest.fixture
def site(postgres_server: PostgresServer, postgres_database: str) -> PostgresSite:
    return PostgresSite(postgres_server, postgres_database)


@pytest.fixture
async def engine(site: PostgresSite) -> AsyncIterator[EngineMaker]:
    """Open an engine, as another process would."""
    opened: list[PostgresEngine] = []

    async def open_one() -> PostgresEngine:
        one = site.engine()
        opened.append(one)
        await one.open()
        return one

    yield open_one
    for one in opened:
        await one.close()


@asynccontextmanager
async def locked(engine: PostgresEngine, numbers: Sequence[int]) -> AsyncIterator[None]:
    """Hold locks in an open transaction."""
    has_them, let_go = asyncio.Event(), asyncio.Event()

    def take(on: Connection) -> list[int]:
        engine.lock(on, numbers)
        return [*numbers]

    async def hold(_numbers: list[int]) -> None:
        has_them.set()
        await let_go.wait()

    holding = asyncio.create_task(engine.relay(take, hold, lambda _on, _numbers: None))
    try:
        await has_them.wait()
        yield
    finally:
        let_go.set()
        await holding


def locking(engine: PostgresEngine, numbers: Sequence[int]) -> asyncio.Task[None]:
    return asyncio.create_task(engine.write(lambda on: engine.lock(on, numbers)))


@pytest.mark.parametrize(
    ("held", "wanted"), [(FEW, [5]), (FEW, [1, 8]), (FEW, MANY), (MANY, FEW), (MANY, MANY)]
)
async def test_who_wants_a_number_that_is_locked_waits(
    engine: EngineMaker, site: PostgresSite, held: list[int], wanted: list[int]
) -> None:
    async with locked(await engine(), held):
        waiting = locking(await engine(), wanted)
        await site.until_blocked()
        assert not waiting.done()
    await waiting


@pytest.mark.parametrize("wanted", [[4], [-1], []])
async def test_who_wants_other_numbers_goes_on(engine: EngineMaker, wanted: list[int]) -> None:
    async with locked(await engine(), FEW):
        await locking(await engine(), wanted)


async def test_another_schema_of_the_same_database_has_locks_of_its_own(
    engine: EngineMaker, site: PostgresSite
) -> None:
    await site.tamper("CREATE SCHEMA another_city")
    elsewhere = site.engine(search_path="another_city")
    await elsewhere.open()
    async with locked(await engine(), FEW):
        await locking(elsewhere, FEW)
    await elsewhere.close()


async def test_locks_in_any_number_are_taken_without_a_deadlock(engine: EngineMaker) -> None:
    engines = [await engine() for _ in range(4)]
    sets = [sorted({(7 * n + step * n) % 40 for step in range(9)}) for n in range(1, 60)]
    sets[20] = MANY
    await asyncio.gather(*(locking(engines[n % 4], numbers) for n, numbers in enumerate(sets)))


async def test_groups_that_overlap_in_opposite_order_open_one_case_a_place(
    another: Opener,
) -> None:
    racers = [await another() for _ in range(4)]
    places = list(range(0, 2_000, 40))
    groups = [
        [
            effect(f"job-{turn}-{north}", north_m=north)
            for north in (places if turn % 2 else reversed(places))
        ]
        for turn in range(16)
    ]
    calls = [racers[turn % 4].effects.commit(group) for turn, group in enumerate(groups)]
    answers = [answer for group in await asyncio.gather(*calls) for answer in group]
    winners = {answer.case_id for answer in answers if isinstance(answer, StoredEffect)}
    named = {answer.case_id for answer in answers if isinstance(answer, RefusedEffect)}
    assert len(winners) == len(places)
    assert named == winners


async def test_one_key_from_outside_of_any_job_is_one_case_however_many_race(
    another: Opener,
) -> None:
    racers = [await another() for _ in range(4)]
    request = effect("outside:fair", fence=0, placed=False)
    answers = await asyncio.gather(*(racers[n % 4].effects.commit([request]) for n in range(40)))
    assert sum(isinstance(one, StoredEffect) and one.fresh for (one,) in answers) == 1
    assert len(await racers[0].outbox.waiting(10)) == 1


async def test_no_more_reports_than_allowed_see_a_small_count(another: Opener) -> None:
    racers = [await another() for _ in range(4)]
    calls = [
        racers[n % 4].reports.count([ReportCount("u", f"job-{n}", NOON, NOON - HOUR)])
        for n in range(80)
    ]
    counts = [count for (count,) in await asyncio.gather(*calls)]
    assert max(counts) == 80
    assert all(sum(count <= limit for count in counts) <= limit for limit in range(1, 81))


async def test_a_zombie_waits_for_a_newer_claim_and_writes_nothing(
    engine: EngineMaker, another: Opener, site: PostgresSite
) -> None:
    """The newer claim has shown its fence in a transaction that is still open."""
    zombie, connection = await another(), await site.server.connect(site.name)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("INSERT INTO job_fences (job_id, fence, at) VALUES ('a', 9, 0)")
    writing = asyncio.create_task(zombie.effects.commit([effect("a", fence=8)]))
    await site.until_blocked()
    await transaction.commit()
    await connection.close()
    assert await writing == [RefusedEffect("fence")]


async def test_two_relays_share_the_rows(another: Opener) -> None:
    first, second = await another(), await another()
    await first.effects.commit([effect(f"job-{n}", placed=False) for n in range(4)])
    carried: list[list[int]] = []

    async def carry(entries: Sequence[OutboxEntry]) -> None:
        carried.append([entry.number for entry in entries])
        if len(carried) == 1:
            assert await second.outbox.relay(10, carry) == 2

    assert await first.outbox.relay(2, carry) == 2
    assert carried == [[1, 2], [3, 4]]
    assert await first.outbox.relay(10, carry) == 0
    assert await first.outbox.waiting(10) == []


async def test_rows_in_hand_are_still_seen_as_waiting(another: Opener) -> None:
    """Whoever drains must not leave while another process has yet to publish."""
    first, second = await another(), await another()
    await first.effects.commit([effect("a")])
    seen: list[OutboxEntry] = []

    async def carry(_entries: Sequence[OutboxEntry]) -> None:
        seen.extend(await second.outbox.waiting(1))

    await first.outbox.relay(10, carry)
    assert len(seen) == 1


async def test_rows_whose_delivery_failed_are_delivered_by_the_next(another: Opener) -> None:
    first, second = await another(), await another()
    await first.effects.commit([effect("a")])
    carried: list[OutboxEntry] = []

    async def fail(_entries: Sequence[OutboxEntry]) -> None:
        raise KeyError("the bus is full")

    async def carry(entries: Sequence[OutboxEntry]) -> None:
        carried.extend(entries)

    with pytest.raises(KeyError):
        await first.outbox.relay(10, fail)
    assert await second.outbox.relay(10, carry) == len(carried) == 1


async def test_a_row_that_commits_late_is_published_and_sealed(
    another: Opener, site: PostgresSite
) -> None:
    """Numbers are given at once, and seen at COMMIT: never 'those above the last'."""
    database, connection = await another(), await site.server.connect(site.name)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(
        "INSERT INTO outbox (kind, id, type, subject, at, data)"
        " VALUES ('event', 'late', 'case.opened', 'late', 0, '')"
    )
    await connection.execute(
        "INSERT INTO audit (at, actor, action, subject, detail) VALUES (0, 'a', 'b', 'late', '')"
    )
    await database.effects.commit([effect("early")])
    await database.outbox.relay(10, publish_nothing)
    await database.audit.seal()
    await transaction.commit()
    await connection.close()
    (late,) = await database.outbox.waiting(10)
    head = await database.audit.seal()
    links = {row.link: row.number for row in await database.audit.records(limit=0, cursor=None)}
    assert late.number == 1
    assert links == {1: 2, 2: 1}
    chain = await database.audit.verify([])
    assert (chain.faults, (chain.link, chain.digest)) == ((), head)


async def test_sealers_at_the_same_moment_make_one_chain(another: Opener) -> None:
    sealers = [await another() for _ in range(4)]
    for turn in range(5):
        await sealers[0].effects.commit([effect(f"{turn}-{n}", placed=False) for n in range(20)])
        heads = await asyncio.gather(*(sealer.audit.seal() for sealer in sealers))
        assert [head[0] for head in heads if head] == [(turn + 1) * 20]
    assert (await sealers[0].audit.verify([])).faults == ()


def shape_of(found: Inspector, table: str) -> tuple[object, ...]:
    columns = {(column["name"], column["nullable"]) for column in found.get_columns(table)}
    indexes = [one for one in found.get_indexes(table) if "duplicates_constraint" not in one]
    uniques = {tuple(one["column_names"]) for one in found.get_unique_constraints(table)}
    key = tuple(found.get_pk_constraint(table)["constrained_columns"])
    return columns, {one["name"] for one in indexes}, uniques, key


def shape_known_of(table: Table) -> tuple[object, ...]:
    columns = {(column.name, column.nullable) for column in table.columns}
    named = [one for one in table.constraints if isinstance(one, UniqueConstraint)]
    uniques = {tuple(column.name for column in one.columns) for one in named}
    indexes = {index.name for index in table.indexes}
    return columns, indexes, uniques, tuple(column.name for column in table.primary_key)


async def test_migrating_leads_to_the_tables_that_the_program_knows(engine: EngineMaker) -> None:
    def shapes(on: Connection) -> dict[str, object]:
        found = inspect(on)
        tables = [table for table in found.get_table_names() if table != "hms_svc_version"]
        return {table: shape_of(found, table) for table in tables}

    migrated = await (await engine()).read(shapes)
    assert migrated == {name: shape_known_of(table) for name, table in METADATA.tables.items()}


async def test_many_who_migrate_at_once_do_it_once(
    postgres_server: PostgresServer, bare_database: str, clock: HandClock
) -> None:
    address = postgres_server.address(bare_database)
    fleet = [SqlDatabase(PostgresEngine(address), clock) for _ in range(5)]
    assert await asyncio.gather(*(one.migrate() for one in fleet)) == [schema.HEAD] * 5
    rows = await postgres_server.fetch(bare_database, "SELECT version_num FROM hms_svc_version")
    assert rows == [(schema.HEAD,)]


async def test_a_database_without_our_schema_is_refused_at_the_start(
    postgres_server: PostgresServer, bare_database: str, clock: HandClock
) -> None:
    one = SqlDatabase(PostgresEngine(postgres_server.address(bare_database)), clock)
    with pytest.raises(SchemaMismatch, match=r"schema none.*hms-svc db migrate"):
        await one.open()


async def test_the_first_schema_is_refused_at_the_start_and_brought_up(
    another: Opener, site: PostgresSite
) -> None:
    await site.tamper("DROP TABLE schema_info, tokens, accepted_keys, job_effects")
    await site.tamper("DROP INDEX job_fences_by_fence")
    await site.tamper("UPDATE hms_svc_version SET version_num = '0001'")
    with pytest.raises(SchemaMismatch, match=r"0001.*hms-svc db migrate"):
        await another()
    await SqlDatabase(site.engine(), HandClock()).migrate()
    assert (await (await another()).health()).ok


async def test_tables_of_somebody_else_are_left_alone(
    postgres_server: PostgresServer, bare_database: str, clock: HandClock
) -> None:
    await postgres_server.execute(bare_database, "CREATE TABLE theirs (a int)")
    one = SqlDatabase(PostgresEngine(postgres_server.address(bare_database)), clock)
    await postgres_server.execute(bare_database, "CREATE TABLE cases (a int)")
    with pytest.raises(SchemaMismatch, match=r"needs: cases\. .*\?search_path="):
        await one.migrate()
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    assert await postgres_server.fetch(bare_database, tables) == [("theirs",), ("cases",)]


async def test_an_application_and_its_alembic_share_the_database(
    postgres_server: PostgresServer, bare_database: str, clock: HandClock
) -> None:
    theirs = (
        "CREATE TABLE alembic_version (version_num text CONSTRAINT alembic_version_pkc PRIMARY KEY)"
    )
    await postgres_server.execute(bare_database, theirs)
    await postgres_server.execute(bare_database, "INSERT INTO alembic_version VALUES ('0003')")
    one = SqlDatabase(PostgresEngine(postgres_server.address(bare_database)), clock)
    assert await one.migrate() == schema.HEAD
    found = "SELECT version_num FROM alembic_version"
    assert await postgres_server.fetch(bare_database, found) == [("0003",)]
    await one.open()
    assert (await one.health()).ok
    await one.close()


async def test_a_schema_of_its_own_is_the_way_out(
    postgres_server: PostgresServer, bare_database: str, clock: HandClock
) -> None:
    await postgres_server.execute(bare_database, "CREATE TABLE cases (theirs int)")
    await postgres_server.execute(bare_database, "CREATE SCHEMA hms")
    address = replace(postgres_server.address(bare_database), search_path="hms,public")
    one = SqlDatabase(PostgresEngine(address), clock)
    assert await one.migrate() == schema.HEAD
    await one.open()
    await one.effects.commit([effect("a")])
    await one.close()
    count = "SELECT (SELECT count(*) FROM hms.cases), (SELECT count(*) FROM public.cases)"
    assert await postgres_server.fetch(bare_database, count) == [(1, 0)]


async def test_the_version_moves_to_a_table_of_its_own(another: Opener, site: PostgresSite) -> None:
    await site.tamper("DROP TABLE job_effects, hms_svc_version")
    await site.tamper(
        "CREATE TABLE alembic_version (version_num text CONSTRAINT alembic_version_pkc PRIMARY KEY)"
    )
    await site.tamper("INSERT INTO alembic_version VALUES ('0003')")
    with pytest.raises(SchemaMismatch, match=r"0003.*hms-svc db migrate"):
        await another()
    await SqlDatabase(site.engine(), HandClock()).migrate()
    assert (await (await another()).health()).ok
    # An application's Alembic can make its own table, with its constraint.
    await site.tamper(
        "CREATE TABLE alembic_version (version_num text CONSTRAINT alembic_version_pkc PRIMARY KEY)"
    )


async def test_a_backup_is_left_to_the_server(database: SqlDatabase) -> None:
    with pytest.raises(BadInput, match="pg_dump"):
        await database.backup("/nowhere")


async def test_a_database_that_forgets_commits_is_told_to_keep_them(
    engine: EngineMaker, site: PostgresSite
) -> None:
    await site.tamper(f"ALTER DATABASE {site.name} SET synchronous_commit = off")
    one = await engine()
    setting = await one.write(lambda on: on.exec_driver_sql("SHOW synchronous_commit").scalar())
    assert setting == "on"


async def test_a_search_path_to_nowhere_is_refused(site: PostgresSite) -> None:
    with pytest.raises(BadSetting, match="search_path"):
        await site.engine(search_path="nowhere").open()


async def test_a_database_that_only_reads_is_an_outage(
    database: SqlDatabase, site: PostgresSite
) -> None:
    await site.tamper(f"ALTER DATABASE {site.name} SET default_transaction_read_only = on")
    await site.end_connections()
    with pytest.raises(DatabaseUnavailable, match="read-only"):
        await database.effects.commit([effect("a")])
