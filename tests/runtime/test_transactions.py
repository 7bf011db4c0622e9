"""Transactions of jobs with tables of their application: all of it commits once, or none of it."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg  # type: ignore[import-untyped]  # asyncpg has no types
import pytest

from hms_svc import (
    ActionHeld,
    BlockingTransaction,
    Job,
    LeaseLost,
    RetryPolicy,
    RunningJob,
    Transaction,
    bootstrap,
    dao,
    gov,
)
from hms_svc.domain.erasure import ERASED
from hms_svc.domain.lifecycle import State
from hms_svc.domain.strict_json import decode
from hms_svc.domain.views import JobDetail
from hms_svc.ports.control import Act
from hms_svc.runtime.worker_options import Engines
from hms_svc.sdk.captured_output import captured_output
from hms_svc.sdk.registry import Registry
from hms_svc.settings import Settings, load_settings
from tests.support.postgres_server import PostgresServer
from tests.support.waiting import PATIENCE_SECONDS, until
from tests.support.worker import WorkerHarness, registry_of, result_of

SOON = RetryPolicy(base_seconds=0.01)
ONCE = RetryPolicy(max_attempts=1)
CREATE = "create table if not exists permits (id text not null, parcel text not null unique)"
INSERT = "insert into permits (id, parcel) values ($1, $2)"
ALL = "select id, parcel from permits order by parcel"
Query: TypeAlias = Callable[[str], Awaitable[list[Any]]]
HarnessMaker: TypeAlias = "Callable[..., AbstractAsyncContextManager[PermitHarness]]"


class PermitHarness(WorkerHarness):
    """A worker, with direct access to the application's table."""

    def __init__(self, engines: Engines, settings: Settings, query: Query) -> None:
        super().__init__(engines, settings)
        self.query = query

    async def permits(self) -> list[tuple[str, str]]:
        return [(row[0], row[1]) for row in await self.query(ALL)]

    async def waiting_in_outbox(self) -> int:
        return len(await self.engines.database.outbox.waiting(10))

    async def appears(self, job_id: str) -> JobDetail:
        """Wait until a job is known, and then until it has ended."""
        await until(f"job {job_id} is known", lambda: self.details([job_id]))
        return await self.reaches(job_id)

    async def events(self, type: str) -> list[Any]:
        found = await self.engines.bus.read(after=0, limit=1000)
        return [decode(event.data) for event in found if event.type == type]


