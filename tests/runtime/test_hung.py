"""Functions that do not return, or hold the loop up: seen, counted, told, and never doubled."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import pytest

from hms_svc import RunningJob, dao
from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.lifecycle import State
from hms_svc.domain.outcome import Cancel, RetryLater
from hms_svc.domain.views import WorkerView
from hms_svc.sdk.registry import Registry
from tests.support.waiting import until
from tests.support.worker import HarnessMaker, WorkerHarness, registry_of, result_of

ONCE = RetryPolicy(max_attempts=1)
TIMEOUT_SECONDS = 0.2


class Scene:
    """A function that returns when the test says so; it counts who is in it."""

    def __init__(self) -> None:
        self.leave = threading.Event()
        self.inside = 0
        self.most = 0

    def stay(self, job: RunningJob) -> int:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.leave.wait(30)
        self.inside -= 1
        return job.attempt


async def seen(harness: WorkerHarness) -> WorkerView:
    [worker] = await harness.engines.inspection.workers()
    return worker


async def test_a_hung_function_is_busy_in_the_register_and_named_in_the_log(
    open_harness: HarnessMaker, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene()
    registry = registry_of(scene.stay, retry=ONCE, timeout_seconds=TIMEOUT_SECONDS)
    async with open_harness(registry) as harness:
        worker = harness.start(hung_seconds=0.1, lease_seconds=0.5)
        view = (await harness.run()).view
        assert (view.state, view.reason) == (State.DEAD, "timeout")

        async def is_hung() -> int:
            return (await seen(harness)).hung

        await until("the register has it as hung", is_hung)
        told = await seen(harness)
        assert (told.hung, told.busy, told.jobs) == (1, 1, ())
        named = f"job {view.id} (test.job), attempt 1: its function still runs"
        await until("the log names it", lambda: named in caplog.text)
        [line] = [each.getMessage() for each in caplog.records if named in each.getMessage()]
        assert "called by stay (" in line
        assert f"{__file__}:" in line
        assert "\n" not in line
        scene.leave.set()
        await until("it returns", lambda: not worker.in_flight.hung())
        assert not worker.is_hung, "other slots were free"


async def test_no_other_attempt_starts_beside_a_function_that_has_not_returned(
    open_harness: HarnessMaker,
) -> None:
    scene = Scene()
    retry = RetryPolicy(max_attempts=5, base_seconds=3.0, cap_seconds=3.0)
    registry = registry_of(scene.stay, retry=retry, timeout_seconds=1.0)
    async with open_harness(registry) as harness:
        harness.start(hung_seconds=60.0)
        job_id = await harness.enqueue()
        detail = await harness.reaches(job_id, State.SCHEDULED)
        assert detail.view.detail == "the function of an earlier attempt has not returned yet"
        assert detail.view.attempt == 1, "the attempt is given back"
        scene.leave.set()
        assert result_of(await harness.reaches(job_id)) == 2
        assert scene.most == 1


async def test_a_job_whose_function_never_returns_is_dead_in_the_end(
    open_harness: HarnessMaker,
) -> None:
    scene = Scene()
    retry = RetryPolicy(max_attempts=2, base_seconds=0.01, cap_seconds=0.01)
    registry = registry_of(scene.stay, retry=retry, timeout_seconds=TIMEOUT_SECONDS)
    async with open_harness(registry) as harness:
        harness.start(hung_seconds=60.0)
        view = (await harness.run()).view
        assert (view.state, view.reason, view.attempt) == (State.DEAD, "timeout", 2)
        assert scene.most == 1
        scene.leave.set()


async def test_a_worker_whose_slots_all_hang_ends_by_itself(open_harness: HarnessMaker) -> None:
    scene = Scene()
    registry = registry_of(scene.stay, retry=ONCE, timeout_seconds=TIMEOUT_SECONDS)
    async with open_harness(registry) as harness:
        worker = harness.start(slots=2, hung_seconds=0.1)
        await harness.run()
        assert not worker.is_hung
        await harness.run()
        await harness.ended(worker)
        assert (worker.is_hung, worker.is_stuck) == (True, True)
        scene.leave.set()


async def test_a_worker_ends_whose_slots_functions_of_several_types_hold_together(
    open_harness: HarnessMaker, caplog: pytest.LogCaptureFixture
) -> None:
    scene, registry = Scene(), Registry()
    for type in ("a.job", "b.job", "c.job"):
        registry.job(type, retry=ONCE, timeout_seconds=TIMEOUT_SECONDS)(scene.stay)
    async with open_harness(registry) as harness:
        worker = harness.start(slots=4, hung_seconds=0.1)
        for type in ("a.job", "a.job", "b.job"):
            await harness.run(type=type)
        assert not worker.is_hung, "no type has all that it may take, and one slot is free"
        await harness.run(type="b.job")
        await harness.ended(worker)
        assert (worker.is_hung, worker.is_stuck) == (True, True)
        assert "functions that do not return hold all slots of this worker" in caplog.text
        scene.leave.set()


async def test_an_async_handler_that_will_not_be_cancelled_is_hung_too(
    open_harness: HarnessMaker, caplog: pytest.LogCaptureFixture
) -> None:
    leave = threading.Event()

    async def stay(job: RunningJob) -> None:
        while not leave.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    async with open_harness(
        registry_of(stay, retry=ONCE, timeout_seconds=TIMEOUT_SECONDS)
    ) as harness:
        worker = harness.start(hung_seconds=0.1)
        assert (await harness.run()).view.reason == "timeout"
        assert len(worker.in_flight.hung()) == 1
        await until("the log names it", lambda: "it is in sleep (" in caplog.text)
        assert "called by stay (" in caplog.text
        leave.set()


def block(job: RunningJob) -> str:
    time.sleep(2 * TIMEOUT_SECONDS)  # the work of a handler that takes too long
    return "too late"


@pytest.mark.parametrize("is_async", [True, False])
async def test_what_came_back_after_its_timeout_is_a_timeout(
    open_harness: HarnessMaker, caplog: pytest.LogCaptureFixture, is_async: bool
) -> None:
    async def block_loop(job: RunningJob) -> str:
        return block(job)

    handler = block_loop if is_async else block
    async with open_harness(
        registry_of(handler, retry=ONCE, timeout_seconds=TIMEOUT_SECONDS)
    ) as harness:
        harness.start()
        view = (await harness.run()).view
        assert (view.state, view.reason) == (State.DEAD, "timeout")
        assert ("blocked the event loop" in caplog.text) is is_async


async def test_each_failed_attempt_is_logged_once_with_its_exception(
    open_harness: HarnessMaker, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(job: RunningJob) -> None:
        if job.type == "test.cancelled":
            raise Cancel("not now")
        if job.type == "test.later" and job.attempt == 1:
            raise RetryLater(0.01, "not now")
        if job.type == "test.job":
            raise KeyError("ward")

    registry = Registry()
    for type in ("test.job", "test.cancelled", "test.later"):
        registry.job(type, retry=RetryPolicy(max_attempts=2, base_seconds=0.01))(handler)
    async with open_harness(registry) as harness:
        harness.start()
        job_id = (await harness.run()).view.id
        await harness.run(type="test.cancelled")
        await harness.run(type="test.later")
    told = [each for each in caplog.records if each.levelno >= logging.WARNING]
    words = "is dead after attempt 2, error: KeyError: 'ward' (attempt 2 of 2)"
    assert [(each.levelno, each.getMessage()) for each in told] == [
        (logging.WARNING, f"job {job_id} (test.job): attempt 1 failed, error: KeyError: 'ward'"),
        (logging.ERROR, f"job {job_id} (test.job) {words}"),
    ]
    for each in told:
        assert each.exc_info is not None
        assert isinstance(each.exc_info[1], KeyError)


async def test_a_case_of_a_function_that_never_returns_is_named_by_its_dead_job(
    open_harness: HarnessMaker,
) -> None:
    scene = Scene()

    def handler(job: RunningJob) -> None:
        dao.insert_case(job.data)
        scene.stay(job)

    retry = RetryPolicy(max_attempts=2, base_seconds=0.01, cap_seconds=0.01)
    async with open_harness(registry_of(handler, retry=retry, timeout_seconds=2.0)) as harness:
        harness.start(hung_seconds=60.0)
        view = (await harness.run()).view
        assert (view.state, view.reason) == (State.DEAD, "timeout")
        assert view.case_id is not None
        assert (await harness.cases(), scene.most) == ([view.id], 1)
        scene.leave.set()
