"""No type takes all slots of a worker: what hangs holds up its own type, and nobody else's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hms_svc import RunningJob
from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.errors import DatabaseUnavailable
from hms_svc.domain.job import make_job
from hms_svc.domain.lifecycle import State
from hms_svc.ports.broker import ClaimRequest, ServedType, Settlement
from hms_svc.runtime.availability import Availability
from hms_svc.runtime.in_flight import InFlight
from hms_svc.runtime.prefetch import Prefetch
from hms_svc.runtime.type_capacity import TypeCapacity
from hms_svc.sdk.registry import Registry, slots_by_type
from tests.support.waiting import until
from tests.support.worker import HarnessMaker, WorkerHarness, result_of

ONCE = RetryPolicy(max_attempts=1)


def nothing() -> None:
    """Do nothing."""


def fails_once(runs: list[int]) -> Callable[[RunningJob], str]:
    """Make a handler whose first run fails, and which notes the attempts."""

    def handler(job: RunningJob) -> str:
        runs.append(job.attempt)
        if len(runs) == 1:
            raise ConnectionError("once")
        return "done"

    return handler


class Crowd:
    """A coroutine that stays until it is told to leave, and counts those inside."""

    def __init__(self) -> None:
        self.inside = 0
        self.leave = asyncio.Event()

    async def stay(self) -> None:
        self.inside += 1
        await self.leave.wait()
        self.inside -= 1


@pytest.mark.parametrize(
    ("slots", "declared", "expected"),
    [(20, None, 15), (20, 5, 5), (20, 999, 15), (8, None, 6), (2, None, 1), (1, None, 1)],
)
def test_a_quarter_of_the_slots_is_kept_for_the_others(
    slots: int, declared: int | None, expected: int
) -> None:
    registry = Registry()
    registry.job("slow.job", slots=declared)(nothing)
    registry.job("other.job")(nothing)
    assert slots_by_type(registry, slots)["slow.job"] == expected


def test_a_type_that_is_served_alone_may_take_all() -> None:
    registry = Registry()
    registry.job("slow.job")(nothing)
    registry.job("less.job", slots=3)(nothing)
    assert slots_by_type(registry.only(["slow.job"]), 20) == {"slow.job": 20}
    assert slots_by_type(registry.only(["less.job"]), 20) == {"less.job": 3}


async def test_jobs_that_hang_leave_slots_to_other_types(open_harness: HarnessMaker) -> None:
    crowd, registry = Crowd(), Registry()
    registry.job("slow.job")(crowd.stay)
    registry.job("other.job")(lambda: "done")
    async with open_harness(registry) as harness:
        slow = [await harness.enqueue(type="slow.job") for _ in range(12)]
        worker = harness.start(slots=8)
        await until("its slots are taken", lambda: crowd.inside == 6)
        others = [await harness.enqueue(type="other.job") for _ in range(20)]
        for job_id in others:
            assert result_of(await harness.reaches(job_id)) == "done"
        assert (crowd.inside, len(worker.in_flight)) == (6, 6)
        crowd.leave.set()
        for job_id in slow:
            await harness.reaches(job_id, State.COMPLETED)


async def test_a_declared_limit_holds_and_each_end_lets_the_next_begin(
    open_harness: HarnessMaker,
) -> None:
    inside, most, registry = 0, 0, Registry()

    async def count() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)
        inside -= 1

    registry.job("slow.job", slots=2)(count)
    registry.job("other.job")(nothing)
    async with open_harness(registry) as harness:
        ids = [await harness.enqueue(type="slow.job") for _ in range(60)]
        harness.start(slots=8)
        for job_id in ids:
            await harness.reaches(job_id, State.COMPLETED)
        assert most == 2


async def test_what_one_worker_has_no_room_for_another_takes(open_harness: HarnessMaker) -> None:
    crowd, registry = Crowd(), Registry()
    registry.job("slow.job", slots=1)(crowd.stay)
    registry.job("other.job")(nothing)
    async with open_harness(registry) as harness:
        first = harness.start(slots=4)
        second = harness.start(slots=4)
        for _ in range(3):
            await harness.enqueue(type="slow.job")
        await until("each has one", lambda: crowd.inside == 2)
        assert (len(first.in_flight), len(second.in_flight)) == (1, 1)
        crowd.leave.set()


async def test_a_worker_whose_functions_of_one_type_all_hang_ends(
    open_harness: HarnessMaker,
) -> None:
    leave, registry = threading.Event(), Registry()
    registry.job("stuck.job", retry=ONCE, timeout_seconds=0.1)(lambda: leave.wait(30))
    registry.job("other.job")(lambda: "done")
    async with open_harness(registry) as harness:
        for _ in range(3):
            await harness.enqueue(type="stuck.job")
        worker = harness.start(slots=4, hung_seconds=0.2)
        await harness.ended(worker)
        assert worker.is_hung
        assert worker.is_stuck
        leave.set()


async def test_a_database_that_hangs_holds_up_the_jobs_that_ask_it(
    open_harness: HarnessMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that is delivered again waits for the database; one that is new does not."""
    registry = Registry()
    runs: list[int] = []

    registry.job("again.job", retry=RetryPolicy(base_seconds=0.01))(fails_once(runs))
    registry.job("other.job")(lambda: "done")
    async with open_harness(registry) as harness:
        database, answers = harness.engines.database, asyncio.Event()
        asked: list[str] = []

        async def hang(claims: Sequence[tuple[str, int]]) -> Any:
            asked.extend(job_id for job_id, _ in claims)
            await answers.wait()
            raise DatabaseUnavailable("it has not answered within 5 s")

        monkeypatch.setattr(database.effects, "recall", hang)
        harness.start(slots=4)
        again = await harness.enqueue(type="again.job")
        await until("it is asked for", lambda: asked == [again])
        for _ in range(10):
            assert result_of(await harness.run(type="other.job")) == "done"
        assert runs == [1]
        answers.set()
        waiting = await harness.reaches(again, State.SCHEDULED)
        assert waiting.history[-1].trigger == "released"
        assert waiting.view.attempt == 1


