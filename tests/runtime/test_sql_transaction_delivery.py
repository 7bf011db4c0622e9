"""What a producer's transaction has committed is delivered, whatever happens to the producer afterwards."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # asyncpg has no types
import pytest

import hms_svc
from hms_svc import BlockingTransaction, Job, RunningJob, Transaction, aio, bootstrap, sql
from hms_svc.domain.job import Job as Envelope
from hms_svc.runtime.outbox_relay import OutboxRelay
from hms_svc.sdk.captured_output import captured_output
from tests.support.producers import CREATE, INSERT, Pair, pair
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer
from tests.support.waiting import PATIENCE_SECONDS, until
from tests.support.worker import TYPE, WorkerHarness, registry_of

__all__ = ["pair"]
ROOT = Path(__file__).resolve().parents[2]
PRODUCER = f"""
import sys
from hms_svc import Job, sql

def write(tx):
    tx.execute({CREATE!r})
    tx.execute({INSERT!r}, "A-1")
    tx.enqueue(Job({TYPE!r}, 1, id="p-A-1"))

sql.transaction(write)
sys.stdin.read()
"""


def write(tx: BlockingTransaction) -> str:
    tx.execute(CREATE)
    tx.execute(INSERT, "A-1")
    tx.enqueue(Job(TYPE, 1, id="p-A-1"))
    return "committed"


@contextmanager
def unreachable_broker(pair: Pair, request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Yield the environment of a producer whose broker does not answer while the block runs."""
    environment = pair.environment()
    with ExitStack() as stack:
        if pair.broker_url:
            server: RedisServer = request.getfixturevalue("redis_server")
            proxy = stack.enter_context(Proxy(server.port))
            proxy.black_hole()
            environment["HMS_SVC_BROKER_URL"] = f"redis://127.0.0.1:{proxy.port}/0"
        else:
            lock = stack.enter_context(open(pair.folder / "queue.db.lock", "wb"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield environment


def start_producer(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a process that commits a transaction, and then waits for its end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HMS_SVC")}
    return subprocess.Popen(
        [sys.executable, "-c", PRODUCER],
        env={**kept, **environment, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
    )


async def stands(pair: Pair) -> bool:
    """Return whether the producer's row is committed."""
    with suppress(sqlite3.OperationalError, asyncpg.UndefinedTableError):
        return await pair.parcels() == ["A-1"]
    return False


async def runs_once(pair: Pair, *, known: bool) -> None:
    """Start a worker, and wait until it has run the job once; `known` is whether the broker has it before."""
    ran: list[str] = []

    async def note(job: RunningJob) -> None:
        ran.append(job.id)

    settings = pair.settings()
    async with bootstrap.engines(settings, registry_of(note)) as engines:
        harness = WorkerHarness(engines, settings)
        assert len(await harness.details(["p-A-1"])) == known
        with captured_output(pass_on=True):
            harness.start()
            await until("it ran", lambda: ran == ["p-A-1"])
            await harness.stop()
        assert ran == ["p-A-1"]
        assert await engines.database.outbox.waiting(9) == []


async def test_a_worker_delivers_what_a_killed_producer_has_committed(
    pair: Pair, request: pytest.FixtureRequest
) -> None:
    database = bootstrap.database(pair.settings())
    await database.open()  # here, so that no look at the file comes in the way of its making
    await database.close()
    with unreachable_broker(pair, request) as environment:
        producer = start_producer(environment)

        async def is_committed() -> bool:
            assert producer.poll() is None, "the producer has ended too early"
            return await stands(pair)

        try:
            await until("it is committed", is_committed)
        finally:
            producer.kill()
            producer.communicate()
        assert producer.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    await runs_once(pair, known=False)


async def test_a_delivery_that_fails_is_logged_and_no_error(
    pair: Pair,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if pair.notifies:
        pytest.skip("the producer delivers nothing: workers are told")
    hms_svc.close()
    with unreachable_broker(pair, request) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with caplog.at_level(logging.WARNING, "hms_svc.api"):
            assert await asyncio.to_thread(sql.transaction, write) == "committed"
    await asyncio.to_thread(hms_svc.close)
    assert "is committed, and a worker will deliver its jobs" in caplog.text
    assert await pair.parcels() == ["A-1"]
    await runs_once(pair, known=False)


async def test_transactions_at_once_deliver_each_job_once(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivered: list[str] = []
    deliver = OutboxRelay._enqueue

    async def note(relay: OutboxRelay, jobs: Sequence[Envelope]) -> None:
        delivered.extend(job.id for job in jobs)
        await deliver(relay, jobs)

    monkeypatch.setattr(OutboxRelay, "_enqueue", note)
    hms_svc.close()
    for name, value in pair.environment().items():
        monkeypatch.setenv(name, value)

    async def produce(id: str) -> None:
        async def write(tx: Transaction) -> None:
            tx.enqueue(Job(TYPE, 1, id=id))

        await aio.sql.transaction(write)

    ids = [f"p-{number}" for number in range(20)]
    await asyncio.gather(*map(produce, ids))
    await asyncio.to_thread(hms_svc.close)
    assert sorted(delivered) == ([] if pair.notifies else sorted(ids))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """While the block runs, another program holds the lock of an embedded file."""
    with open(f"{path}.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def threads_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[threading.Thread]:
    """Let calls without a job go to embedded files, and return the threads that there were before."""
    hms_svc.close()
    monkeypatch.setenv("HMS_SVC_CONFIG", "")
    monkeypatch.setenv("HMS_SVC_DATA_DIR", str(tmp_path))
    return set(threading.enumerate())


def names_of_new(before: set[threading.Thread]) -> list[str]:
    return [each.name for each in set(threading.enumerate()) - before]


async def test_deliveries_to_a_locked_file_leave_no_threads(
    tmp_path: Path, threads_before: set[threading.Thread]
) -> None:
    with locked(tmp_path / "queue.db"):
        for _ in range(2):
            await asyncio.to_thread(sql.transaction, lambda tx: tx.enqueue(Job(TYPE, 1, id="p")))
            assert names_of_new(threads_before).count("writer-queue.db") == 1
    await asyncio.to_thread(hms_svc.close)
    assert [name for name in names_of_new(threads_before) if name.startswith("writer-")] == []


async def test_a_caller_that_is_cancelled_while_the_file_is_locked_leaves_no_thread(
    tmp_path: Path, threads_before: set[threading.Thread]
) -> None:
    async def write(tx: Transaction) -> None:
        raise AssertionError("it was cancelled before")

    with locked(tmp_path / "cases.db"):
        caller = asyncio.create_task(aio.sql.transaction(write))
        await until("it opens the file", lambda: "writer-cases.db" in names_of_new(threads_before))
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
    await asyncio.to_thread(hms_svc.close)
    assert [name for name in names_of_new(threads_before) if name.startswith("writer-")] == []
