"""`sql.transaction`: a producer's statements, jobs and events commit together or not at all, on every pair."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # asyncpg has no types
import pytest

import hms_svc
from hms_svc import (
    BadInput,
    BlockingTransaction,
    Job,
    RetryPolicy,
    RunningJob,
    Transaction,
    TransactionError,
    WrongThread,
    aio,
    bootstrap,
    sql,
)
from hms_svc.api import portal
from hms_svc.domain.strict_json import decode
from hms_svc.sdk.captured_output import captured_output
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.transactions import ProducerRun
from hms_svc.settings import Settings
from tests.support.producers import CREATE, INSERT, Pair, pair
from tests.support.waiting import PATIENCE_SECONDS, until
from tests.support.worker import TYPE, WorkerHarness, registry_of

__all__ = ["pair"]
ONCE = RetryPolicy(max_attempts=1)


@pytest.fixture(autouse=True)
def own_portal(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let calls without a job go to the pair."""
    for name, value in pair.environment().items():
        monkeypatch.setenv(name, value)
    hms_svc.close()
    yield
    hms_svc.close()


@pytest.fixture
def settings(pair: Pair) -> Settings:
    return pair.settings()


@pytest.fixture
def ran() -> list[str]:
    return []


@pytest.fixture
async def harness(settings: Settings, ran: list[str]) -> AsyncIterator[WorkerHarness]:
    async def note(job: RunningJob) -> None:
        ran.append(job.id)

    async with open_harness(settings, registry_of(note)) as harness:
        yield harness


@asynccontextmanager
async def open_harness(settings: Settings, registry: Registry) -> AsyncIterator[WorkerHarness]:
    async with bootstrap.engines(settings, registry) as engines:
        harness = WorkerHarness(engines, settings)
        with captured_output(pass_on=True):
            try:
                yield harness
            finally:
                await harness.stop()


def blocking(parcel: str, error: BaseException | None = None) -> Any:
    def write(tx: BlockingTransaction) -> tuple[str, int]:
        tx.execute(CREATE)
        tx.execute(INSERT, parcel)
        tx.enqueue(Job(TYPE, {"parcel": parcel}, id=f"p-{parcel}"))
        tx.event("permit.asked", {"parcel": parcel})
        if error is not None:
            raise error
        return parcel, tx.fetchval("select count(*) from applications")

    return write


def awaitable(parcel: str, error: BaseException | None = None) -> Any:
    async def write(tx: Transaction) -> tuple[str, int]:
        await tx.execute(CREATE)
        await tx.execute(INSERT, parcel)
        tx.enqueue(Job(TYPE, {"parcel": parcel}, id=f"p-{parcel}"))
        tx.event("permit.asked", {"parcel": parcel})
        if error is not None:
            raise error
        return parcel, await tx.fetchval("select count(*) from applications")

    return write


async def transact(form: str, parcel: str, error: BaseException | None = None) -> Any:
    if form == "blocking":
        return await asyncio.to_thread(sql.transaction, blocking(parcel, error))
    return await aio.sql.transaction(awaitable(parcel, error))


on_both_forms = pytest.mark.parametrize("form", ["blocking", "awaitable"])


@on_both_forms
async def test_what_is_committed_stands_and_runs_once(
    harness: WorkerHarness, pair: Pair, ran: list[str], form: str
) -> None:
    assert await transact(form, "A-1") == ("A-1", 1), "the value is returned as it is: a tuple"
    harness.start()
    await until("it ran", lambda: ran == ["p-A-1"])
    await harness.stop()
    assert await pair.parcels() == ["A-1"]
    assert ran == ["p-A-1"]
    assert await harness.engines.database.outbox.waiting(9) == []
    events = await harness.engines.bus.read(after=0, limit=1000)
    asked = [decode(event.data) for event in events if event.type == "permit.asked"]
    assert asked == [{"parcel": "A-1"}]


async def test_without_a_worker_the_job_is_in_the_broker_if_the_database_notifies_nobody(
    harness: WorkerHarness, pair: Pair
) -> None:
    await transact("blocking", "A-1")
    delivered = [detail.view.id for detail in await harness.details(["p-A-1"])]
    assert delivered == ([] if pair.notifies else ["p-A-1"])
    assert len(await harness.engines.database.outbox.waiting(9)) == (2 if pair.notifies else 0)


@on_both_forms
async def test_what_raises_leaves_nothing(harness: WorkerHarness, pair: Pair, form: str) -> None:
    await transact(form, "A-1")
    with pytest.raises(KeyError, match="ward"):
        await transact(form, "A-2", KeyError("ward"))
    assert await pair.parcels() == ["A-1"]
    outbox = await harness.engines.database.outbox.waiting(9)
    assert {entry.job.id for entry in outbox if entry.job} <= {"p-A-1"}
    assert await harness.details(["p-A-2"]) == []