async def test_settlements_that_were_slow_hold_up_nothing_once_they_are_written(
    open_harness: HarnessMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claiming goes on when they are written, not when the one long job that is in progress ends.

    While they are not written, at most 516 jobs wait for it when the last claim takes at most 504.
    """
    crowd, registry, may_settle = Crowd(), Registry(), asyncio.Event()
    registry.job("long.job")(crowd.stay)
    registry.job("short.job")(nothing)
    async with open_harness(registry) as harness:
        broker, handed_in = harness.engines.broker, 0
        settle = broker.settle

        async def slow(settlements: Sequence[Settlement]) -> Any:
            await may_settle.wait()
            return await settle(settlements)

        monkeypatch.setattr(broker, "settle", slow)
        await harness.enqueue(type="long.job")
        now = harness.engines.clock.now_ms()
        jobs = [make_job("short.job", n, now_ms=now) for n in range(1100)]
        await broker.enqueue(jobs)
        worker = harness.start(slots=4)

        async def processing() -> int:
            queues = await harness.engines.inspection.queues()
            return sum(queue.counts.processing for queue in queues)

        while (taken := await processing()) != handed_in or taken < 100:
            handed_in = taken
            await asyncio.sleep(0.1)
        assert handed_in < len(jobs)
        assert len(worker.in_flight) == 1
        may_settle.set()
        for job in jobs:
            await harness.reaches(job.id, State.COMPLETED)
        assert crowd.inside == 1
        crowd.leave.set()


async def test_a_lease_is_renewed_while_the_database_is_asked(
    open_harness: HarnessMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry()
    runs: list[int] = []

    registry.job("again.job", retry=RetryPolicy(base_seconds=0.01))(fails_once(runs))
    async with open_harness(registry) as harness:
        recall, goes_on = harness.engines.database.effects.recall, asyncio.Event()
        asked: list[str] = []

        async def wait(claims: Sequence[tuple[str, int]]) -> Any:
            asked.extend(job_id for job_id, _ in claims)
            await goes_on.wait()
            return await recall(claims)

        monkeypatch.setattr(harness.engines.database.effects, "recall", wait)
        harness.start(slots=2, lease_seconds=0.4)
        again = await harness.enqueue(type="again.job")
        await until("it is asked for", lambda: asked)
        clock = harness.engines.clock
        lapsed = clock.lease_ms() + 1200
        await until("three leases have passed", lambda: clock.lease_ms() > lapsed)
        goes_on.set()
        done = await harness.reaches(again)
        assert result_of(done) == "done"
        assert "rescued" not in [step.trigger for step in done.history]
        assert runs == [1, 2]


async def test_what_breaks_a_look_up_gives_its_jobs_back(
    open_harness: HarnessMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, runs = Registry(), list[int]()

    registry.job("again.job", retry=RetryPolicy(base_seconds=0.01))(fails_once(runs))
    async with open_harness(registry) as harness:
        recall, broken = harness.engines.database.effects.recall, [True]

        async def breaks_once(claims: Sequence[tuple[str, int]]) -> Any:
            if broken:
                broken.clear()
                raise ZeroDivisionError
            return await recall(claims)

        monkeypatch.setattr(harness.engines.database.effects, "recall", breaks_once)
        worker = harness.start(slots=2)
        assert result_of(await harness.run(type="again.job")) == "done"
        assert not broken
        await until("no slot is taken", lambda: not len(worker.in_flight))


async def test_an_idle_worker_of_several_types_is_not_held_back_by_limits_that_nothing_reaches(
    open_harness: HarnessMaker,
) -> None:
    registry = Registry()
    for name in ("test.one", "test.two"):
        registry.job(name)(nothing)
    async with open_harness(registry) as harness:
        in_flight, slots_of = InFlight(), slots_by_type(registry, 20)
        availability = Availability(harness.engines.database, harness.engines.clock)
        capacity = TypeCapacity(registry, slots_of, in_flight, availability, Prefetch(slots_of))
        types = capacity.types_for(20, limited=True)
        assert [served.capacity for served in types] == [15, 15]
        assert not capacity.is_held_back(types, 0)
        assert capacity.is_held_back(types, 15)
        claimed = await harness.engines.broker.claim(await one_claim(harness, "test.one"))
        in_flight.expect(claimed)
        assert capacity.is_held_back(types, 1)


async def one_claim(harness: WorkerHarness, type: str) -> ClaimRequest:
    await harness.enqueue(type=type)
    return ClaimRequest(worker="w", types=(ServedType(type, 1),), limit=1, lease_ms=30_000)


async def test_a_backlog_of_one_of_several_types_is_worked_off_without_a_further_notification(
    open_harness: HarnessMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def brief() -> None:
        await asyncio.sleep(0.001)

    async def never(seconds: float) -> bool:
        await asyncio.Event().wait()
        return False

    registry = Registry()
    for name in ("test.one", "test.two"):
        registry.job(name)(brief)
    async with open_harness(registry) as harness:
        ids = [await harness.enqueue(type="test.one") for _ in range(300)]
        monkeypatch.setattr(harness.engines.broker, "wait_for_work", never)
        harness.start(slots=20)
        for job_id in ids:
            await harness.reaches(job_id, State.COMPLETED)
