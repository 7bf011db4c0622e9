"""One job a tick, whoever submits it; the newest missed one is caught up; operators see and run them."""

from __future__ import annotations

import pytest

from hms_svc.domain.errors import Refused, UnknownId
from hms_svc.domain.lifecycle import State
from hms_svc.domain.schedule import tick_id
from hms_svc.operations.service import Operations, make_operations
from hms_svc.ports.clock import SystemClock
from hms_svc.runtime.scheduler import LEAD_MS, Scheduler
from hms_svc.sdk.registry import Registry
from tests.support.worker import TYPE, HarnessMaker, WorkerHarness, result_of

HOUR_MS = 3_600_000
HOURS = 494_000
"""Since 1970: an hour in the year 2026."""


class HandClock(SystemClock):
    """A wall clock that is set by hand."""

    def __init__(self, at_ms: int) -> None:
        self.at_ms = at_ms

    def now_ms(self) -> int:
        return self.at_ms


def hourly() -> Registry:
    registry = Registry()
    registry.job(TYPE, schedule="0 * * * *", schedule_data={"sweep": 1})(lambda job: job.data)
    return registry


async def ticks_known(harness: WorkerHarness) -> list[int]:
    ids = [tick_id(TYPE, hour * HOUR_MS) for hour in range(HOURS - 5, HOURS + 10)]
    found = await harness.engines.inspection.details(ids)
    return [number - 5 for number, detail in enumerate(found) if detail is not None]


async def test_several_schedulers_make_one_job_a_tick_in_time(open_harness: HarnessMaker) -> None:
    async with open_harness(hourly()) as harness:
        clock = HandClock(HOURS * HOUR_MS + 1)
        broker, registry = harness.engines.broker, harness.engines.registry
        first, second = (Scheduler(broker, registry, clock) for _ in range(2))
        await first.run_once()
        await second.run_once()
        assert await ticks_known(harness) == [1]
        clock.at_ms = (HOURS + 1) * HOUR_MS - LEAD_MS
        await first.run_once()
        await second.run_once()
        assert await ticks_known(harness) == [1, 2]


async def test_after_a_long_sleep_no_missed_tick_but_the_waiting_one_is_made(
    open_harness: HarnessMaker,
) -> None:
    async with open_harness(hourly()) as harness:
        clock = HandClock(HOURS * HOUR_MS + 1)
        scheduler = Scheduler(harness.engines.broker, harness.engines.registry, clock)
        await scheduler.run_once()
        clock.at_ms = (HOURS + 7) * HOUR_MS + 1
        await scheduler.run_once()
        await Scheduler(harness.engines.broker, harness.engines.registry, clock).run_once()
        assert await ticks_known(harness) == [1, 8]


async def test_operators_see_a_schedule_and_run_it_now(open_harness: HarnessMaker) -> None:
    async with open_harness(hourly()) as harness:
        operations = operator(harness)
        with pytest.raises(UnknownId, match=TYPE):
            await operations.schedules.run(TYPE)
        harness.start()
        while not (seen := await operations.schedules.all()) or not seen[0].next_state:
            await harness.engines.broker.wait_for_work(0.01)
        [view] = seen
        assert (view.type, view.cron) == (TYPE, "0 * * * *")
        assert view.description == "At the start of every hour (UTC)"
        assert view.next_state is State.SCHEDULED
        with pytest.raises(Refused):
            await operator(harness, read_only=True).schedules.run(TYPE)
        [answer] = (await operations.schedules.run(TYPE, note="early")).answers
        assert result_of(await harness.reaches(answer.job_id)) == {"sweep": 1}
        audit = await harness.engines.database.audit.records(limit=10, cursor=None)
        assert {record.action for record in audit} == {"job.enqueue"}


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
    )


async def test_a_clock_that_was_ahead_for_a_round_silences_no_schedule(
    open_harness: HarnessMaker,
) -> None:
    async with open_harness(hourly()) as harness:
        clock = HandClock(HOURS * HOUR_MS + 1)
        scheduler = Scheduler(harness.engines.broker, harness.engines.registry, clock)
        clock.at_ms = (HOURS + 6) * HOUR_MS + 1
        await scheduler.run_once()
        for hour in range(3):
            clock.at_ms = (HOURS + hour) * HOUR_MS + 1
            await scheduler.run_once()
        assert await ticks_known(harness) == [1, 2, 3, 7]
