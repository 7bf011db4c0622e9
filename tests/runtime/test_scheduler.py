"""Schedules over a worker in this process: operators see, run, pause and resume them."""

from __future__ import annotations

import pytest

from hms_svc.domain.errors import Refused, UnknownId
from hms_svc.domain.lifecycle import State
from hms_svc.domain.uniqueness import Debounce
from hms_svc.operations.schedules import ScheduleView
from hms_svc.operations.service import Operations, make_operations
from hms_svc.runtime.scheduler import Scheduler, tick_job
from hms_svc.sdk.registry import Registry
from tests.support.worker import TYPE, HarnessMaker, WorkerHarness, result_of

HOUR_MS = 3_600_000
HOURS = 494_000
"""Since 1970: an hour in the year 2026."""


def hourly(**declared: object) -> Registry:
    registry = Registry()
    registry.job(TYPE, schedule="0 * * * *", schedule_data={"sweep": 1}, **declared)(  # type: ignore[arg-type]  # any of its arguments
        lambda job: job.data
    )
    return registry


async def the_schedule(harness: WorkerHarness, operations: Operations) -> ScheduleView:
    """Return the schedule once a worker has declared it."""
    while (
        not (seen := await operations.schedules.all())
        or not await harness.engines.inspection.schedules()
    ):
        await harness.engines.broker.wait_for_work(0.01)
    [view] = seen
    return view


async def test_operators_see_a_schedule_and_run_it_now(open_harness: HarnessMaker) -> None:
    async with open_harness(hourly(overlap="skip", catch_up=0)) as harness:
        operations = operator(harness)
        with pytest.raises(UnknownId, match=f"no worker has declared a schedule for '{TYPE}'"):
            await operations.schedules.run(TYPE)
        harness.start()
        view = await the_schedule(harness, operations)
        assert (view.type, view.cron) == (TYPE, "0 * * * *")
        assert view.description == "At the start of every hour (UTC)"
        assert (view.last_at, view.skipped, view.is_paused) == (None, 0, False)
        with pytest.raises(Refused):
            await operator(harness, read_only=True).schedules.run(TYPE)
        job_id = await operations.schedules.run(TYPE, note="early")
        assert result_of(await harness.reaches(job_id)) == {"sweep": 1}
        view = await the_schedule(harness, operations)
        assert (view.overlap, view.catch_up) == ("skip", 0)
        assert (view.last_job, view.last_state) == (job_id, State.COMPLETED)
        audit = await harness.engines.database.audit.records(limit=10, cursor=None)
        assert {record.action for record in audit} == {"job.enqueue"}


async def test_what_must_not_overlap_is_not_run_now_and_the_audit_tells(
    open_harness: HarnessMaker,
) -> None:
    async with open_harness(hourly(overlap="skip")) as harness:
        operations = operator(harness)
        await Scheduler(
            harness.engines.broker, harness.engines.registry, harness.engines.clock
        ).run_once()
        first = await operations.schedules.run(TYPE)
        with pytest.raises(Refused, match=f"overlap: job {first} of the run before is queued"):
            await operations.schedules.run(TYPE)
        newest, *_ = await harness.engines.database.audit.records(limit=1, cursor=None)
        assert b'"done":false' in newest.detail


async def test_a_run_of_a_debounced_type_that_is_asked_for_is_due_now(
    open_harness: HarnessMaker,
) -> None:
    async with open_harness(hourly(unique=Debounce(lambda data: "ward-7", seconds=10))) as harness:
        operations = operator(harness)
        await Scheduler(
            harness.engines.broker, harness.engines.registry, harness.engines.clock
        ).run_once()
        job_id = await operations.schedules.run(TYPE)
        [found] = await harness.engines.inspection.details([job_id])
        assert found is not None
        assert found.view.state is State.QUEUED


async def test_operators_pause_and_resume_a_schedule(open_harness: HarnessMaker) -> None:
    async with open_harness(hourly()) as harness:
        operations = operator(harness)
        with pytest.raises(UnknownId):
            await operations.schedules.pause(TYPE)
        harness.start()
        await the_schedule(harness, operations)
        await operations.schedules.pause(TYPE, reason="the road is closed")
        view = await the_schedule(harness, operations)
        assert view.is_paused
        assert (view.paused_by, view.pause_reason) == (
            harness.settings.actor,
            "the road is closed",
        )
        await operations.schedules.resume(TYPE)
        assert not (await the_schedule(harness, operations)).is_paused
        audit = await harness.engines.database.audit.records(limit=10, cursor=None)
        assert {record.action for record in audit} == {"schedule.pause", "schedule.resume"}
        for forbidden in (operator(harness, read_only=True).schedules,):
            with pytest.raises(Refused):
                await forbidden.pause(TYPE)
            with pytest.raises(Refused):
                await forbidden.resume(TYPE)


def test_the_job_of_a_run_has_the_version_of_its_data() -> None:
    registry = hourly(version=2, upgrade={1: lambda data: data}, priority=3)
    [declared] = registry
    job = tick_job(declared, HOURS * HOUR_MS, HOURS * HOUR_MS + 5)
    assert (job.version, job.priority, job.not_before) == (2, 3, HOURS * HOUR_MS)
    assert job.data == b'{"sweep":1}'


def operator(harness: WorkerHarness, *, read_only: bool = False) -> Operations:
    engines = harness.engines
    return make_operations(
        harness.settings,
        broker=engines.broker,
        inspection=engines.inspection,
        control=engines.control,
        bus=engines.bus,
        database=engines.database,
        read_only=read_only,
        registry=engines.registry,
    )
