"""Transactions in which an application writes, too, on each database."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hms_svc.domain.errors import TransactionError
from hms_svc.domain.ids import transaction_id
from hms_svc.domain.job import make_job
from hms_svc.domain.verdict import Permission
from hms_svc.persistence.database import SqlDatabase
from hms_svc.ports.stores import RefusedEffect, StoredEffect, WaitingJob
from hms_svc.ports.transactions import Statements, TransactionRequest, Write, Written
from tests.support.database_engines import Opener, Site
from tests.support.database_requests import NOON, effect, publish_nothing
from tests.support.waiting import PATIENCE_SECONDS

CREATE = "create table permits (id text not null, parcel text not null unique)"
INSERT = "insert into permits values ($1, $2)"


def request(
    job_id: str, *, fence: int = 1, seconds: float = 30.0, **other: Any
) -> TransactionRequest:
    given = {"key": "", "valid_until": NOON + 30_000, **other}
    return TransactionRequest(job_id=job_id, fence=fence, seconds=seconds, **given)


def insertion(parcel: str, then: Callable[[Statements], Awaitable[None]] | None = None) -> Write:
    async def write(statements: Statements) -> Written:
        await statements.execute(INSERT, ("p", parcel))
        if then is not None:
            await then(statements)
        job = make_job("permit.review", {"parcel": parcel}, now_ms=NOON, id=f"review-{parcel}")
        yes = Permission("grant", "rule", "digest")
        return Written(value=b'{"n":1}', follow_ups=(job,), vetted=(yes,))

    return write


async def parcels(database: SqlDatabase) -> list[str]:
    found: list[str] = []

    async def read(statements: Statements) -> Written:
        found.extend(row["parcel"] for row in await statements.fetch("select * from permits", ()))
        raise LookupError("read, and nothing to commit")

    with pytest.raises(LookupError):
        await database.effects.transact(request("reader"), read)
    return sorted(found)


@pytest.fixture
async def database(another: Opener, site: Site) -> SqlDatabase:
    opened = await another()
    await site.tamper(CREATE)
    return opened


async def test_effect_follow_up_and_statements_commit_together_and_once(
    database: SqlDatabase, another: Opener
) -> None:
    stored = await database.effects.transact(request("a"), insertion("1"))
    yes = (Permission("grant", "rule", "digest"),)
    expected = StoredEffect("a", "", transaction_id("a", ""), "", yes, value=b'{"n":1}', fresh=True)
    assert stored == expected
    assert [entry.job.id for entry in await database.outbox.waiting(9) if entry.job] == ["review-1"]
    [recalled] = await (await another()).effects.recall([("a", 2)])
    assert [(one.value, one.vetted, one.fresh) for one in recalled] == [(b'{"n":1}', yes, False)]
    again = await database.effects.transact(request("a", fence=2), insertion("2"))
    assert isinstance(again, StoredEffect)
    assert (again.value, again.fresh) == (b'{"n":1}', False)
    assert await parcels(database) == ["1"]


async def test_a_job_is_found_as_long_as_it_waits_to_be_delivered(database: SqlDatabase) -> None:
    await database.effects.transact(request("a"), insertion("1"))
    assert await database.outbox.waiting_job("review-1") == WaitingJob("permit.review", NOON)
    assert await database.outbox.waiting_job("review-2") is None
    assert await database.outbox.relay(10, publish_nothing) == 1
    assert await database.outbox.waiting_job("review-1") is None


async def test_cases_are_recalled_before_transactions(database: SqlDatabase) -> None:
    await database.effects.transact(request("a"), insertion("1"))
    await database.effects.commit([effect("a", placed=False)])
    [recalled] = await database.effects.recall([("a", 2)])
    assert [one.value is None for one in recalled] == [True, False]


@pytest.mark.parametrize("late", [{"fence": 1}, {"fence": 3, "valid_until": NOON}])
async def test_an_old_fence_or_an_expired_lease_writes_nothing(
    database: SqlDatabase, late: dict[str, int]
) -> None:
    await database.effects.recall([("a", 2)])
    answer = await database.effects.transact(request("a", **late), insertion("1"))
    assert answer == RefusedEffect("fence")
    assert await parcels(database) == []
    assert await database.outbox.waiting(9) == []


async def test_of_two_at_once_with_one_key_the_second_gets_what_the_first_stored(
    database: SqlDatabase, another: Opener
) -> None:
    other = await another()
    answers = await asyncio.gather(
        database.effects.transact(request("a"), insertion("1")),
        other.effects.transact(request("a"), insertion("2")),
    )
    fresh = [one.fresh for one in answers if isinstance(one, StoredEffect)]
    assert sorted(fresh) == [False, True]
    assert len(await parcels(database)) == 1


async def test_statements_after_the_end_are_refused(database: SqlDatabase) -> None:
    kept: list[Statements] = []

    async def keep(statements: Statements) -> None:
        kept.append(statements)

    await database.effects.transact(request("a"), insertion("1", keep))
    with pytest.raises(TransactionError, match=r"has ended|another thread"):
        await kept[0].execute(INSERT, ("p", "2"))
    assert await parcels(database) == ["1"]


async def test_the_neighbours_of_a_failed_transaction_commit(database: SqlDatabase) -> None:
    async def fail(statements: Statements) -> None:
        raise LookupError("mine")

    answers = await asyncio.gather(
        database.effects.transact(request("a"), insertion("1")),
        database.effects.transact(request("b"), insertion("2", fail)),
        database.effects.transact(request("c"), insertion("3")),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [StoredEffect, LookupError, StoredEffect]
    assert await parcels(database) == ["1", "3"]


async def test_a_transaction_has_an_end(database: SqlDatabase) -> None:
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select sum(i) from n"

    async def never_end(statements: Statements) -> None:
        await statements.fetch(endless, ())

    with pytest.raises(TransactionError, match=r"longer than 0\.2 s"):
        await database.effects.transact(request("a", seconds=0.2), insertion("1", never_end))
    assert await parcels(database) == []


async def test_the_plans_of_an_application_are_as_usual(database: SqlDatabase, site: Site) -> None:
    if site.kind == "sqlite":
        pytest.skip("SQLite has no such setting")
    seen: list[Any] = []

    async def look(statements: Statements) -> None:
        seen.extend(await statements.fetch("select current_setting('enable_seqscan')", ()))

    await database.effects.transact(request("a"), insertion("1", look))
    assert [row[0] for row in seen] == ["on"]


async def test_sqlite_awaits_nothing_else_and_stays_on_its_thread(
    database: SqlDatabase, site: Site
) -> None:
    if site.kind != "sqlite":
        pytest.skip("PostgreSQL runs the function on the loop")

    async def sleep(statements: Statements) -> None:
        await asyncio.sleep(0)

    async def wait(statements: Statements) -> None:
        await asyncio.sleep(1)

    for wrong in (sleep, wait):
        with pytest.raises(TransactionError, match="awaited something other"):
            await database.effects.transact(request("a"), insertion("1", wrong))

    async def run_elsewhere(statements: Statements) -> None:
        errors: list[BaseException] = []

        def work() -> None:
            try:
                statements.wait(statements.execute(INSERT, ("p", "2")))
            except TransactionError as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(PATIENCE_SECONDS)
        raise errors[0]

    with pytest.raises(TransactionError, match="from another thread"):
        await database.effects.transact(request("a"), insertion("1", run_elsewhere))
    assert await parcels(database) == []


@pytest.mark.parametrize("sign", ["?", "%s", ":parcel"])
@pytest.mark.parametrize("many", [False, True])
async def test_other_signs_for_parameters_are_refused_with_the_right_ones(
    database: SqlDatabase, sign: str, many: bool
) -> None:
    async def write(statements: Statements) -> Written:
        statement = f"insert into permits values ({sign}, {sign})"
        if many:
            await statements.execute_many(statement, [("p", "1")])
        else:
            await statements.execute(statement, ("p", "1"))
        return Written(value=b"null")

    with pytest.raises(
        TransactionError,
        match=r"a statement with 2 arguments has no \$1: its parameters are written \$1, \$2",
    ):
        await database.effects.transact(request("a"), write)
    assert await parcels(database) == []


async def test_a_syntax_error_without_such_signs_is_that_of_the_driver(
    database: SqlDatabase,
) -> None:
    async def write(statements: Statements) -> Written:
        await statements.execute("insert permits values ($1, $2)", ("p", "1"))
        return Written(value=b"null")

    with pytest.raises(Exception, match="syntax error") as raised:
        await database.effects.transact(request("a"), write)
    assert not isinstance(raised.value, TransactionError)
