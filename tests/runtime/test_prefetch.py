"""Short jobs are claimed ahead of free slots; long ones never wait behind others, and nothing is burned."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from hms_svc import RunningJob
from hms_svc.domain.job import make_job
from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import WorkerRequest, WorkerState
from hms_svc.ports.broker import ClaimRequest
from hms_svc.runtime.prefetch import HORIZON_SECONDS, MAX_AHEAD, Prefetch, low_water
from tests.support.waiting import until
from tests.support.worker import TYPE, HarnessMaker, WorkerHarness, registry_of

OTHER = "test.other"
JOBS = 300
WARM = 40
"""So many runs make a worker with few slots claim ahead."""


class Workshop:
    """Handlers that run at once until they are told to stay; it counts who is inside."""

    def __init__(self) -> None:
        self.inside: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.runs: Counter[str] = Counter()
        self.open = asyncio.Event()
        self.open.set()

    async def run(self, job: RunningJob) -> None:
        self.runs[job.id] += 1
        self.inside[job.type] += 1
        self.inside["all"] += 1
        for name in (job.type, "all"):
            self.most[name] = max(self.most[name], self.inside[name])
        await asyncio.sleep(0)
        await self.open.wait()
        self.inside[job.type] -= 1
        self.inside["all"] -= 1


async def enqueue(harness: WorkerHarness, number: int, type: str = TYPE) -> list[str]:
    now = harness.engines.clock.now_ms()
    jobs = [make_job(type, {"n": each}, now_ms=now) for each in range(number)]
    await harness.engines.broker.enqueue(jobs)
    return [job.id for job in jobs]


async def completed(harness: WorkerHarness, type: str = TYPE) -> int:
    return (await harness.engines.inspection.queues([type]))[0].counts.completed


async def all_completed(harness: WorkerHarness, number: int, type: str = TYPE) -> None:
    async def are_completed() -> bool:
        return await completed(harness, type) == number

    await until(f"{number} completed", are_completed)


class Claims:
    """The sizes of the claims that a broker answers."""

    def __init__(self, harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        broker = harness.engines.broker
        claim = broker.claim

        async def counted(request: ClaimRequest) -> object:
            claimed = await claim(request)
            self.sizes.append(len(claimed))
            return claimed

        monkeypatch.setattr(broker, "claim", counted)


def test_a_type_is_claimed_ahead_as_far_as_its_jobs_begin_within_the_horizon() -> None:
    prefetch = Prefetch({TYPE: 10})
    for _ in range(9):
        prefetch.note(TYPE, 0.001)
    assert prefetch.ahead_of(TYPE) == 0  # not as many runs as slots have ended
    prefetch.note(TYPE, 0.001)
    assert prefetch.ahead_of(TYPE) == pytest.approx(10 * HORIZON_SECONDS / 0.001, abs=1)
    for _ in range(200):
        prefetch.note(TYPE, 0.00001)
    assert prefetch.ahead_of(TYPE) == MAX_AHEAD
    prefetch.note(TYPE, 5.0)  # one long run is enough
    assert prefetch.ahead_of(TYPE) == 0


def test_more_is_claimed_while_as_many_jobs_wait_as_run_within_an_exchange() -> None:
    assert [low_water(ahead, 20) for ahead in (0, 1, 14, 100, 500)] == [0, 0, 10, 70, 270]
    assert low_water(500, 100) == 350


def test_a_type_that_is_given_back_begins_anew() -> None:
    prefetch = Prefetch({TYPE: 2})
    for _ in range(2):
        prefetch.note(TYPE, 0.001)
    assert prefetch.ahead_of(TYPE) > 0
    prefetch.forget(TYPE)
    assert prefetch.ahead_of(TYPE) == 0


async def test_short_jobs_come_in_large_claims_and_never_take_more_than_the_slots(
    open_harness: HarnessMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = Workshop()
    async with open_harness(registry_of(workshop.run)) as harness:
        await enqueue(harness, JOBS)
        claims = Claims(harness, monkeypatch)
        harness.start(slots=4)
        await all_completed(harness, JOBS)
    assert workshop.most["all"] == 4
    assert set(workshop.runs.values()) == {1}
    assert max(claims.sizes) > 20
    assert len([size for size in claims.sizes if size]) < JOBS // 8


async def test_a_type_keeps_to_its_own_slots(open_harness: HarnessMaker) -> None:
    workshop = Workshop()
    registry = registry_of(workshop.run, slots=1)
    registry.job(OTHER)(workshop.run)
    async with open_harness(registry) as harness:
        await enqueue(harness, JOBS)
        await enqueue(harness, JOBS, OTHER)
        harness.start(slots=4)
        await all_completed(harness, JOBS)
        await all_completed(harness, JOBS, OTHER)
    assert (workshop.most[TYPE], workshop.most[OTHER], workshop.most["all"]) == (1, 3, 4)


async def test_what_waits_too_long_is_given_back_and_another_worker_runs_it(
    open_harness: HarnessMaker,
) -> None:
    workshop = Workshop()
    async with open_harness(registry_of(workshop.run)) as harness:
        first = harness.start(slots=2)
        await enqueue(harness, WARM)
        await all_completed(harness, WARM)
        workshop.open.clear()
        ids = await enqueue(harness, 30)
        await until("full slots", lambda: workshop.inside["all"] == 2)

        async def are_given_back() -> bool:
            counts = (await harness.engines.inspection.queues([TYPE]))[0].counts
            return (counts.queued, counts.processing) == (28, 2)

        await until("28 that wait again", are_given_back)
        assert len(first.in_flight) == 2
        waiting = [each for each in await harness.details(ids) if each.view.state is State.QUEUED]
        assert {each.view.attempt for each in waiting} == {0}
        workshop.open.set()
        await all_completed(harness, WARM + 30)
        ended = await harness.details(ids)
    assert {each.view.attempt for each in ended} == {1}
    assert {workshop.runs[job_id] for job_id in ids} == {1}


@pytest.mark.parametrize("way", ["stop", "quiet"])
async def test_a_worker_that_stops_or_is_quiet_gives_back_what_has_not_begun(
    open_harness: HarnessMaker, way: str
) -> None:
    workshop = Workshop()
    async with open_harness(registry_of(workshop.run)) as harness:
        worker = harness.start(slots=2, grace_seconds=30.0)
        await enqueue(harness, WARM)
        await all_completed(harness, WARM)
        workshop.open.clear()
        ids = await enqueue(harness, 30)
        await until("jobs that wait for a slot", lambda: len(worker.in_flight) > 2)
        if way == "stop":
            worker.stop()
        else:
            [view] = await harness.engines.inspection.workers()
            asked = WorkerRequest(state=WorkerState.QUIET, by="ravi", reason="", at=0)
            await harness.engines.control.ask_worker(view.id, asked)
        await until("only the running ones", lambda: len(worker.in_flight) == 2)

        async def are_given_back() -> bool:
            counts = (await harness.engines.inspection.queues([TYPE]))[0].counts
            return counts.queued == 28

        await until("28 that wait again", are_given_back)
        waiting = [each for each in await harness.details(ids) if each.view.state is State.QUEUED]
        assert {each.view.attempt for each in waiting} == {0}
        workshop.open.set()


async def test_a_long_job_does_not_wait_behind_others(open_harness: HarnessMaker) -> None:
    workshop = Workshop()
    workshop.open.clear()
    async with open_harness(registry_of(workshop.run)) as harness:
        worker = harness.start(slots=2)
        await enqueue(harness, 30)
        await until("full slots", lambda: workshop.inside["all"] == 2)
        assert len(worker.in_flight) == 2
        workshop.open.set()
