"""A wall clock that steps back changes no order, and a delay counts from the broker's own time."""

from __future__ import annotations

from hms_svc.domain.lifecycle import State, Trigger
from hms_svc.domain.outcome import Disposition
from hms_svc.ports.control import Act, ActRequest
from tests.support.broker_engines import BrokerHarness

TWO_HOURS_MS = 7_200_000


async def test_older_jobs_stay_first_when_the_clock_is_set_back(harness: BrokerHarness) -> None:
    older = [(await harness.accept())[0] for _ in range(3)]
    harness.clock.wall -= TWO_HOURS_MS
    newer = await harness.accept(3)
    claimed = await harness.claim(6)
    assert [job.job.id for job in claimed] == older + newer


async def test_a_job_that_an_operator_retries_comes_after_those_that_wait(
    harness: BrokerHarness,
) -> None:
    [dead] = await harness.accept()
    [job] = await harness.claim()
    await harness.settle(job, State.DEAD, trigger=Trigger.FAILED, reason="error")
    [waiting] = await harness.accept()
    harness.clock.wall -= TWO_HOURS_MS
    await harness.control.act(ActRequest(act=Act.RETRY, job_ids=(dead,), by="ravi"))
    assert [job.job.id for job in await harness.claim(2)] == [waiting, dead]


async def test_a_delay_counts_from_when_the_broker_hears_of_it(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    [job] = await harness.claim()
    again = Disposition(state=State.RETRYING, trigger=Trigger.FAILED, delay_ms=30_000)
    settlement = harness.settlement(job, again)
    harness.clock.wall += TWO_HOURS_MS
    assert await harness.broker.settle([settlement]) == []
    assert (await harness.detail(job_id)).view.due_at == harness.clock.now_ms() + 30_000
    assert await harness.broker.promote(10) == 0
    harness.clock.advance(30)
    assert await harness.broker.promote(10) == 1
