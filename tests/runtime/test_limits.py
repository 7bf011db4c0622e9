"""Ends from outside: timeouts, cancellation, a stop, a lease that is gone."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from hms_svc import RunningJob, aio, dao
from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.errors import LeaseLost
from hms_svc.domain.lifecycle import State
from hms_svc.ports.control import Act
from hms_svc.sdk.registry import Registry
from tests.support.waiting import until
from tests.support.worker import HarnessMaker, registry_of, result_of

ONCE = RetryPolicy(max_attempts=1)


class Scene:
    """A handler that gets on a thread and waits there for the test."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.leave = threading.Event()
        self.outcome: Any = None

    def on_thread(self, job: RunningJob) -> str:
        self.entered.set()
        self.leave.wait(30)
        try:
            self.outcome = dao.insert_case(job.data)
        except LeaseLost as error:
            self.outcome = error
            raise
        return str(self.outcome)


async def sleep_on(job: RunningJob) -> None:
    await asyncio.Event().wait()


async def test_an_async_handler_is_cancelled_at_its_timeout(open_harness: HarnessMaker) -> None:
    registry = registry_of(sleep_on, retry=ONCE, timeout_seconds=0.05)
    async with open_harness(registry) as harness:
        worker = harness.start()
        view = (await harness.run()).view
        assert (view.state, view.reason, view.by) == (State.DEAD, "timeout", "runtime")
        await until("the slot is free", lambda: len(worker.in_flight) == 0)


@pytest.mark.parametrize("action", [None, "create_case"], ids=["plain throughout", "vetted first"])
async def test_a_plain_handler_keeps_its_slot_past_its_timeout_and_may_not_write(
    open_harness: HarnessMaker, action: str | None
) -> None:
    scene = Scene()
    registry = registry_of(scene.on_thread, retry=ONCE, timeout_seconds=0.05, action=action)
    async with open_harness(registry) as harness:
        worker = harness.start()
        view = (await harness.run()).view
        assert (view.state, view.reason) == (State.DEAD, "timeout")
        assert len(worker.in_flight) == 1, "its thread is still inside the function"
        scene.leave.set()
        await until("the function returns", lambda: len(worker.in_flight) == 0)
        assert isinstance(scene.outcome, LeaseLost)
        assert await harness.cases() == []


async def test_a_timeout_is_retried(open_harness: HarnessMaker) -> None:
    async def handler(job: RunningJob) -> str:
        if job.attempt == 1:
            await sleep_on(job)
        return "in time"

    retry = RetryPolicy(base_seconds=0.01)
    async with open_harness(registry_of(handler, retry=retry, timeout_seconds=0.3)) as harness:
        harness.start()
        detail = await harness.run()
        assert result_of(detail) == "in time"
        assert detail.attempts[0].error.startswith("Timeout: ")


async def test_a_running_async_job_is_cancelled(open_harness: HarnessMaker) -> None:
    async with open_harness(registry_of(sleep_on)) as harness:
        harness.start()
        job_id = await harness.enqueue()
        await harness.reaches(job_id, State.PROCESSING)
        await harness.act(Act.CANCEL, job_id)
        view = (await harness.reaches(job_id)).view
        assert (view.state, view.reason, view.by) == (State.CANCELLED, "cancelled", "ravi")


async def test_a_running_plain_job_notices_its_cancellation(open_harness: HarnessMaker) -> None:
    def handler(job: RunningJob) -> None:
        while not job.cancel_requested:
            threading.Event().wait(0.001)
        raise InterruptedError

    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        job_id = await harness.enqueue()
        await harness.reaches(job_id, State.PROCESSING)
        await harness.act(Act.CANCEL, job_id)
        assert (await harness.reaches(job_id)).view.state is State.CANCELLED


@pytest.mark.parametrize("action", [None, "create_case"], ids=["plain throughout", "vetted first"])
async def test_a_plain_job_that_pays_no_heed_to_its_cancellation_completes(
    open_harness: HarnessMaker, action: str | None
) -> None:
    scene = Scene()
    async with open_harness(registry_of(scene.on_thread, action=action)) as harness:
        worker = harness.start()
        job_id = await harness.enqueue()
        await until("the handler runs", scene.entered.is_set)
        await harness.act(Act.CANCEL, job_id)
        [running] = worker.in_flight.all()
        await until("it is told", lambda: running.job.cancel_requested)
        scene.leave.set()
        detail = await harness.reaches(job_id)
        assert result_of(detail) == detail.view.case_id
        assert await harness.cases() == [job_id]


async def test_a_job_whose_case_stands_is_not_called_off(open_harness: HarnessMaker) -> None:
    inserted = asyncio.Event()
    go_on = asyncio.Event()

    async def handler(job: RunningJob) -> str:
        case = await aio.dao.insert_case(job.data)
        inserted.set()
        await go_on.wait()
        return case

    async with open_harness(registry_of(handler)) as harness:
        worker = harness.start()
        job_id = await harness.enqueue()
        await inserted.wait()
        await harness.act(Act.CANCEL, job_id)
        [running] = worker.in_flight.all()
        await until("it is told", lambda: running.job.cancel_requested)
        go_on.set()
        detail = await harness.reaches(job_id)
        assert detail.view.state is State.COMPLETED
        assert await harness.cases() == [job_id]


