"""Dead workers: their jobs are rescued, poison dies, neighbours live."""

from __future__ import annotations

from hms_svc.domain.job import ClaimedJob, Lane
from hms_svc.domain.lifecycle import State
from tests.support.broker_engines import BrokerHarness


async def die_alone(harness: BrokerHarness) -> ClaimedJob:
    """Claim the waiting suspect, and let its lease run out."""
    job = (await harness.claim(1, lane=Lane.SUSPECT))[0]
    harness.clock.advance(31)
    await harness.broker.reap(10)
    return job


async def test_a_lease_that_holds_is_left_alone(harness: BrokerHarness) -> None:
    await harness.accept()
    await harness.claim()
    harness.clock.advance(29)
    report = await harness.broker.reap(10)
    assert (report.rescued, report.dead) == (0, 0)


async def test_lapsed_job_becomes_a_suspect_with_its_attempt_given_back(
    harness: BrokerHarness,
) -> None:
    [job_id] = await harness.accept()
    await harness.claim()
    harness.clock.advance(31)
    assert (await harness.broker.reap(10)).rescued == 1
    view = (await harness.detail(job_id)).view
    assert (view.state, view.attempt, view.suspect) == (State.QUEUED, 0, True)
    assert await harness.claim() == []
    assert [job.job.id for job in await harness.claim(10, lane=Lane.SUSPECT)] == [job_id]


async def test_suspects_are_signalled(harness: BrokerHarness) -> None:
    await harness.accept()
    await harness.claim()
    assert not (await harness.broker.signals("worker-2", ["pothole.report"])).suspects_wait
    harness.clock.advance(31)
    await harness.broker.reap(10)
    assert (await harness.broker.signals("worker-2", ["pothole.report"])).suspects_wait


async def test_poison_is_dead_after_five_deaths_alone(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept(max_attempts=20)
    await harness.claim()
    harness.clock.advance(31)
    await harness.broker.reap(10)
    for _ in range(5):
        assert await harness.state(job_id) is State.QUEUED
        await die_alone(harness)
    view = (await harness.detail(job_id)).view
    assert (view.state, view.reason) == (State.DEAD, "crashed")
    assert ("job.dead", job_id) in await harness.events()
    assert await harness.counts() == {"dead": 1}


async def test_poison_is_dead_at_its_last_attempt(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept(max_attempts=2)
    await harness.claim()
    harness.clock.advance(31)
    await harness.broker.reap(10)
    await die_alone(harness)
    assert await harness.state(job_id) is State.QUEUED
    await die_alone(harness)
    view = (await harness.detail(job_id)).view
    assert (view.state, view.reason, view.attempt) == (State.DEAD, "crashed", 2)


async def test_a_suspect_that_ends_well_is_no_suspect_any_more(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    await harness.claim()
    harness.clock.advance(31)
    await harness.broker.reap(10)
    [job] = await harness.claim(1, lane=Lane.SUSPECT)
    assert await harness.complete(job)
    assert not (await harness.detail(job_id)).view.suspect


async def test_released_suspect_stays_in_its_lane(harness: BrokerHarness) -> None:
    await harness.accept()
    await harness.claim()
    harness.clock.advance(31)
    await harness.broker.reap(10)
    [job] = await harness.claim(1, lane=Lane.SUSPECT)
    await harness.settle(job, State.QUEUED, give_back=True, counted_give_back=True)
    assert await harness.claim() == []
    assert len(await harness.claim(1, lane=Lane.SUSPECT)) == 1


async def test_abandoned_worker_is_reaped_at_once(harness: BrokerHarness) -> None:
    await harness.accept(2)
    await harness.claim(1, worker="dead-one")
    [alive] = await harness.claim(1, worker="alive")
    assert await harness.broker.abandon("dead-one") == 1
    assert (await harness.broker.reap(10)).rescued == 1
    assert await harness.complete(alive)


async def test_history_shows_the_rescue(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    await harness.claim()
    harness.clock.advance(31)
    await harness.broker.reap(10)
    detail = await harness.detail(job_id)
    assert detail.history[-1].trigger == "rescued"
    assert "worker-1 died" in detail.attempts[0].error
