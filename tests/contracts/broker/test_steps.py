"""Results of steps, and cursors, are kept under the fence of their job, and go with it."""

from __future__ import annotations

from hms_svc.brokers.limits import MOST_STEPS
from hms_svc.domain.job import CURSOR, ClaimedJob
from hms_svc.domain.lifecycle import State
from hms_svc.ports.step_results import Kept, StepRecord
from tests.support.broker_engines import LEASE_MS, BrokerHarness, ManualClock


async def keep(harness: BrokerHarness, job: ClaimedJob, **values: bytes) -> list[Kept]:
    records = [StepRecord(job.token, name, value) for name, value in values.items()]
    return await harness.broker.keep_steps(records)


async def test_steps_are_kept_for_the_next_claim(harness: BrokerHarness) -> None:
    one, other = await harness.accept(2)
    jobs = await harness.claim()
    assert await keep(harness, jobs[0], a=b"1", b=b'"x"') == [Kept.YES, Kept.YES]
    await harness.broker.keep_steps([StepRecord(jobs[0].token, CURSOR, b"7")])
    assert await keep(harness, jobs[0], a=b"2") == [Kept.YES]
    assert await harness.broker.steps_of([other, one, "unknown"]) == [
        {},
        {"a": b"2", "b": b'"x"', CURSOR: b"7"},
        {},
    ]


async def test_only_the_owner_keeps(harness: BrokerHarness, clock: ManualClock) -> None:
    [job_id] = await harness.accept()
    [stale] = await harness.claim()
    clock.advance(LEASE_MS / 1000 + 1)
    await harness.broker.reap(10)
    assert await keep(harness, stale, a=b"1") == [Kept.LOST]
    assert await harness.broker.steps_of([job_id]) == [{}]


async def test_a_job_has_a_bounded_number_of_steps(harness: BrokerHarness) -> None:
    await harness.accept()
    [job] = await harness.claim()
    steps = {f"step-{number}": b"1" for number in range(MOST_STEPS)}
    assert set(await keep(harness, job, **steps)) == {Kept.YES}
    assert await keep(harness, job, another=b"1") == [Kept.TOO_MANY]
    assert await keep(harness, job, **{"step-0": b"2"}) == [Kept.YES]


async def test_steps_are_removed_with_their_job(harness: BrokerHarness, clock: ManualClock) -> None:
    [job_id] = await harness.accept()
    [job] = await harness.claim()
    await keep(harness, job, a=b"1")
    await harness.complete(job)
    assert await harness.broker.steps_of([job_id]) == [{"a": b"1"}]
    clock.advance(400 * 86_400)
    await harness.control.trim(limit=10)
    assert await harness.broker.steps_of([job_id]) == [{}]


async def test_erasing_a_job_erases_its_steps(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    [job] = await harness.claim()
    await keep(harness, job, a=b'"Ada"')
    await harness.settle(job, State.DEAD)
    await harness.control.erase([job_id])
    assert await harness.broker.steps_of([job_id]) == [{}]
