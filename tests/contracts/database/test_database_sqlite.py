"""What only the embedded database has: its file, its migrations, its backup."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import pytest
from sqlalchemy import Connection, bindparam, column, insert, select, table

from hms_svc.domain.errors import BadInput, DatabaseUnavailable, SchemaMismatch
from hms_svc.domain.ids import case_id
from hms_svc.persistence import schema
from hms_svc.persistence.borrowed_connection import borrow
from hms_svc.persistence.database import SqlDatabase
from hms_svc.persistence.fences import raise_fences
from hms_svc.persistence.sqlite_engine import SQLiteEngine
from hms_svc.persistence.statements import Bulk, Query, insert_rows
from hms_svc.persistence.tables import outbox
from hms_svc.ports.database import DatabaseHealth
from hms_svc.ports.stores import StoredEffect
from hms_svc.sqlite.file import SQLiteFile
from tests.support.database_engines import HandClock, Opener, Site, SQLiteSite
from tests.support.database_requests import effect

Result = TypeVar("Result")
INNOCENT: Final = Bulk(lambda _: insert(table("others", column("id"))), ["id"])
GUILTY: Final = Bulk(lambda _: insert(table("child", column("parent"))), ["parent"])


@pytest.fixture
def site(path: Path) -> Site:
    return SQLiteSite(path)


def tables_of(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {name: " ".join(sql.split()) for name, sql in rows}


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


async def test_migrating_leads_to_the_tables_that_a_new_file_gets(
    another: Opener, path: Path, tmp_path: Path
) -> None:
    await another()
    engine = SQLiteEngine(SQLiteFile(tmp_path / "100% migrated.db"))
    await engine.open()
    await engine.write(schema.upgrade)
    assert (await engine.read(schema.read_version)).revision == schema.HEAD
    await engine.close()
    migrated = tables_of(tmp_path / "100% migrated.db")
    made = tables_of(path)
    assert made.pop("hms_svc_version")
    assert migrated.pop("hms_svc_version")
    assert migrated == made


LATER_TABLES = ("schema_info", "tokens", "accepted_keys", "job_effects")


async def test_a_file_of_the_first_version_is_brought_up(another: Opener, path: Path) -> None:
    await (await another()).close()
    later = [f"DROP TABLE {name}" for name in LATER_TABLES]
    execute(path, *later, "UPDATE hms_svc_version SET version_num = '0001'")
    assert (await (await another()).health()).ok
    with closing(sqlite3.connect(path)) as connection:
        served = connection.execute("SELECT oldest_program FROM schema_info").fetchall()
    assert served == [(schema.OLDEST_PROGRAM,)]


async def test_a_migration_that_fails_backs_out_whole(tmp_path: Path) -> None:
    file = tmp_path / "half.db"
    execute(file, "CREATE TABLE analytics_totals (mine)")
    engine = SQLiteEngine(SQLiteFile(file))
    await engine.open()
    with pytest.raises(DatabaseUnavailable, match="already exists"):
        await engine.write(schema.upgrade)
    await engine.close()
    assert list(tables_of(file)) == ["analytics_totals"]


async def test_a_second_open_finds_what_the_first_wrote(another: Opener) -> None:
    first = await another()
    await first.effects.commit([effect("a")])
    await first.close()
    second = await another()
    assert await second.cases.get(case_id("a", "")) == effect("a").case
    assert await second.migrate() == schema.HEAD


async def test_a_database_that_was_closed_can_be_opened_again(database: SqlDatabase) -> None:
    await database.close()
    await database.open()
    assert isinstance((await database.effects.commit([effect("a")]))[0], StoredEffect)


async def test_two_who_open_a_new_file_at_once_share_it(another: Opener) -> None:
    first, second = await asyncio.gather(another(), another())
    await first.effects.commit([effect("a")])
    assert await second.cases.get(case_id("a", "")) == effect("a").case


async def test_reads_that_are_called_off_leave_the_readers_usable(database: SqlDatabase) -> None:
    for turns in range(40):
        task = asyncio.create_task(database.outbox.waiting(1))
        for _ in range(turns % 20):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await asyncio.gather(*(database.outbox.waiting(1) for _ in range(8))) == [[]] * 8


async def test_a_newer_schema_is_refused_and_left_alone(another: Opener, path: Path) -> None:
    await (await another()).close()
    execute(path, "UPDATE hms_svc_version SET version_num = '9999'")
    execute(path, "UPDATE schema_info SET oldest_program = '9999'")
    before = tables_of(path)
    with pytest.raises(SchemaMismatch, match=r"9999.*newer hms-svc"):
        await another()
    assert tables_of(path) == before


async def test_a_file_of_somebody_else_is_refused(another: Opener, path: Path) -> None:
    execute(path, "CREATE TABLE theirs (a)")
    with pytest.raises(SchemaMismatch, match="tables of another program"):
        await another()
    assert list(tables_of(path)) == ["theirs"]


async def test_a_file_that_is_no_database_is_unavailable(another: Opener, path: Path) -> None:
    await asyncio.to_thread(path.write_bytes, b"no database, but as long as a header " * 9)
    with pytest.raises(DatabaseUnavailable, match="not a database"):
        await another()


async def test_health_tells_what_is_amiss(database: SqlDatabase) -> None:
    found = await database.health()
    assert found.capacity is not None
    assert found.capacity.limit > found.capacity.used > 0
    assert found == DatabaseHealth(
        "sqlite", ok=True, round_trip_ms=found.round_trip_ms, capacity=found.capacity
    )
    await database.close()
    health = await database.health()
    assert not health.ok
    assert "not open" in health.notes[0]


@pytest.fixture
async def engine(path: Path) -> AsyncIterator[SQLiteEngine]:
    engine = SQLiteEngine(SQLiteFile(path))
    await engine.open()
    await engine.write(schema.upgrade)
    yield engine
    await engine.close()


async def test_a_value_that_a_table_refuses_is_no_outage(engine: SQLiteEngine) -> None:
    """An outage would be reported to all callers of the batch; this fault only to its own."""
    insertion = insert_rows(outbox, "kind", "id", "type", "subject", "at", "data")
    with pytest.raises(sqlite3.IntegrityError, match=r"outbox\.kind"):
        await engine.write(lambda on: insertion.run(on, [(None, "e-1", "t", "s", 1, b"")]))


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (sqlite3.DataError("too big"), sqlite3.DataError),
        (sqlite3.NotSupportedError("no such feature"), sqlite3.NotSupportedError),
        (sqlite3.ProgrammingError("type object is not supported"), sqlite3.ProgrammingError),
        (sqlite3.OperationalError("disk full"), DatabaseUnavailable),
        (sqlite3.DatabaseError("file is not a database"), DatabaseUnavailable),
    ],
    ids=repr,
)
async def test_only_errors_that_a_repetition_may_mend_are_outages(
    engine: SQLiteEngine, raised: Exception, expected: type[Exception]
) -> None:
    def fail(_: Connection) -> None:
        raise raised

    with pytest.raises(expected, match=str(raised)):
        await engine.write(fail)


async def test_a_commit_that_one_of_many_made_impossible_is_an_error_of_that_one(
    engine: SQLiteEngine, path: Path
) -> None:
    execute(
        path,
        "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
        "CREATE TABLE child (parent REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TABLE others (id)",
    )

    async def all_at_once() -> list[object]:
        begun, may_end = threading.Event(), threading.Event()

        def occupy(_: Connection) -> None:
            begun.set()
            may_end.wait()

        occupied = asyncio.create_task(engine.write(occupy))
        await asyncio.to_thread(begun.wait)
        calls = [
            asyncio.create_task(engine.write(partial(statement.run, rows=[(number,)])))
            for number, statement in enumerate((INNOCENT, GUILTY, INNOCENT))
        ]
        await asyncio.sleep(0)
        may_end.set()
        await occupied
        return list(await asyncio.gather(*calls, return_exceptions=True))

    answers = await all_at_once()
    assert [type(answer) for answer in answers] == [list, sqlite3.IntegrityError, list]


def test_a_query_takes_each_of_its_parameters() -> None:
    numbered = Query(select(outbox.c.id).where(outbox.c.number == bindparam("number")))
    chosen = Query(select(bindparam("chosen", 5)))
    with closing(sqlite3.connect(":memory:")) as owned:
        connection = borrow(owned)
        with pytest.raises(KeyError, match="number"):
            numbered.run(connection, name=1)
        assert [chosen.run(connection), chosen.run(connection, chosen=7)] == [[(5,)], [(7,)]]


async def test_a_fence_that_does_not_rise_is_not_written(engine: SQLiteEngine, path: Path) -> None:
    await engine.write(lambda on: raise_fences(on, [("a", 5), ("b", 5)], 1_000))
    found = await engine.write(lambda on: raise_fences(on, [("a", 5), ("b", 3), ("c", 1)], 2_000))
    assert found == {"a": 5, "b": 5, "c": 1}
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT job_id, fence, at FROM job_fences ORDER BY job_id")
        assert rows.fetchall() == [("a", 5, 1_000), ("b", 5, 1_000), ("c", 1, 2_000)]


async def test_a_message_that_cannot_be_read_does_not_keep_the_log_from_its_reset(
    database: SqlDatabase, path: Path
) -> None:
    await database.effects.commit([effect(f"job-{n}", north_m=n * 100) for n in range(50)])
    execute(path, "UPDATE outbox SET kind = 'job', data = x'7b' WHERE number = 1")
    with pytest.raises(msgspec.DecodeError) as kept:
        await database.outbox.waiting(50)
    await database.effects.recall([("job-1", 2)])
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0), kept


async def test_a_closed_database_is_unavailable(database: SqlDatabase) -> None:
    await database.close()
    await database.close()
    with pytest.raises(DatabaseUnavailable):
        await database.effects.commit([effect("a")])
    with pytest.raises(DatabaseUnavailable):
        await database.outbox.waiting(1)


async def test_a_reader_cannot_write(path: Path, database: SqlDatabase) -> None:
    engine = SQLiteEngine(SQLiteFile(path))
    await engine.open()
    with pytest.raises(DatabaseUnavailable, match="readonly"):
        await engine.read(lambda on: on.exec_driver_sql("DELETE FROM cases"))
    await engine.close()


async def test_a_read_that_has_returned_lets_the_log_be_reset(
    database: SqlDatabase, path: Path
) -> None:
    await database.effects.commit([effect("a")])
    await database.cases.page(status=None, kind=None, limit=1, cursor=None)
    await database.cases.near([])
    with closing(sqlite3.connect(path)) as connection:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert busy == 0


async def test_a_backup_is_a_database_of_its_own(
    database: SqlDatabase, tmp_path: Path, clock: HandClock
) -> None:
    await database.effects.commit([effect("a")])
    copy = tmp_path / "copy.db"
    await database.backup(str(copy))
    await database.effects.commit([effect("b", north_m=100)])
    assert copy.stat().st_mode & 0o077 == 0
    restored = SqlDatabase(SQLiteEngine(SQLiteFile(copy)), clock)
    await restored.open()
    listed, _ = await restored.cases.page(status=None, kind=None, limit=0, cursor=None)
    await restored.close()
    assert [case.job_id for case in listed] == ["a"]


async def test_a_backup_never_overwrites(database: SqlDatabase, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_text("precious")
    with pytest.raises(BadInput, match="new file"):
        await database.backup(str(copy))
    assert copy.read_text() == "precious"


async def test_a_backup_into_a_folder_that_is_not_there_is_bad_input(
    database: SqlDatabase, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="No such file"):
        await database.backup(str(tmp_path / "none" / "copy.db"))


class ForgetfulFile(SQLiteFile):
    """Commits, and loses the answer once: nobody knows whether the commit happened."""

    forgets = False

    async def write(self, function: Callable[[sqlite3.Connection], Result]) -> Result:
        answer = await super().write(function)
        if self.forgets:
            self.forgets = False
            raise sqlite3.OperationalError("disk I/O error")
        return answer


async def test_after_an_unknown_commit_the_same_group_may_be_handed_in_again(
    path: Path, clock: HandClock
) -> None:
    file = ForgetfulFile(path)
    database = SqlDatabase(SQLiteEngine(file), clock)
    await database.open()
    group = [effect("a"), effect("b", north_m=100)]
    file.forgets = True
    with pytest.raises(DatabaseUnavailable, match="disk I/O error"):
        await database.effects.commit(group)
    again = await database.effects.commit(group)
    assert [isinstance(answer, StoredEffect) and not answer.fresh for answer in again] == [True] * 2
    assert len(await database.outbox.waiting(10)) == 2
    await database.close()


async def test_groups_that_wait_together_share_one_commit(path: Path, clock: HandClock) -> None:
    file = SQLiteFile(path)
    database = SqlDatabase(SQLiteEngine(file), clock)
    await database.open()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        before = file.commits
        calls = [
            asyncio.create_task(database.effects.commit([effect(f"job-{n}", north_m=n * 10)]))
            for n in range(20)
        ]
        await asyncio.sleep(0)
        other.execute("COMMIT")
    answers = await asyncio.gather(*calls)
    assert file.commits - before <= 2
    assert sum(isinstance(answer, StoredEffect) for (answer,) in answers) == 7
    await database.close()