@on_both_forms
@pytest.mark.parametrize("error", [SystemExit("ward"), KeyboardInterrupt("ward")])
async def test_an_exit_is_raised_to_the_caller_and_others_can_still_call(
    harness: WorkerHarness, pair: Pair, form: str, error: BaseException
) -> None:
    await transact(form, "A-1")
    with pytest.raises(type(error), match="ward"):
        await transact(form, "A-2", error)
    await transact(form, "A-3")
    assert await pair.parcels() == ["A-1", "A-3"]


@on_both_forms
async def test_an_error_of_a_statement_is_that_of_the_driver(
    harness: WorkerHarness, pair: Pair, form: str
) -> None:
    await transact(form, "A-1")
    with pytest.raises((sqlite3.IntegrityError, asyncpg.UniqueViolationError)):
        await transact(form, "A-1")
    assert await pair.parcels() == ["A-1"]


@pytest.mark.parametrize("default", ["", "default '--'"], ids=("plain", "dashes"))
async def test_a_constraint_that_is_checked_at_the_commit_fails_alone(
    harness: WorkerHarness, pair: Pair, default: str
) -> None:
    await transact("blocking", "A-1")
    create = (
        f"create table wards (parcel text {default} references applications (parcel) "
        "deferrable /* until the commit */ initially deferred)"
    )

    def write(tx: BlockingTransaction) -> None:
        tx.execute(create)
        tx.execute("insert into wards values ($1)", "nowhere")

    refusal = asyncpg.ForeignKeyViolationError if pair.notifies else TransactionError
    with pytest.raises(refusal):
        await asyncio.to_thread(sql.transaction, write)
    await transact("blocking", "A-2")
    assert await pair.parcels() == ["A-1", "A-2"]


async def test_a_value_may_be_anything_and_tables_need_no_job(
    harness: WorkerHarness, pair: Pair
) -> None:
    marker = object()

    def create(tx: BlockingTransaction) -> object:
        tx.execute(CREATE)
        return marker

    assert await asyncio.to_thread(sql.transaction, create) is marker
    assert await pair.parcels() == []


async def test_what_is_added_after_the_end_is_an_error_and_not_lost(
    harness: WorkerHarness, pair: Pair
) -> None:
    kept: list[BlockingTransaction] = []
    await asyncio.to_thread(sql.transaction, kept.append)
    with pytest.raises(TransactionError, match=r"has ended: call tx\.enqueue inside"):
        kept[0].enqueue(Job(TYPE, 1))
    with pytest.raises(TransactionError, match=r"has ended: call tx\.event inside"):
        kept[0].event("permit.asked")


async def test_a_running_loop_is_not_blocked(harness: WorkerHarness) -> None:
    with pytest.raises(WrongThread, match=r"await hms_svc\.aio\.sql\.transaction"):
        sql.transaction(blocking("A-1"))


@on_both_forms
async def test_a_transaction_inside_a_transaction_is_refused_and_does_not_wait(
    harness: WorkerHarness, pair: Pair, form: str
) -> None:
    def outer(tx: BlockingTransaction) -> None:
        tx.execute(CREATE)
        sql.transaction(blocking("A-1"))

    async def outer_awaitable(tx: Transaction) -> None:
        await tx.execute(CREATE)
        await aio.sql.transaction(awaitable("A-1"))

    nested: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
        "blocking": lambda: asyncio.to_thread(sql.transaction, outer),
        "awaitable": lambda: aio.sql.transaction(outer_awaitable),
    }
    with pytest.raises(TransactionError, match=r"sql\.transaction was called in the function"):
        await nested[form]()
    await transact("awaitable", "A-2")
    assert await pair.parcels() == ["A-2"]


@on_both_forms
async def test_a_job_is_told_of_its_own_form(settings: Settings, pair: Pair, form: str) -> None:
    def plain(job: RunningJob) -> None:
        sql.transaction(blocking("A-1"))

    async def handler(job: RunningJob) -> None:
        await aio.sql.transaction(awaitable("A-1"))

    registry = registry_of(plain if form == "blocking" else handler, retry=ONCE)
    async with open_harness(settings, registry) as harness:
        harness.start()
        failure = (await harness.run({})).view.failure
    assert failure.startswith("BadInput: sql.transaction: job "), failure
    assert "await job.transaction(write)" in failure
    assert "dao.transaction(write)" in failure