async def test_a_job_called_off_while_its_case_commits_completes_with_it(
    open_harness: HarnessMaker,
) -> None:
    inserting = asyncio.Event()

    async def handler(job: RunningJob) -> str:
        inserting.set()
        return await job.dao.insert_case(job.data)

    async with open_harness(registry_of(handler)) as harness:
        worker = harness.start()
        job_id = await harness.enqueue()
        await inserting.wait()
        [running] = worker.in_flight.all()
        assert running.task is not None
        running.job.cancel_by = "ravi"
        running.task.cancel()
        assert (await harness.reaches(job_id)).view.state is State.COMPLETED
        assert await harness.cases() == [job_id]


def task_names() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks()}


async def test_a_stop_lets_jobs_finish(open_harness: HarnessMaker) -> None:
    go_on = asyncio.Event()

    async def handler(job: RunningJob) -> str:
        await go_on.wait()
        return "finished"

    async with open_harness(registry_of(handler)) as harness:
        worker = harness.start()
        job_id, late = await harness.enqueue(), ""
        await harness.reaches(job_id, State.PROCESSING)
        worker.stop()
        await until("a claim under way has ended", lambda: "claimer" not in task_names())
        late = await harness.enqueue()
        go_on.set()
        await harness.ended(worker)
        assert result_of(await harness.detail(job_id)) == "finished"
        assert (await harness.detail(late)).view.state is State.QUEUED
        assert await harness.engines.inspection.workers() == []


@pytest.mark.parametrize("action", [None, "create_case"], ids=["plain throughout", "vetted first"])
async def test_after_the_grace_the_attempt_is_given_back(
    open_harness: HarnessMaker, action: str | None
) -> None:
    scene = Scene()
    registry = Registry()
    registry.job("plain.job", action=action)(scene.on_thread)
    registry.job("async.job")(sleep_on)
    async with open_harness(registry) as harness:
        worker = harness.start(grace_seconds=0.05)
        ids = [await harness.enqueue(type="plain.job"), await harness.enqueue(type="async.job")]
        for job_id in ids:
            await harness.reaches(job_id, State.PROCESSING)
        await until("the plain one runs", scene.entered.is_set)
        worker.stop()
        await harness.ended(worker)
        assert worker.is_stuck
        for job_id in ids:
            view = (await harness.detail(job_id)).view
            assert (view.state, view.attempt) == (State.QUEUED, 0)
        scene.leave.set()
        await until("the thread leaves", lambda: scene.outcome is not None)
        assert isinstance(scene.outcome, LeaseLost)
        assert await harness.cases() == []


async def test_an_attempt_is_given_back_ten_times_and_no_more(open_harness: HarnessMaker) -> None:
    async with open_harness(registry_of(sleep_on)) as harness:
        job_id = await harness.enqueue()
        for _ in range(11):
            worker = harness.start(grace_seconds=0)
            await harness.reaches(job_id, State.PROCESSING)
            worker.stop()
            await harness.ended(worker)
        assert (await harness.detail(job_id)).view.attempt == 1


async def test_the_work_of_a_lost_lease_is_void(open_harness: HarnessMaker) -> None:
    scene = Scene()
    async with open_harness(registry_of(scene.on_thread)) as harness:
        worker = harness.start(slots=1, lease_seconds=1.0)
        job_id = await harness.enqueue()
        await until("the handler runs", scene.entered.is_set)
        [running] = worker.in_flight.all()
        while (await harness.detail(job_id)).view.state is State.PROCESSING:
            await harness.engines.broker.abandon(worker._options.worker_id)
            await harness.engines.broker.reap(10)
        await until("the loss is noticed", lambda: running.job.revoked)
        scene.leave.set()
        await until("the handler returns", lambda: scene.outcome is not None)
        assert isinstance(scene.outcome, LeaseLost)
        view = (await harness.detail(job_id)).view
        assert (view.state, view.suspect, view.attempt) == (State.QUEUED, True, 0)
        assert await harness.cases() == []


async def test_heartbeats_keep_a_lease_beyond_its_length(open_harness: HarnessMaker) -> None:
    scene = Scene()
    async with open_harness(registry_of(scene.on_thread)) as harness:
        worker = harness.start(lease_seconds=0.4)
        job_id = await harness.enqueue()
        await until("the handler runs", scene.entered.is_set)
        [running] = worker.in_flight.all()
        first = running.job.lease_until
        clock = harness.engines.clock
        await until("two leases have passed", lambda: clock.lease_ms() > first + 400)
        scene.leave.set()
        assert len((await harness.reaches(job_id)).attempts) == 1
