"""Isolated handlers: in a process of their own, which is killed where a thread would go on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hms_svc import bootstrap
from hms_svc.domain.errors import BadInput, BadSetting
from hms_svc.domain.lifecycle import State
from hms_svc.ports.control import Act
from hms_svc.processes.isolated_processes import IsolatedProcesses
from hms_svc.runtime.worker import Worker
from hms_svc.runtime.worker_ids import make_worker_id
from hms_svc.runtime.worker_options import WorkerOptions
from hms_svc.sdk.captured_output import captured_output
from hms_svc.sdk.registry import Registry
from hms_svc.settings import Settings
from tests.runtime.isolated_app import APP
from tests.support.waiting import until
from tests.support.worker import HarnessMaker, WorkerHarness, settings_for

Opened = Callable[..., Any]
ON_REDIS = pytest.param("redis", marks=pytest.mark.interop)
"""The processes are the same there, and each test starts several: with the long ones, which CI runs, too."""


@pytest.fixture(params=["sqlite", ON_REDIS])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """The settings of both brokers."""
    return settings_for(request.param, request, tmp_path)


@pytest.fixture
def serve(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Return a function that runs a worker with processes for isolated handlers."""
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", root)
    named = msgspec.structs.replace(settings, app=(APP,))

    @asynccontextmanager
    async def serve(*types: str, **options: Any) -> AsyncIterator[WorkerHarness]:
        registry = bootstrap.application(named).only(types)
        worker_id = make_worker_id()
        async with (
            bootstrap.engines(named, registry, worker_id) as engines,
            IsolatedProcesses(named, engines, worker_id) as isolation,
        ):
            harness = WorkerHarness(engines, named)
            given = {"slots": 4, "grace_seconds": 5.0, **options}
            worker = Worker(
                engines, WorkerOptions(worker_id=worker_id, **given), isolation=isolation
            )
            harness.workers.append((worker, asyncio.create_task(worker.run(), name="worker")))
            with captured_output(pass_on=True):
                try:
                    yield harness
                finally:
                    await harness.stop()

    return serve


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def result_of(detail: Any) -> Any:
    return msgspec.json.decode(detail.result)


async def test_a_handler_runs_in_a_process_with_resources_of_its_own(serve: Opened) -> None:
    async with serve("isolated.pid", "isolated.async") as harness:
        first = await harness.run({}, type="isolated.pid")
        again = await harness.run({}, type="isolated.pid")
        other = await harness.run({}, type="isolated.async")
    found = result_of(first)
    assert found["pid"] == found["tool"] == result_of(again)["pid"]
    assert len({found["pid"], result_of(other), os.getpid()}) == 3
    assert first.attempts[0].log == "printed in the process\nlogged in the process\n"
    assert [line.message for line in first.progress] == ["logged in the process", "half"]


async def test_cases_and_follow_ups_of_an_isolated_handler_are_the_jobs(serve: Opened) -> None:
    async with serve("isolated.case", "isolated.plain") as harness:
        done = await harness.run({}, type="isolated.case")
        assert (done.view.state, done.view.case_id) == (State.COMPLETED, result_of(done))
        assert await harness.cases() == [done.view.id]
        follow_up = await harness.reaches(f"{done.view.id}.letter")
        assert result_of(follow_up) == os.getpid()


async def test_a_handler_that_never_returns_is_killed_at_its_timeout(
    serve: Opened, tmp_path: Path
) -> None:
    async with serve("isolated.endless", "isolated.plain") as harness:
        file = tmp_path / "pids"
        job_id = await harness.enqueue({"file": str(file)}, type="isolated.endless")
        await until("it runs", file.exists)
        ended = await harness.reaches(job_id, State.DEAD)
        assert (ended.view.reason, ended.view.attempt) == ("timeout", 2)
        pids = [int(word) for word in file.read_text().split()]
        await until("both are gone", lambda: not any(map(lives, pids)))
        neighbour = await harness.run({}, type="isolated.plain")
        assert neighbour.view.state is State.COMPLETED
        [(worker, _)] = harness.workers
        await until("its slot is free", lambda: worker.in_flight.running == 0)


async def test_a_process_that_dies_is_one_failed_attempt(serve: Opened) -> None:
    async with serve("isolated.dies", "isolated.exits") as harness:
        done = await harness.run({}, type="isolated.dies")
        assert (done.view.state, done.view.attempt) == (State.COMPLETED, 2)
        assert done.attempts[0].error == (
            "HandlerProcessDied: the process that ran the handler died: "
            "it was ended by the signal SIGKILL"
        )
        dead = await harness.run({}, type="isolated.exits")
        assert "it ended with exit code 41" in dead.view.detail


