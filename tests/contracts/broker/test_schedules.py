"""Each due run of a schedule begins once or is skipped by its rule, on every broker, with four schedulers at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from hms_svc.domain.filter import parse_filter
from hms_svc.domain.lifecycle import State
from hms_svc.domain.schedule import make_schedule, tick_id
from hms_svc.ports.backend import Backend
from hms_svc.ports.control import NOT_KNOWN, Act, ActRequest
from hms_svc.ports.schedules import ScheduleState
from hms_svc.runtime.scheduler import MOST_LOGGED, Scheduler
from hms_svc.sdk.registry import Registry
from tests.support.broker_engines import BrokerHarness, BrokerMaker, ManualClock

SWEEP = "roads.sweep"
HOUR_MS = 3_600_000
BERLIN = ZoneInfo("Europe/Berlin")
START = 1_800_000_000_000
"""A whole hour of 2027."""


def registry_of(cron: str = "0 * * * *", **declared: Any) -> Registry:
    registry = Registry()
    registry.job(SWEEP, schedule=cron, **declared)(lambda job: None)
    return registry


class Workers:
    """Four schedulers, each with a broker of its own, as in four worker processes."""

    def __init__(self, backends: list[Backend], clock: ManualClock) -> None:
        self._backends = backends
        self.clock = clock
        self.first = BrokerHarness(backends[0], clock)
        self.schedulers: list[Scheduler] = []

    def start(self, registry: Registry) -> None:
        self.schedulers = [Scheduler(each.broker, registry, self.clock) for each in self._backends]

    async def round(self) -> None:
        await asyncio.gather(*(each.run_once() for each in self.schedulers))

    async def pass_time(self, until_ms: int, step_seconds: float = 300) -> None:
        """Let time pass, with a round of all after each step."""
        while self.clock.wall < until_ms:
            self.clock.advance(min(step_seconds, (until_ms - self.clock.wall) / 1000))
            await self.round()

    async def runs(self) -> list[str]:
        """Return the ids of the jobs of all runs, in the order of their ticks."""
        page = await self.first.inspection.page(parse_filter(f"type:{SWEEP}"), limit=0, cursor=None)
        return sorted(view.id for view in page.jobs)

    async def state(self) -> ScheduleState:
        return (await self.first.inspection.schedules())[SWEEP]

    async def end_all(self) -> None:
        for job in await self.first.claim(100, SWEEP):
            await self.first.complete(job)


@pytest.fixture
async def workers(make_backend: BrokerMaker, clock: ManualClock) -> AsyncIterator[Workers]:
    async with AsyncExitStack() as stack:
        backends = [await stack.enter_async_context(make_backend()) for _ in range(4)]
        yield Workers(backends, clock)


def ids_of(*at_ms: int) -> list[str]:
    return [tick_id(SWEEP, tick) for tick in at_ms]


def hours_from(start_ms: int, count: int) -> Iterator[int]:
    return (start_ms + hour * HOUR_MS for hour in range(1, count + 1))


@pytest.mark.parametrize(
    ("day", "cron", "wanted"),
    [
        # In autumn 02:00 to 03:00 is there twice: a set hour runs once, an hourly one at each hour.
        ("2026-10-25", "30 2 * * *", ["00:30"]),
        ("2026-10-25", "0 2,3 * * *", ["00:00", "02:00"]),
        ("2026-10-25", "0 0-4 * * *", ["22:00", "23:00", "00:00", "02:00", "03:00"]),
        ("2026-10-25", "0 * * * *", ["22:00", "23:00", "00:00", "01:00", "02:00", "03:00"]),
        # In spring it is skipped: a set hour within it runs at its end.
        ("2026-03-29", "30 2 * * *", ["01:00"]),
        ("2026-03-29", "0 2,3 * * *", ["01:00"]),
        ("2026-03-29", "0 0-4 * * *", ["23:00", "00:00", "01:00", "02:00"]),
        ("2026-03-29", "0 * * * *", ["23:00", "00:00", "01:00", "02:00"]),
    ],
)
async def test_over_a_change_of_clocks_each_run_begins_once(
    workers: Workers, clock: ManualClock, day: str, cron: str, wanted: list[str]
) -> None:
    midnight = datetime.fromisoformat(day).replace(tzinfo=BERLIN)
    clock.wall = int(midnight.timestamp() * 1000) - 1000
    workers.start(registry_of(cron, time_zone="Europe/Berlin"))
    await workers.round()
    end = midnight.replace(hour=4, minute=20)
    await workers.pass_time(int(end.timestamp() * 1000))
    begun = [job_id.rpartition("T")[2] for job_id in await workers.runs()]
    assert begun == [at.replace(":", "") + "Z" for at in wanted]
    assert (await workers.state()).skipped == 0


@pytest.mark.parametrize(("catch_up", "made_up_for"), [(0, 0), (1, 1), (2, 2), (100, 3)])
async def test_after_an_outage_of_three_hours_the_newest_runs_are_made_up_for(
    workers: Workers, clock: ManualClock, catch_up: int, made_up_for: int
) -> None:
    registry = registry_of(catch_up=catch_up)
    workers.start(registry)
    await workers.round()
    await workers.pass_time(START + HOUR_MS)
    assert await workers.runs() == ids_of(START + HOUR_MS)
    clock.advance(3 * 3600 + 1200)  # nobody is there
    workers.start(registry)
    await workers.round()
    await workers.round()
    missed = list(hours_from(START + HOUR_MS, 3))
    begun = missed[3 - made_up_for :]
    assert await workers.runs() == ids_of(START + HOUR_MS, *begun)
    state = await workers.state()
    assert (state.decided, state.skipped) == (missed[-1], 3 - made_up_for)
    if made_up_for < 3:
        skipped = missed[2 - made_up_for]
        assert (state.skipped_at, state.skip_reason.partition(":")[0]) == (skipped, "missed")
    await workers.pass_time(START + 5 * HOUR_MS)
    assert await workers.runs() == ids_of(START + HOUR_MS, *begun, START + 5 * HOUR_MS)


async def test_a_run_that_is_due_now_is_the_one_that_is_made_up_for(
    workers: Workers, clock: ManualClock
) -> None:
    for catch_up in (0, 1):
        begun = clock.wall // HOUR_MS * HOUR_MS
        workers.start(registry_of(catch_up=catch_up))
        await workers.round()
        clock.advance(3 * 3600 + 30)
        before = await workers.runs()
        workers.start(registry_of(catch_up=catch_up))
        await workers.round()
        assert await workers.runs() == [*before, *ids_of(begun + 3 * HOUR_MS)]


async def test_workers_that_were_asleep_make_up_for_no_run_that_others_have_begun(
    workers: Workers, clock: ManualClock
) -> None:
    workers.start(registry_of(catch_up=100))
    await workers.round()
    asleep = workers.schedulers[1:]
    workers.schedulers = workers.schedulers[:1]
    await workers.pass_time(START + 3 * HOUR_MS)
    await workers.end_all()
    gone = await workers.runs()
    await workers.first.control.forget(gone)
    workers.schedulers = asleep
    await workers.round()
    assert len(gone) == 3
    assert await workers.runs() == []


async def test_a_run_is_skipped_while_the_run_before_has_not_ended(workers: Workers) -> None:
    workers.start(registry_of(overlap="skip"))
    await workers.round()
    await workers.pass_time(START + HOUR_MS)
    [first] = ids_of(START + HOUR_MS)
    [job] = await workers.first.claim(1, SWEEP)
    await workers.pass_time(START + 3 * HOUR_MS)
    assert await workers.runs() == [first]
    state = await workers.state()
    assert (state.skipped, state.skipped_at) == (2, START + 3 * HOUR_MS)
    assert state.skip_reason == f"overlap: job {first} of the run before is processing"
    assert (state.last_at, state.last_job) == (START + HOUR_MS, first)
    await workers.first.complete(job)
    await workers.pass_time(START + 4 * HOUR_MS)
    assert await workers.runs() == ids_of(START + HOUR_MS, START + 4 * HOUR_MS)


async def test_a_run_that_waits_for_its_next_attempt_has_not_ended_either(
    workers: Workers,
) -> None:
    workers.start(registry_of(overlap="skip"))
    await workers.round()
    await workers.pass_time(START + HOUR_MS)
    [job] = await workers.first.claim(1, SWEEP)
    await workers.first.settle(job, State.RETRYING, delay_ms=10 * HOUR_MS)
    await workers.pass_time(START + 2 * HOUR_MS)
    assert (await workers.state()).skip_reason.endswith("is retrying")
    discard = ActRequest(act=Act.DISCARD, job_ids=(job.job.id,), by="ravi")
    await workers.first.control.act(discard)
    await workers.pass_time(START + 3 * HOUR_MS)
    assert (await workers.state()).last_at == START + 3 * HOUR_MS


async def test_of_runs_that_are_made_up_for_one_begins_if_they_must_not_overlap(
    workers: Workers, clock: ManualClock
) -> None:
    registry = registry_of(overlap="skip", catch_up=100)
    workers.start(registry)
    await workers.round()
    clock.advance(3 * 3600 + 1200)
    workers.start(registry)
    await workers.round()
    assert len(await workers.runs()) == 1
    assert (await workers.state()).skipped == 2


async def test_runs_overlap_where_it_is_not_forbidden(workers: Workers) -> None:
    workers.start(registry_of())
    await workers.round()
    await workers.pass_time(START + 3 * HOUR_MS)
    assert await workers.runs() == ids_of(*hours_from(START, 3))


async def test_an_operator_runs_one_now_if_it_does_not_overlap(workers: Workers) -> None:
    harness = workers.first
    job = harness.job(type=SWEEP)
    assert await harness.broker.run_now(job) == NOT_KNOWN
    workers.start(registry_of(overlap="skip"))
    await workers.round()
    assert await harness.broker.run_now(job) == ""
    assert await harness.state(job.id) is State.QUEUED
    state = await workers.state()
    assert (state.last_at, state.last_job, state.skipped) == (START, job.id, 0)
    other = harness.job(type=SWEEP)
    assert await harness.broker.run_now(other) == (
        f"overlap: job {job.id} of the run before is queued"
    )
    await workers.pass_time(START + HOUR_MS)
    assert await workers.runs() == [job.id]
    await workers.end_all()
    assert await harness.broker.run_now(other) == ""


async def test_runs_of_a_paused_schedule_are_skipped_and_not_made_up_for(
    workers: Workers, clock: ManualClock
) -> None:
    control = workers.first.control
    assert not await control.pause_schedule(SWEEP, by="ada", reason="")
    workers.start(registry_of(catch_up=100))
    await workers.round()
    assert await control.pause_schedule(SWEEP, by="ada", reason="the road is closed")
    await workers.pass_time(START + 2 * HOUR_MS)
    state = await workers.state()
    assert (state.skipped, state.skip_reason) == (2, "paused by ada")
    assert (state.paused_by, state.pause_reason) == ("ada", "the road is closed")
    assert state.paused_at == START
    clock.advance(2 * 3600)  # nobody is there
    assert await control.resume_schedule(SWEEP)
    workers.start(registry_of(catch_up=100))
    await workers.round()
    assert await workers.runs() == []
    state = await workers.state()
    assert (state.paused_by, state.paused_at, state.pause_reason) == ("", 0, "")
    await workers.pass_time(START + 5 * HOUR_MS)
    assert await workers.runs() == ids_of(START + 5 * HOUR_MS)


async def test_a_paused_schedule_can_be_run_now(workers: Workers) -> None:
    workers.start(registry_of())
    await workers.round()
    await workers.first.control.pause_schedule(SWEEP, by="ada", reason="")
    assert await workers.first.broker.run_now(workers.first.job(type=SWEEP)) == ""


async def test_a_clock_that_was_ahead_silences_no_schedule(
    workers: Workers, clock: ManualClock
) -> None:
    workers.start(registry_of())
    await workers.round()
    clock.advance(6 * 3600)
    await workers.round()
    clock.advance(-6 * 3600)
    await workers.pass_time(START + 8 * HOUR_MS)
    begun = [START + HOUR_MS * hour for hour in (1, 2, 3, 4, 5, 6, 7, 8)]
    assert await workers.runs() == ids_of(*begun)


@pytest.mark.parametrize("skew_seconds", [-7200, -90, 90, 7200])
async def test_the_clock_of_the_broker_counts(
    workers: Workers, clock: ManualClock, skew_seconds: int
) -> None:
    own = ManualClock()
    own.advance(skew_seconds)
    scheduler = Scheduler(workers.first.broker, registry_of("* * * * *", catch_up=0), own)
    for _ in range(60):
        await scheduler.run_once()
        for each in (clock, own):
            each.advance(10)
    begun = [START + 60_000 * minute for minute in range(1, 10)]
    assert await workers.runs() == ids_of(*begun)
    own.advance(-skew_seconds)
    for _ in range(7):
        await scheduler.run_once()
        for each in (clock, own):
            each.advance(10)
    assert await workers.runs() == ids_of(*begun, START + 600_000, START + 660_000)


async def test_other_cron_fields_come_due_from_their_declaration_on(
    workers: Workers, clock: ManualClock
) -> None:
    workers.start(registry_of("0 0 1 1 *"))
    await workers.round()
    clock.advance(3 * 3600)
    workers.start(registry_of("0 * * * *", catch_up=100))
    await workers.round()
    assert await workers.runs() == []
    assert (await workers.state()).cron == "0 * * * *"
    await workers.pass_time(START + 4 * HOUR_MS)
    assert await workers.runs() == ids_of(START + 4 * HOUR_MS)


async def test_a_schedule_whose_state_was_lost_goes_on(workers: Workers) -> None:
    workers.start(registry_of())
    await workers.round()
    await workers.pass_time(START + HOUR_MS)
    await lose_states(workers.first)
    await workers.pass_time(START + 3 * HOUR_MS)
    assert await workers.runs() == ids_of(*hours_from(START, 3))
    assert (await workers.state()).decided == START + 3 * HOUR_MS


@pytest.mark.parametrize(
    "raw", [b"x", b"{}", b"[1]", b"7", b'{"cron":1,"decided":1}', b'{"cron":"","decided":"x"}']
)
async def test_a_state_that_cannot_be_read_stops_no_schedule(workers: Workers, raw: bytes) -> None:
    registry = registry_of()
    registry.job("roads.salt", schedule="0 * * * *")(lambda job: None)
    workers.start(registry)
    await workers.round()
    await spoil_state(workers.first, raw)
    assert list(await workers.first.inspection.schedules()) == ["roads.salt"]
    workers.start(registry)
    await workers.pass_time(START + 2 * HOUR_MS)
    assert await workers.runs() == ids_of(*hours_from(START, 2))
    assert await workers.first.counts("roads.salt") == {"queued": 2}
    assert len(await workers.first.inspection.schedules()) == 2


async def spoil_state(harness: BrokerHarness, raw: bytes) -> None:
    broker: Any = harness.broker
    if hasattr(broker, "_file"):
        change = "UPDATE schedules SET state = ? WHERE type = ?"
        await broker._file.write(
            lambda transaction: transaction.connection.execute(change, (raw, SWEEP))
        )
    else:
        await broker._link.ask("HSET", broker._link.keys.ours("schedules"), SWEEP, raw)


async def test_many_runs_that_are_skipped_at_once_fill_no_log(
    workers: Workers, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = Scheduler(workers.first.broker, registry_of("* * * * *"), clock)
    await scheduler.run_once()
    clock.advance(86_400)
    await scheduler.run_once()
    assert (await workers.state()).skipped == 1439
    assert len(caplog.records) == MOST_LOGGED + 1
    assert "runs skipped before these: 1429" in caplog.text


async def lose_states(harness: BrokerHarness) -> None:
    broker: Any = harness.broker
    if hasattr(broker, "_file"):
        await broker._file.write(
            lambda transaction: transaction.connection.execute("DELETE FROM schedules")
        )
    else:
        await broker._link.ask("DEL", broker._link.keys.ours("schedules"))


async def test_after_a_long_outage_the_runs_of_a_week_are_looked_at(
    workers: Workers, clock: ManualClock
) -> None:
    registry = registry_of()
    workers.start(registry)
    await workers.round()
    clock.advance(30 * 86_400 + 600)
    workers.start(registry)
    await workers.round()
    assert await workers.runs() == ids_of(START + 30 * 24 * HOUR_MS)
    assert (await workers.state()).skipped == 7 * 24 - 1


def test_the_hours_above_are_whole() -> None:
    assert next(iter(make_schedule("0 * * * *").between(START - 1, START))) == START
    assert datetime.fromtimestamp(START / 1000, UTC).year == 2027