@pytest.fixture(params=["sqlite-sqlite", "redis-postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Settings, Query]:
    """The embedded pair, and the pair of a fleet; and how to use the database without the program."""
    given = {"data_dir": str(tmp_path)}
    if request.param == "sqlite-sqlite":
        return load_settings(given, environ={"HMS_SVC_CONFIG": ""}).settings, _sqlite(tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name: str = request.getfixturevalue("postgres_database")
    given["broker_url"] = request.getfixturevalue("redis_server").url()
    given["database_url"] = server.url(name)

    async def query(sql: str) -> list[Any]:
        return await server.fetch(name, sql)

    return load_settings(given, environ={"HMS_SVC_CONFIG": ""}).settings, query


def _sqlite(folder: Path) -> Query:
    async def query(sql: str) -> list[Any]:
        with closing(sqlite3.connect(folder / "cases.db", isolation_level=None)) as connection:
            return connection.execute(sql).fetchall()

    return query


@pytest.fixture
def open_permits(site: tuple[Settings, Query]) -> HarnessMaker:
    settings, query = site

    @asynccontextmanager
    async def open_permits(registry: Registry) -> AsyncIterator[PermitHarness]:
        async with bootstrap.engines(settings, registry) as engines:
            harness = PermitHarness(engines, settings, query)
            await query(CREATE)
            with captured_output(pass_on=True):
                try:
                    yield harness
                finally:
                    await harness.stop()

    return open_permits


class Grant:
    """A handler that writes a permit, and may fail after or inside the transaction."""

    def __init__(self, fail: Callable[[RunningJob], None] = lambda job: None) -> None:
        self.fail = fail
        self.asked: list[str] = []
        self.calls = 0

    def validator(self, payload: Any) -> bool:
        self.asked.append("validator")
        return True

    async def write(self, tx: Transaction) -> dict[str, Any]:
        self.calls += 1
        job = self.job
        written = await tx.execute(INSERT, job.id, job.data["parcel"])
        tx.enqueue(Job("test.review", {"permit": job.id}, id=f"review-{job.id}"))
        tx.event("permit.granted", {"permit": job.id})
        found = await tx.fetchrow("select parcel from permits where id = $1", job.id)
        return {"rows": written, "parcel": found["parcel"]}

    async def handler(self, job: RunningJob) -> Any:
        self.job = job
        await job.gov.vet("create_case", job.data)
        granted = await job.transaction(self.write)
        self.fail(job)
        return granted

    def plain(self, job: RunningJob) -> Any:
        gov.vet("create_case", job.data)

        def write(tx: BlockingTransaction) -> dict[str, Any]:
            self.calls += 1
            written = tx.execute(INSERT, job.id, job.data["parcel"])
            tx.enqueue(Job("test.review", {"permit": job.id}, id=f"review-{job.id}"))
            tx.event("permit.granted", {"permit": job.id})
            parcel = tx.fetchval("select parcel from permits where id = $1", job.id)
            return {"rows": written, "parcel": parcel}

        granted = dao.transaction(write)
        self.fail(job)
        return granted


def fail_once(job: RunningJob) -> None:
    if job.attempt == 1:
        raise ConnectionError("right after the commit")


@pytest.mark.parametrize("form", ["handler", "plain"])
async def test_all_of_it_commits_once_and_a_redelivery_gets_the_value(
    open_permits: HarnessMaker, form: str
) -> None:
    grant = Grant(fail_once)
    registry = registry_of(getattr(grant, form), validators=(grant.validator,), retry=SOON)
    registry.job("test.review")(lambda job: "reviewed")
    async with open_permits(registry) as harness:
        harness.start()
        detail = await harness.run({"parcel": "A-1"})
        assert len(detail.attempts) == 2
        assert result_of(detail) == {"rows": 1, "parcel": "A-1"}
        assert (grant.calls, grant.asked) == (1, ["validator"])
        assert await harness.permits() == [(detail.view.id, "A-1")]
        review = await harness.appears(f"review-{detail.view.id}")
        assert result_of(review) == "reviewed"
        await harness.stop()
        assert await harness.events("permit.granted") == [{"permit": detail.view.id}]
        assert (detail.view.case_id or "").startswith("transaction-")


async def test_several_transactions_of_a_job_each_commit_once(open_permits: HarnessMaker) -> None:
    async def handler(job: RunningJob) -> list[int]:
        def insert(parcel: str) -> Callable[[Transaction], Any]:
            async def write(tx: Transaction) -> int:
                return await tx.execute(INSERT, job.id, parcel)

            return write

        first = await job.transaction(insert("A-1"), "first")
        fail_once(job)
        return [first, await job.transaction(insert("A-2"), "second")]

    async with open_permits(registry_of(handler, retry=SOON)) as harness:
        harness.start()
        detail = await harness.run({})
        assert result_of(detail) == [1, 1]
        assert await harness.permits() == [(detail.view.id, "A-1"), (detail.view.id, "A-2")]


async def test_a_key_that_is_used_twice_in_an_attempt_is_an_error(
    open_permits: HarnessMaker,
) -> None:
    grant = Grant()

    async def handler(job: RunningJob) -> None:
        grant.job = job
        await job.transaction(grant.write)
        await job.transaction(grant.write)

    async with open_permits(registry_of(handler, retry=ONCE)) as harness:
        harness.start()
        view = (await harness.run({"parcel": "A-1"})).view
        assert (view.state, grant.calls) == (State.DEAD, 1)
        assert view.failure.startswith("EffectConflict: ")


@pytest.mark.parametrize("form", ["awaited", "plain"])
async def test_an_exit_inside_is_an_error_of_the_job_and_the_worker_continues(
    open_permits: HarnessMaker, form: str
) -> None:
    def leave(tx: BlockingTransaction) -> None:
        tx.execute(INSERT, "x", "A-1")
        sys.exit(3)

    async def leave_awaited(tx: Transaction) -> None:
        await tx.execute(INSERT, "x", "A-1")
        sys.exit(3)

    async def awaited(job: RunningJob) -> None:
        await job.transaction(leave_awaited)

    def plain(job: RunningJob) -> None:
        dao.transaction(leave)

    async with open_permits(
        registry_of({"awaited": awaited, "plain": plain}[form], retry=ONCE)
    ) as harness:
        harness.start()
        for _ in range(2):
            view = (await harness.run({})).view
            assert view.state is State.DEAD
            assert view.failure.startswith("HandlerExited: called sys.exit(3)")
        assert await harness.permits() == []


async def test_a_case_and_a_transaction_of_one_job_stand_beside_each_other(
    open_permits: HarnessMaker,
) -> None:
    grant = Grant()

    async def handler(job: RunningJob) -> list[Any]:
        grant.job = job
        granted = await job.transaction(grant.write)
        case = await job.dao.insert_case({"lat": 1.0, "lon": 1.0})
        fail_once(job)
        return [granted["parcel"], case]

    async with open_permits(registry_of(handler, retry=SOON)) as harness:
        harness.start()
        detail = await harness.run({"parcel": "A-1"})
        parcel, case = result_of(detail)
        assert (parcel, case, grant.calls) == ("A-1", detail.view.case_id, 1)
        assert await harness.cases() == [detail.view.id]


@pytest.mark.parametrize("form", ["async", "plain"])
async def test_an_error_of_the_function_rolls_everything_back_and_is_the_handlers(
    open_permits: HarnessMaker, form: str
) -> None:
    async def handler(job: RunningJob) -> None:
        async def write(tx: Transaction) -> None:
            await tx.execute(INSERT, job.id, "A-1")
            tx.enqueue(Job("test.review", {}))
            tx.event("permit.granted")
            raise KeyError("ward")

        await job.transaction(write)

    def plain(job: RunningJob) -> None:
        def write(tx: BlockingTransaction) -> None:
            tx.execute(INSERT, job.id, "A-1")
            tx.enqueue(Job("test.review", {}))
            raise KeyError("ward")

        dao.transaction(write)

    registry = registry_of(handler if form == "async" else plain, retry=ONCE)
    async with open_permits(registry) as harness:
        harness.start()
        detail = await harness.run({})
        assert detail.view.failure == "KeyError: 'ward'"
        assert detail.view.case_id is None
        assert await harness.permits() == []
        assert await harness.waiting_in_outbox() == 0


async def test_an_error_of_a_statement_rolls_back_even_if_it_was_caught(
    open_permits: HarnessMaker,
) -> None:
    async def handler(job: RunningJob) -> None:
        async def write(tx: Transaction) -> None:
            await tx.execute(INSERT, job.id, "A-1")
            try:
                await tx.execute(INSERT, job.id, "A-1")
            except (sqlite3.IntegrityError, asyncpg.UniqueViolationError) as error:
                seen.append(error)

        await job.transaction(write)

    seen: list[Exception] = []
    async with open_permits(registry_of(handler, retry=ONCE)) as harness:
        harness.start()
        view = (await harness.run({})).view
        assert view.state is State.DEAD
        assert type(seen[0]).__name__ in view.failure
        assert await harness.permits() == []


async def test_a_failed_transaction_can_be_repeated_in_the_same_attempt(
    open_permits: HarnessMaker,
) -> None:
    async def handler(job: RunningJob) -> int:
        async def write(tx: Transaction) -> int:
            written = await tx.execute(INSERT, job.id, "A-1")
            tries.append(written)
            if len(tries) == 1:
                raise LookupError("once")
            return written

        try:
            return await job.transaction(write)
        except LookupError:
            return await job.transaction(write)

    tries: list[int] = []
    async with open_permits(registry_of(handler)) as harness:
        harness.start()
        assert result_of(await harness.run({})) == 1
        assert len(await harness.permits()) == 1


WRONG_STATEMENTS = {
    "commit": "COMMIT",
    "rollback": "-- so\n rollback",
    "savepoint": "savepoint one",
    "our table": "update cases set status = 'closed'",
    "our table read": "select * from outbox",
    "our table dropped": "drop table if exists job_fences",
}


@pytest.mark.parametrize("wrong", list(WRONG_STATEMENTS))
async def test_a_statement_that_is_not_possible_inside_is_an_error_and_rolls_back(
    open_permits: HarnessMaker, wrong: str
) -> None:
    async def handler(job: RunningJob) -> None:
        async def write(tx: Transaction) -> None:
            await tx.execute(INSERT, job.id, "A-1")
            await tx.execute(WRONG_STATEMENTS[wrong])

        await job.transaction(write)

    async with open_permits(registry_of(handler, retry=ONCE)) as harness:
        harness.start()
        failure = (await harness.run({})).view.failure
        assert failure.startswith("TransactionError: a statement "), failure
        assert await harness.permits() == []
        await commit_another(harness)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
async def test_a_statement_without_await_is_an_error_and_rolls_back(
    open_permits: HarnessMaker,
) -> None:
    async def handler(job: RunningJob) -> None:
        async def write(tx: Transaction) -> None:
            await tx.execute(INSERT, job.id, "A-1")
            tx.execute(INSERT, job.id, "A-2")  # type: ignore[unused-coroutine]  # the mistake

        await job.transaction(write)

    async with open_permits(registry_of(handler, retry=ONCE)) as harness:
        harness.start()
        failure = (await harness.run({})).view.failure
        assert failure == (
            "TransactionError: 1 statement without await in the transaction: "
            "write await before each call of tx that runs one"
        )
        assert await harness.permits() == []


@pytest.mark.parametrize("call", ["transaction", "step"])
async def test_a_plain_handler_that_calls_what_is_awaited_is_told(
    open_permits: HarnessMaker, call: str
) -> None:
    async def write(tx: Transaction) -> None:
        await tx.execute(INSERT, "never", "A-1")

    def handler(job: RunningJob) -> None:
        if call == "step":
            job.step("once", len, "")  # type: ignore[unused-coroutine]  # the mistake
        else:
            job.transaction(write)  # type: ignore[unused-coroutine]  # the mistake

    counterpart = {"transaction": "dao.transaction", "step": "job.step_blocking"}[call]
    async with open_permits(registry_of(handler, retry=ONCE)) as harness:
        harness.start()
        failure = (await harness.run({})).view.failure
        assert failure == (
            f"WrongThread: job.{call} is awaited in an async handler; call {counterpart} in a plain one"
        )
        assert await harness.permits() == []


async def commit_another(harness: PermitHarness) -> None:
    """Run a transaction that does nothing wrong on the same engine."""
    from hms_svc.ports.transactions import Statements, TransactionRequest, Written

    async def write(statements: Statements) -> Written:
        await statements.execute(INSERT, ("other", "A-9"))
        return Written(value=b"null")

    request = TransactionRequest(
        job_id="other",
        key="",
        fence=1,
        valid_until=harness.engines.clock.lease_ms() + 60_000,
        seconds=5.0,
    )
    await harness.engines.database.effects.transact(request, write)
    assert await harness.permits() == [("other", "A-9")]


async def test_two_statements_in_one_text_are_an_error(open_permits: HarnessMaker) -> None:
    async def handler(job: RunningJob) -> None:
        async def write(tx: Transaction) -> None:
            await tx.execute("insert into permits values ('a', 'A-1'); commit")

        await job.transaction(write)

    async with open_permits(registry_of(handler, retry=ONCE)) as harness:
        harness.start()
        assert (await harness.run({})).view.state is State.DEAD
        assert await harness.permits() == []


async def test_a_column_may_be_named_as_one_of_our_tables(open_permits: HarnessMaker) -> None:
    async def handler(job: RunningJob) -> Any:
        async def write(tx: Transaction) -> Any:
            await tx.execute("create table notes (audit text, reports integer)")
            await tx.execute("insert into notes values ('from cases', 1)")
            return await tx.fetchval("select audit from notes where reports = 1")

        return await job.transaction(write)

    async with open_permits(registry_of(handler, retry=ONCE)) as harness:
        harness.start()
        assert result_of(await harness.run({})) == "from cases"


async def test_many_rows_are_written_and_read_by_name_and_position(
    open_permits: HarnessMaker,
) -> None:
    async def handler(job: RunningJob) -> Any:
        async def write(tx: Transaction) -> Any:
            await tx.executemany(INSERT, [(job.id, f"A-{number}") for number in range(3)])
            rows = await tx.fetch(ALL)
            nothing = await tx.fetchrow("select id from permits where parcel = $1", "none")
            return [[row["parcel"], row[1]] for row in rows], nothing

        return await job.transaction(write)

    async with open_permits(registry_of(handler, retry=ONCE)) as harness:
        harness.start()
        expected = [[f"A-{number}"] * 2 for number in range(3)]
        assert result_of(await harness.run({})) == [expected, None]


async def test_a_write_of_another_kind_inside_the_function_is_an_error(
    open_permits: HarnessMaker,
) -> None:
    async def handler(job: RunningJob) -> None:
        async def write(tx: Transaction) -> None:
            await tx.execute(INSERT, job.id, "A-1")
            await job.dao.insert_case({})

        await job.transaction(write)

    async with open_permits(registry_of(handler, retry=ONCE)) as harness:
        harness.start()
        failure = (await harness.run({})).view.failure
        assert failure.startswith("TransactionError: dao.insert_case was called in "), failure
        assert (await harness.permits(), await harness.cases()) == ([], [])


async def test_a_blocking_write_of_another_kind_inside_the_function_is_an_error(
    open_permits: HarnessMaker,
) -> None:
    def handler(job: RunningJob) -> None:
        def write(tx: BlockingTransaction) -> None:
            tx.execute(INSERT, job.id, "A-1")
            dao.insert_case({})

        dao.transaction(write)

    async with open_permits(registry_of(handler, retry=ONCE)) as harness:
        harness.start()
        failure = (await harness.run({})).view.failure
        assert failure.startswith("TransactionError: dao.insert_case was called in "), failure
        assert (await harness.permits(), await harness.cases()) == ([], [])


async def test_a_transaction_is_refused_in_a_validator(
    open_permits: HarnessMaker,
) -> None:
    grant = Grant()

    async def validator(payload: Any) -> bool:
        from hms_svc import current_job

        grant.job = current_job()
        await grant.job.transaction(grant.write)
        return True

    registry = registry_of(grant.handler, validators=(validator,), retry=ONCE)
    async with open_permits(registry) as harness:
        harness.start()
        assert "is being validated" in (await harness.run({"parcel": "A-1"})).view.failure
        assert (grant.calls, await harness.permits()) == (0, [])


async def test_a_held_job_writes_nothing_even_if_its_handler_goes_on(
    open_permits: HarnessMaker,
) -> None:
    grant = Grant()

    async def handler(job: RunningJob) -> None:
        grant.job = job
        with suppress(ActionHeld):
            await job.gov.vet("an action without a rule", job.data)
        await job.transaction(grant.write)

    async with open_permits(registry_of(handler)) as harness:
        harness.start()
        await harness.reaches(await harness.enqueue({"parcel": "A-1"}), State.HELD)
        assert (grant.calls, await harness.permits()) == (0, [])


async def test_a_verdict_that_comes_while_the_function_runs_rolls_it_back(
    open_permits: HarnessMaker,
) -> None:
    async def handler(job: RunningJob) -> None:
        async def write(tx: Transaction) -> None:
            await tx.execute(INSERT, job.id, "A-1")
            job.verdict = ActionHeld("too much", action="grant", rule="limit", digest="0")

        await job.transaction(write)

    async with open_permits(registry_of(handler)) as harness:
        harness.start()
        await harness.reaches(await harness.enqueue({}), State.HELD)
        assert await harness.permits() == []


async def test_without_a_job_there_is_no_transaction() -> None:
    with pytest.raises(Exception, match="no job is running"):
        await asyncio.to_thread(dao.transaction, lambda tx: None)


async def test_the_function_of_an_old_fence_writes_nothing(open_permits: HarnessMaker) -> None:
    raised: list[Exception] = []

    async def handler(job: RunningJob) -> None:
        async def write(tx: Transaction) -> None:
            await tx.execute(INSERT, job.id, "A-1")

        await harness.engines.database.effects.recall([(job.id, job.claimed.token.fence + 1)])
        try:
            await job.transaction(write)
        except LeaseLost as error:
            raised.append(error)
            raise

    async with open_permits(registry_of(handler)) as harness:
        harness.start()
        await harness.enqueue({})
        await until("the transaction was refused", lambda: bool(raised))
        assert await harness.permits() == []


async def test_a_job_that_loses_its_lease_inside_the_function_writes_nothing(
    open_permits: HarnessMaker,
) -> None:
    inside = threading.Event()
    go_on = threading.Event()

    def handler(job: RunningJob) -> None:
        def write(tx: BlockingTransaction) -> None:
            tx.execute(INSERT, job.id, "A-1")
            inside.set()
            go_on.wait(PATIENCE_SECONDS)

        dao.transaction(write)

    async with open_permits(registry_of(handler, retry=ONCE)) as harness:
        worker = harness.start()
        job_id = await harness.enqueue({})
        await until("the function runs", inside.is_set)
        [running] = worker.in_flight.by_id(job_id)
        running.lose_lease()
        go_on.set()
        await until("the handler has returned", lambda: not worker.in_flight.by_id(job_id))
        assert await harness.permits() == []


async def test_a_function_that_takes_too_long_is_rolled_back(open_permits: HarnessMaker) -> None:
    async def handler(job: RunningJob) -> None:
        endless = (
            "with recursive n(i) as (select 1 union all select i + 1 from n) select sum(i) from n"
        )

        async def write(tx: Transaction) -> None:
            await tx.execute(INSERT, job.id, "A-1")
            await tx.fetch(endless)

        await job.transaction(write)

    registry = registry_of(handler, retry=ONCE, timeout_seconds=1)
    async with open_permits(registry) as harness:
        harness.start()
        view = (await harness.run({})).view
        assert (view.state, view.reason) in ((State.DEAD, "timeout"), (State.DEAD, "error"))
        assert await harness.permits() == []


async def test_an_end_without_effects_is_dead_after_a_transaction(
    open_permits: HarnessMaker,
) -> None:
    grant = Grant(lambda job: (_ for _ in ()).throw(ConnectionError("after the commit")))
    registry = registry_of(grant.handler, retry=RetryPolicy(base_seconds=3600, cap_seconds=3600))
    async with open_permits(registry) as harness:
        harness.start()
        job_id = await harness.enqueue({"parcel": "A-1"})
        await harness.reaches(job_id, State.RETRYING)
        await harness.act(Act.CANCEL, job_id)
        view = (await harness.reaches(job_id)).view
        assert (view.state, view.detail) == (State.DEAD, f"{view.case_id} remains")
        assert (view.case_id or "").startswith("transaction-")


async def test_a_value_that_is_not_json_rolls_back(open_permits: HarnessMaker) -> None:
    async def handler(job: RunningJob) -> Any:
        async def write(tx: Transaction) -> Any:
            await tx.execute(INSERT, job.id, "A-1")
            return {1, 2}

        return await job.transaction(write)

    async with open_permits(registry_of(handler, retry=ONCE)) as harness:
        harness.start()
        failure = (await harness.run({})).view.failure
        assert failure.startswith("MalformedJson: the value of the transaction"), failure
        assert await harness.permits() == []


async def test_the_value_is_erased_with_its_job(open_permits: HarnessMaker) -> None:
    grant = Grant()
    async with open_permits(registry_of(grant.handler)) as harness:
        harness.start()
        job_id = (await harness.run({"parcel": "A-1"})).view.id
        effects = harness.engines.database.effects
        await harness.engines.database.erasure.erase([job_id])
        [[effect]] = await effects.recall([(job_id, 1)])
        assert effect.value == ERASED