async def test_a_cancellation_kills_the_process(serve: Opened, tmp_path: Path) -> None:
    async with serve("isolated.endless") as harness:
        file = tmp_path / "pids"
        job_id = await harness.enqueue(
            {"file": str(file)}, type="isolated.endless", max_attempts=1000
        )
        await until("it runs", file.exists)
        await harness.act(Act.CANCEL, job_id)
        await harness.reaches(job_id, State.CANCELLED)


async def test_a_cancellation_that_meets_a_timeout_is_not_lost(
    serve: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve("isolated.endless") as harness:
        effects, reading, go_on = harness.engines.database.effects, asyncio.Event(), asyncio.Event()
        recall = effects.recall

        async def slow(*arguments: Any) -> Any:
            reading.set()
            await go_on.wait()
            return await recall(*arguments)

        monkeypatch.setattr(effects, "recall", slow)
        given = {"file": str(tmp_path / "pids")}
        job_id = await harness.enqueue(given, type="isolated.endless", max_attempts=1000)
        await until("it has timed out", reading.is_set)
        await harness.act(Act.CANCEL, job_id)
        [(worker, _)] = harness.workers
        await until(
            "its run is cancelled",
            lambda: all(each.job.cancel_by for each in worker.in_flight.all()),
        )
        await asyncio.sleep(0)
        go_on.set()
        detail = await harness.reaches(job_id)
        assert (detail.view.state, detail.view.attempt) == (State.CANCELLED, 1)


async def test_a_process_killed_after_its_case_leaves_a_case_that_is_known(
    serve: Opened, tmp_path: Path
) -> None:
    async with serve("isolated.case_endless") as harness:
        file = tmp_path / "pid"
        job_id = await harness.enqueue(
            {"file": str(file)}, type="isolated.case_endless", max_attempts=1
        )
        await until("its case is open", file.exists)
        os.kill(int(file.read_text()), 9)
        ended = await harness.reaches(job_id, State.DEAD)
        assert ended.view.case_id
        assert await harness.cases() == [job_id]


async def test_memory_is_limited(serve: Opened) -> None:
    async with serve("isolated.greedy") as harness:
        modest = await harness.run({"mb": 16}, type="isolated.greedy")
        assert modest.view.state is State.COMPLETED
        greedy = await harness.run({"mb": 512}, type="isolated.greedy")
        assert greedy.view.detail.startswith("MemoryError")


async def test_a_process_is_replaced_after_its_jobs(serve: Opened) -> None:
    async with serve("isolated.recycled") as harness:
        pids = [result_of(await harness.run({}, type="isolated.recycled")) for _ in range(6)]
        await until("the former are gone", lambda: not any(map(lives, pids[:4])))
    assert len(set(pids)) == 3
    assert not any(map(lives, pids))


async def test_a_job_that_waited_for_its_process_has_the_lease_of_then(serve: Opened) -> None:
    async with serve("isolated.case", "isolated.plain", lease_seconds=0.3) as harness:
        done = await harness.run({}, type="isolated.case")
        assert (done.view.state, len(done.attempts)) == (State.COMPLETED, 1)


async def test_limits_and_unique_keys_are_those_of_the_worker(serve: Opened) -> None:
    async with serve("isolated.limited") as harness:
        ids = [
            await harness.enqueue({"ward": 7, "number": number}, type="isolated.limited")
            for number in range(4)
        ]
        for job_id in ids:
            assert (await harness.reaches(job_id)).view.state is State.COMPLETED


async def test_what_a_handler_raises_decides(serve: Opened) -> None:
    async with serve("isolated.given_up") as harness:
        dead = await harness.run({}, type="isolated.given_up")
        assert (dead.view.state, dead.view.detail) == (State.DEAD, "no use")


async def test_a_worker_that_cannot_isolate_refuses(open_harness: HarnessMaker) -> None:
    registry = Registry()
    registry.job("isolated.job", isolate="process")(lambda: None)
    async with open_harness(registry) as harness:
        with pytest.raises(BadSetting, match=r"type isolated\.job is isolated"):
            harness.start()


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"isolate": "thread"}, "isolate 'thread' is not 'process'"),
        ({"memory_mb": 64}, "memory_mb 64 is for handlers with isolate='process'"),
        ({"isolate": "process", "memory_mb": 0}, "memory_mb 0 is not a whole number from 1"),
        (
            {"isolate": "process", "jobs_per_process": 1.5},
            "jobs_per_process 1.5 is not a whole number from 1",
        ),
    ],
)
def test_isolation_is_checked_where_it_is_declared(declared: Any, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        Registry().job("isolated.job", **declared)(lambda: None)
    assert message in str(caught.value)
