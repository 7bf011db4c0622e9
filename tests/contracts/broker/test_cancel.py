"""A cancel that was accepted while the job ran: it holds, however the run ends."""

from __future__ import annotations

from typing import Any

import pytest

from hms_svc.domain.job import ClaimedJob, Lane
from hms_svc.domain.lifecycle import TRANSITIONS, State, Trigger
from hms_svc.domain.outcome import Disposition, Failure
from hms_svc.ports.broker import KnownEffects
from hms_svc.ports.control import Act, ActRequest
from tests.support.broker_engines import BrokerHarness

WAYS_ON: list[tuple[State, Trigger, dict[str, Any]]] = [
    (State.RETRYING, Trigger.FAILED, {"due_at": 0, "failure": Failure("E", "boom")}),
    (State.QUEUED, Trigger.RELEASED, {"give_back": True, "counted_give_back": True}),
    (State.SCHEDULED, Trigger.SNOOZED, {"due_at": 0, "give_back": True}),
    (State.HELD, Trigger.REFUSED, {"hold": ("act", "rule", "digest")}),
]
ENDS = [State.COMPLETED, State.REJECTED, State.DEAD]


async def cancel(harness: BrokerHarness, *ids: str) -> None:
    request = ActRequest(act=Act.CANCEL, job_ids=ids, by="ravi", note="wrong street")
    assert all(outcome.done for outcome in await harness.control.act(request))


async def running(harness: BrokerHarness, **fields: Any) -> ClaimedJob:
    """A running job that somebody has asked to cancel."""
    await harness.accept(**fields)
    [job] = await harness.claim()
    await cancel(harness, job.job.id)
    return job


@pytest.mark.parametrize(("state", "trigger", "fields"), WAYS_ON)
async def test_a_job_that_would_go_on_is_cancelled(
    harness: BrokerHarness, state: State, trigger: Trigger, fields: dict[str, Any]
) -> None:
    job = await running(harness)
    assert await harness.settle(job, state, trigger=trigger, log="printed", **fields)
    detail = await harness.detail(job.job.id)
    view = detail.view
    assert (view.state, view.reason, view.by) == (State.CANCELLED, "cancelled", "ravi")
    assert (view.detail, view.attempt, detail.attempts[0].log) == ("wrong street", 1, "printed")
    assert view.finished_at == harness.clock.now_ms()
    assert detail.history[-1].trigger in TRANSITIONS[State.PROCESSING][State.CANCELLED]
    assert await harness.counts() == {"cancelled": 1}
    assert (await harness.inspection.queues())[0].counters["cancelled"] == 1


@pytest.mark.parametrize(("state", "trigger", "fields"), WAYS_ON)
async def test_that_it_is_cancelled_is_announced(
    harness: BrokerHarness, state: State, trigger: Trigger, fields: dict[str, Any]
) -> None:
    job = await running(harness)
    await harness.settle(job, state, trigger=trigger, **fields)
    failed = ["job.failed"] if state is State.RETRYING else []
    events = [type for type, _ in await harness.events()]
    assert events == [*failed, "job.cancelled"]


@pytest.mark.parametrize("state", ENDS)
async def test_a_run_that_ended_the_job_stays_as_it_ended(
    harness: BrokerHarness, state: State
) -> None:
    job = await running(harness)
    await harness.settle(job, state, reason="error", by="handler")
    view = (await harness.detail(job.job.id)).view
    assert (view.state, view.by) == (state, "handler")


@pytest.mark.parametrize("known", ["from this run", "from an earlier run"])
async def test_a_job_with_a_case_goes_on(harness: BrokerHarness, known: str) -> None:
    await harness.accept()
    [job] = await harness.claim()
    case_id = "case-1"
    if known == "from an earlier run":
        await harness.settle(job, State.RETRYING, due_at=0, case_id=case_id)
        await harness.broker.promote(10)
        [job] = await harness.claim()
    await cancel(harness, job.job.id)
    given = case_id if known == "from this run" else None
    await harness.settle(job, State.RETRYING, due_at=0, case_id=given)
    assert await harness.state(job.job.id) is State.RETRYING