async def test_what_else_is_awaited_is_refused_where_it_would_lock_the_file(
    harness: WorkerHarness, pair: Pair
) -> None:
    async def write(tx: Transaction) -> None:
        await tx.execute(CREATE)
        await tx.execute(INSERT, "A-1")
        await asyncio.sleep(0)

    if pair.notifies:
        await aio.sql.transaction(write)
        assert await pair.parcels() == ["A-1"]
        return
    with pytest.raises(TransactionError, match="awaited something other than its own statements"):
        await aio.sql.transaction(write)
    await transact("awaitable", "A-2")
    assert await pair.parcels() == ["A-2"]


async def test_a_cancelled_caller_rolls_back_what_awaits(
    harness: WorkerHarness, pair: Pair
) -> None:
    if not pair.notifies:
        pytest.skip("SQLite runs the function on its thread, where nothing is awaited")
    began, ended = threading.Event(), threading.Event()

    async def write(tx: Transaction) -> None:
        await tx.execute(CREATE)
        await tx.execute(INSERT, "A-1")
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    caller = asyncio.create_task(aio.sql.transaction(write))
    await asyncio.to_thread(began.wait)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await asyncio.to_thread(ended.wait)
    await transact("awaitable", "A-2")
    assert await pair.parcels() == ["A-2"]


async def test_a_cancelled_caller_rolls_back_what_blocks(
    harness: WorkerHarness, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, stopped = threading.Event(), threading.Event()
    stop = ProducerRun.stop

    def note(run: ProducerRun) -> None:
        stop(run)
        stopped.set()

    def write(tx: BlockingTransaction) -> None:
        tx.execute(CREATE)
        tx.execute(INSERT, "A-1")
        began.set()
        assert stopped.wait(PATIENCE_SECONDS)

    monkeypatch.setattr(ProducerRun, "stop", note)
    plain: Any = write  # its type is that of an async one
    caller = asyncio.create_task(aio.sql.transaction(plain))
    await asyncio.to_thread(began.wait)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await transact("awaitable", "A-2")
    assert await pair.parcels() == ["A-2"]


async def test_a_close_waits_for_a_transaction_under_way(
    harness: WorkerHarness, pair: Pair
) -> None:
    began, closing = threading.Event(), threading.Event()

    def write(tx: BlockingTransaction) -> str:
        tx.execute(CREATE)
        tx.execute(INSERT, "A-1")
        tx.enqueue(Job(TYPE, 1, id="p-A-1"))
        began.set()
        assert closing.wait(PATIENCE_SECONDS)
        return "committed"

    caller = asyncio.create_task(asyncio.to_thread(sql.transaction, write))
    await asyncio.to_thread(began.wait)
    closer = asyncio.create_task(asyncio.to_thread(hms_svc.close))
    await until("the close has begun", lambda: portal._portal is None)
    closing.set()
    assert await caller == "committed"
    await closer
    assert await pair.parcels() == ["A-1"]
    waiting = await harness.engines.database.outbox.waiting(9)
    assert len(waiting) == pair.notifies, "where nobody is told, it waits for the delivery, too"


async def test_nothing_is_lost_and_nothing_is_a_phantom_while_workers_come_and_go(
    harness: WorkerHarness, pair: Pair, ran: list[str]
) -> None:
    chance = random.Random(7)
    committed: set[str] = set()

    async def produce(name: str) -> None:
        for number in range(100):
            parcel = f"{name}-{number}"
            if chance.random() < 0.5:
                with pytest.raises(KeyError):
                    await transact("awaitable", parcel, KeyError(parcel))
            else:
                await transact("awaitable", parcel)
                committed.add(parcel)

    async def come_and_go() -> None:
        for _ in range(5):
            worker = harness.start()
            await asyncio.sleep(0)
            worker.stop()
            await harness.ended(worker)

    await transact("awaitable", "first")
    committed.add("first")
    await asyncio.gather(produce("p"), produce("q"), come_and_go())
    harness.start()
    await until("all have run", lambda: len(set(ran)) >= len(committed))
    await harness.stop()
    assert set(ran) == {f"p-{parcel}" for parcel in committed}
    assert len(ran) == len(set(ran)), "no worker was killed, so none ran twice"
    assert set(await pair.parcels()) == committed
    assert await harness.engines.database.outbox.waiting(9) == []


def test_an_argument_that_is_no_job_is_refused(pair: Pair) -> None:
    with pytest.raises(BadInput, match=r"expected hms_svc\.Job, got str"):
        sql.transaction(lambda tx: tx.enqueue("job"))  # type: ignore[arg-type]  # that is the point
