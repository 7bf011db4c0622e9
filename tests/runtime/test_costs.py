"""What a job costs a worker, in calls and statements: numbers that a slow machine does not change.

A limit is the number on the day that it was set, plus five percent; more for what depends on which
calls happen to share a commit or a script. A change that has to cost more raises the limit and says
why; one that costs less lowers it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from hms_svc import bootstrap
from hms_svc.domain.job import Job, LeaseToken, make_job
from hms_svc.ports.broker import Settlement
from hms_svc.runtime import runs
from hms_svc.runtime.audit_sealer import AuditSealer
from hms_svc.runtime.prefetch import Prefetch
from hms_svc.runtime.worker import Worker
from hms_svc.runtime.worker_ids import make_worker_id
from hms_svc.runtime.worker_options import Engines, WorkerOptions
from hms_svc.sdk.registry import Registry
from hms_svc.settings import Settings, load_settings
from hms_svc.sqlite import file as sqlite_file
from hms_svc.sqlite.connection import Synchronous, connect
from tests.support.calls import Calls, listed
from tests.support.redis_server import RedisServer
from tests.support.worker import TYPE

CALLS_OF_A_NO_OP: Final = 35
CALLS_OF_A_REPORT: Final = 275
STATEMENTS_OF_100_REPORTS: Final = 98
STATEMENTS_OF_AN_ENQUEUE: Final = 6
COMMITS_OF_100_REPORTS: Final = 16
COMMANDS_OF_1000_NO_OPS: Final = 2_100
SCRIPTS_OF_1000_NO_OPS: Final = 60
CALLS_OF_AN_ENQUEUE_ON_REDIS: Final = 69
TURNS_OF_AN_ENQUEUE_ON_REDIS: Final = 4
"""Of the event loop; each costs a system call."""
RUN_SECONDS: Final = 0.000_1
MakeJobs: TypeAlias = "Callable[[Engines, int], list[Job]]"


async def work_off(engines: Engines, jobs: int, *, slots: int) -> None:
    """Run a worker until so many jobs are settled: nothing looks at the clock or asks in between.

    How many jobs it claims at once depends on how long runs take: here all take RUN_SECONDS, also on a busy machine.
    """
    worker = Worker(engines, WorkerOptions(worker_id=make_worker_id(), slots=slots))
    settle, left = engines.broker.settle, jobs

    async def count(settlements: Sequence[Settlement]) -> list[LeaseToken]:
        nonlocal left
        refused = await settle(settlements)
        left -= len(settlements)
        if left <= 0:
            worker.stop()
        return refused

    note = Prefetch.note
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines.broker, "settle", count)
        patch.setattr(Prefetch, "note", lambda self, name, _: note(self, name, RUN_SECONDS))
        patch.setattr(runs, "MAX_WAIT_SECONDS", 60.0)
        await worker.run()


def no_ops(engines: Engines, count: int) -> list[Job]:
    now = engines.clock.now_ms()
    return [make_job(TYPE, {"n": number}, now_ms=now) for number in range(count)]


def reports(engines: Engines, count: int) -> list[Job]:
    """Reports of different users, so far from each other that none is a duplicate."""
    now = engines.clock.now_ms()
    places = [{"lat": 38.0 + number / 100, "lon": -77.0} for number in range(count)]
    return [
        make_job("pothole.report", {"user_id": f"usr-{number}", **place}, now_ms=now)
        for number, place in enumerate(places)
    ]


def registry_of_a_no_op() -> Registry:
    registry = Registry()

    @registry.job(TYPE)
    async def no_op() -> None:
        pass

    return registry


def folder(path: Path, **given: str) -> Settings:
    return load_settings({"data_dir": str(path), **given}, environ={}).settings


async def calls_of(
    settings: Settings, registry: Registry, make: MakeJobs, *, jobs: int, slots: int
) -> dict[str, int]:
    """Return the calls for each of so many jobs, which wait when the worker starts."""
    calls = Calls()
    with calls.counted():
        async with bootstrap.engines(settings, registry) as engines:
            await engines.broker.enqueue(make(engines, jobs))
            calls.forget()
            await work_off(engines, jobs, slots=slots)
            return calls.for_each_of(jobs)


async def test_calls_for_a_no_op_job(tmp_path: Path) -> None:
    calls = await calls_of(folder(tmp_path), registry_of_a_no_op(), no_ops, jobs=400, slots=20)
    assert sum(calls.values()) <= CALLS_OF_A_NO_OP, listed(calls)


async def test_calls_for_a_report(tmp_path: Path) -> None:
    settings = folder(tmp_path)
    registry = bootstrap.application(settings, only={"pothole.report"})
    calls = await calls_of(settings, registry, reports, jobs=300, slots=100)
    assert sum(calls.values()) <= CALLS_OF_A_REPORT, listed(calls)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements of all SQLite files that are opened from now on."""
    statements: list[str] = []

    def note(statement: str) -> None:
        if statements[-1:] != [statement]:  # each of its triggers reports a statement again
            statements.append(statement)

    def connect_traced(path: Path, synchronous: Synchronous) -> sqlite3.Connection:
        connection = connect(path, synchronous)
        connection.set_trace_callback(note)
        return connection

    monkeypatch.setattr(sqlite_file, "connect", connect_traced)
    return statements