async def test_only_the_job_that_was_meant_is_cancelled(harness: BrokerHarness) -> None:
    await harness.accept(5)
    jobs = await harness.claim()
    await cancel(harness, jobs[2].job.id)
    again = Disposition(state=State.RETRYING, trigger=Trigger.FAILED, delay_ms=0)
    assert await harness.broker.settle([harness.settlement(job, again) for job in jobs]) == []
    assert await harness.counts() == {"retrying": 4, "cancelled": 1}
    assert await harness.state(jobs[2].job.id) is State.CANCELLED


async def test_a_zombie_neither_cancels_nor_uses_up_the_request(harness: BrokerHarness) -> None:
    await harness.accept()
    [zombie] = await harness.claim()
    harness.clock.advance(31)
    await harness.broker.reap(10)
    [job] = await harness.claim(lane=Lane.SUSPECT)
    await cancel(harness, job.job.id)
    assert not await harness.settle(zombie, State.RETRYING, due_at=0)
    assert await harness.state(job.job.id) is State.PROCESSING
    await harness.settle(job, State.RETRYING, due_at=0)
    assert await harness.state(job.job.id) is State.CANCELLED


async def test_the_job_of_a_dead_worker_is_cancelled(harness: BrokerHarness) -> None:
    job = await running(harness)
    await harness.broker.abandon("worker-1")
    report = await harness.broker.reap(10)
    assert (report.rescued, report.dead, report.cancelled) == (0, 0, 0)
    assert report.undecided == ((job.job.id, job.token.fence),)
    assert await harness.state(job.job.id) is State.PROCESSING
    nothing = {job.job.id: KnownEffects(job.token.fence, has_case=False)}
    report = await harness.broker.reap(10, nothing)
    assert (report.rescued, report.dead, report.cancelled) == (0, 0, 1)
    detail = await harness.detail(job.job.id)
    view = detail.view
    assert (view.state, view.reason, view.by) == (State.CANCELLED, "cancelled", "ravi")
    assert (view.detail, view.suspect, view.worker) == ("wrong street", False, "")
    assert "worker-1 died" in detail.attempts[0].error
    assert detail.history[-1].trigger == Trigger.OPERATOR
    assert await harness.events() == [("job.cancelled", job.job.id)]
    assert await harness.counts() == {"cancelled": 1}
    assert (await harness.inspection.queues())[0].counters["cancelled"] == 1


async def test_the_job_of_a_dead_worker_that_has_a_case_is_rescued(harness: BrokerHarness) -> None:
    await harness.accept()
    [job] = await harness.claim()
    await harness.settle(job, State.RETRYING, due_at=0, case_id="case-1")
    await harness.broker.promote(10)
    await harness.claim()
    await cancel(harness, job.job.id)
    await harness.broker.abandon("worker-1")
    assert (await harness.broker.reap(10)).rescued == 1
    assert await harness.state(job.job.id) is State.QUEUED


async def test_the_job_of_a_dead_worker_is_rescued_where_it_is_known_to_have_a_case(
    harness: BrokerHarness,
) -> None:
    job = await running(harness)
    await harness.broker.abandon("worker-1")
    stale = {job.job.id: KnownEffects(job.token.fence - 1, has_case=False)}
    assert (await harness.broker.reap(10, stale)).undecided
    known = {job.job.id: KnownEffects(job.token.fence, has_case=True)}
    assert (await harness.broker.reap(10, known)).rescued == 1
    assert await harness.state(job.job.id) is State.QUEUED


async def test_a_run_whose_effects_nobody_knows_is_not_cancelled(harness: BrokerHarness) -> None:
    job = await running(harness)
    await harness.settle(job, State.SCHEDULED, due_at=0, give_back=True, uncertain=True)
    assert await harness.state(job.job.id) is State.SCHEDULED


async def test_a_cancelled_run_frees_its_unique_key(harness: BrokerHarness) -> None:
    job = await running(harness, unique_key="k")
    await harness.settle(job, State.RETRYING, due_at=0)
    [answer] = await harness.enqueue(harness.job(unique_key="k"))
    assert answer.state is State.QUEUED