async def test_statements_and_commits_for_reports_that_arrive_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statements: list[str]
) -> None:
    async def seal_nothing(sealer: AuditSealer) -> None:
        """Leave out the sealing: it follows its own clock, so only chance has a round of it counted."""

    monkeypatch.setattr(AuditSealer, "run_once", seal_nothing)
    settings = folder(tmp_path)
    registry = bootstrap.application(settings, only={"pothole.report"})
    async with bootstrap.engines(settings, registry) as engines:
        await engines.broker.enqueue(reports(engines, 100))
        statements.clear()
        await work_off(engines, 100, slots=100)
    assert len(statements) <= STATEMENTS_OF_100_REPORTS, Counter(
        " ".join(statement.split()[:3]) for statement in statements
    )
    assert statements.count("COMMIT") <= COMMITS_OF_100_REPORTS, statements


async def test_statements_for_a_job_that_is_enqueued_alone(
    tmp_path: Path, statements: list[str]
) -> None:
    async with bootstrap.backend(folder(tmp_path)) as backend:
        first, second = (make_job(TYPE, {"n": number}, now_ms=0) for number in range(2))
        await backend.broker.enqueue([first])
        statements.clear()
        await backend.broker.enqueue([second])
        assert len(statements) <= STATEMENTS_OF_AN_ENQUEUE, statements


async def test_scripts_and_commands_for_no_op_jobs_on_redis(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    settings = folder(tmp_path, broker_url=redis_server.url())
    async with bootstrap.engines(settings, registry_of_a_no_op()) as engines:
        for _ in range(2):
            await engines.broker.enqueue(no_ops(engines, 500))
        redis_server.cli("CONFIG", "RESETSTAT")
        await work_off(engines, 1000, slots=20)
        commands = redis_server.commands()
    assert sum(commands.values()) <= COMMANDS_OF_1000_NO_OPS, commands
    assert commands["evalsha"] + commands["eval"] <= SCRIPTS_OF_1000_NO_OPS, commands


async def test_calls_and_turns_of_the_loop_for_a_job_that_is_enqueued_alone_on_redis(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    settings, jobs = folder(tmp_path, broker_url=redis_server.url()), 200
    calls = Calls(asyncio)
    with calls.counted():
        async with bootstrap.backend(settings) as backend:
            made = [make_job(TYPE, {"n": number}, now_ms=0) for number in range(jobs)]
            await backend.broker.enqueue(made[:1])
            calls.forget()
            for job in made:
                await backend.broker.enqueue([job])
            found = calls.for_each_of(jobs)
    of_the_loop = {place: count for place, count in found.items() if place.startswith("asyncio/")}
    [turns] = (count for place, count in of_the_loop.items() if place.endswith(" _run_once"))
    assert turns <= TURNS_OF_AN_ENQUEUE_ON_REDIS
    calls_of_ours = sum(found.values()) - sum(of_the_loop.values())
    assert calls_of_ours <= CALLS_OF_AN_ENQUEUE_ON_REDIS, listed(found)
