"""What operators change, one job in one step, and what cannot be done says why."""

from __future__ import annotations

import pytest

from hms_svc.domain.lifecycle import State
from hms_svc.domain.outcome import Failure
from hms_svc.ports.control import Act, ActRequest
from tests.support.broker_engines import TYPE, BrokerHarness


async def act(harness: BrokerHarness, act: Act, *ids: str, batch: str = "b1") -> list[str]:
    """Do an act to jobs; return why not for each, empty where it was done."""
    seen = await harness.seen(*ids)
    request = ActRequest(act=act, job_ids=ids, by="ravi", note="because", batch=batch, seen=seen)
    outcomes = await harness.control.act(request)
    assert [outcome.job_id for outcome in outcomes] == list(ids)
    assert all(outcome.done is not bool(outcome.why) for outcome in outcomes)
    return [outcome.why for outcome in outcomes]


async def ended(harness: BrokerHarness, state: State) -> str:
    [job_id] = await harness.accept()
    await harness.settle((await harness.claim())[0], state, reason="error", detail="x")
    return job_id


@pytest.mark.parametrize("state", [State.DEAD, State.REJECTED, State.CANCELLED])
async def test_retry_starts_a_new_run_with_a_higher_fence(
    harness: BrokerHarness, state: State
) -> None:
    job_id = await ended(harness, state)
    fence = (await harness.detail(job_id)).view.fence
    assert await act(harness, Act.RETRY, job_id) == [""]
    [job] = await harness.claim()
    assert (job.job.id, job.attempt, job.claims) == (job_id, 1, 2)
    assert job.token.fence > fence
    assert await harness.complete(job)
    assert await harness.counts() == {"completed": 1}


async def test_retry_of_a_completed_job_is_refused(harness: BrokerHarness) -> None:
    job_id = await ended(harness, State.COMPLETED)
    assert "completed" in (await act(harness, Act.RETRY, job_id))[0]


async def test_retry_lets_a_waiting_retry_run_now(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    due = harness.clock.now_ms() + 3_600_000
    await harness.settle((await harness.claim())[0], State.RETRYING, due_at=due)
    assert await act(harness, Act.RETRY, job_id) == [""]
    assert (await harness.claim())[0].attempt == 2


async def test_malformed_job_is_not_retried(harness: BrokerHarness) -> None:
    answers = await harness.broker.enqueue_raw(TYPE, [b"garbage"])
    assert "bytes were refused" in (await act(harness, Act.RETRY, answers[0].job_id))[0]


async def test_cancel_ends_a_waiting_job(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    assert await act(harness, Act.CANCEL, job_id) == [""]
    view = (await harness.detail(job_id)).view
    assert (view.state, view.by) == (State.CANCELLED, "ravi")
    assert await harness.claim() == []
    assert ("job.cancelled", job_id) in await harness.events()


async def test_cancel_of_a_running_job_asks_its_worker(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    await harness.claim(worker="worker-9")
    assert await act(harness, Act.CANCEL, job_id) == [""]
    [woken] = (await harness.broker.signals("worker-9", [TYPE])).cancel
    assert (woken.job_id, woken.by, woken.detail) == (job_id, "ravi", "because")
    assert (await harness.broker.signals("worker-1", [TYPE])).cancel == ()


async def test_cancel_request_is_not_heard_by_a_later_claim(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    job = (await harness.claim(worker="worker-9"))[0]
    await act(harness, Act.CANCEL, job_id)
    await harness.settle(job, State.RETRYING, due_at=harness.clock.now_ms(), case_id="case-1")
    await harness.broker.promote(10)
    assert len(await harness.claim(worker="worker-9")) == 1
    assert (await harness.broker.signals("worker-9", [TYPE])).cancel == ()


async def test_discard_hides_and_undo_brings_back_order_and_attempts(
    harness: BrokerHarness,
) -> None:
    [failed] = await harness.accept()
    await harness.settle((await harness.claim())[0], State.DEAD, reason="error")
    waiting = await harness.accept(3)
    assert await act(harness, Act.DISCARD, failed, *waiting) == ["", "", "", ""]
    assert await harness.counts() == {}
    assert await harness.claim() == []
    assert (await harness.inspection.details([failed])) == [None]
    assert await harness.control.last_batch() == "b1"
    outcomes = await harness.control.undo("b1")
    assert {outcome.job_id for outcome in outcomes if outcome.done} == {failed, *waiting}
    assert (await harness.detail(failed)).view.attempt == 1
    assert await harness.counts() == {"queued": 3, "dead": 1}
    assert [job.job.id for job in await harness.claim()] == waiting


async def test_discard_cannot_be_undone_after_ten_minutes(harness: BrokerHarness) -> None:
    ids = await harness.accept(2)
    await act(harness, Act.DISCARD, *ids)
    harness.clock.advance(601)
    assert await harness.control.last_batch() is None
    await harness.control.trim(limit=100)
    assert await harness.control.undo("b1") == []


async def test_running_job_is_not_discarded(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    await harness.claim()
    assert "processing" in (await act(harness, Act.DISCARD, job_id))[0]


async def test_undo_leaves_out_a_job_whose_unique_key_was_taken(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept(unique_key="k")
    await act(harness, Act.DISCARD, job_id)
    await harness.accept(unique_key="k")
    [outcome] = await harness.control.undo("b1")
    assert not outcome.done
    assert "unique key" in outcome.why


async def test_approve_queues_and_deny_rejects(harness: BrokerHarness) -> None:
    yes, no = await harness.accept(2)
    for job in await harness.claim():
        await harness.settle(job, State.HELD, hold=("a", "r", "d"), reason="governance")
    assert await act(harness, Act.APPROVE, yes) == [""]
    assert await act(harness, Act.DENY, no) == [""]
    assert [job.job.id for job in await harness.claim()] == [yes]
    view = (await harness.detail(no)).view
    assert (view.state, view.reason, view.by) == (State.REJECTED, "governance", "ravi")


async def test_only_held_jobs_are_approved(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    assert "not held" in (await act(harness, Act.APPROVE, job_id))[0]


async def test_unknown_ids_say_so(harness: BrokerHarness) -> None:
    assert await act(harness, Act.RETRY, "nobody") == ["is not known"]


async def test_purge_cancels_what_waits_and_nothing_else(harness: BrokerHarness) -> None:
    await harness.accept(5)
    [running] = await harness.claim(1)
    await harness.accept(2, not_before=harness.clock.now_ms() + 1000)
    assert await harness.purge(limit=100) == 6
    assert await harness.counts() == {"processing": 1, "cancelled": 6}
    assert await harness.complete(running)


async def test_rejected_and_dead_leave_only_through_the_archive(harness: BrokerHarness) -> None:
    dead = await ended(harness, State.DEAD)
    harness.clock.advance(100)
    archived = await harness.control.to_archive(older_than=harness.clock.now_ms(), limit=10)
    assert [detail.view.id for detail in archived] == [dead]
    while await harness.control.trim(limit=100) == 100:
        pass
    assert await harness.counts() == {"dead": 1}
    await harness.control.forget([dead])
    assert await harness.counts() == {}


async def test_completed_jobs_go_after_their_retention(harness: BrokerHarness) -> None:
    job_id = await ended(harness, State.COMPLETED)
    harness.clock.advance(6 * 86_400)
    await harness.control.trim(limit=100)
    assert await harness.state(job_id) is State.COMPLETED
    harness.clock.advance(2 * 86_400)
    await harness.control.trim(limit=100)
    assert await harness.inspection.details([job_id]) == [None]
    assert await harness.counts() == {}


async def test_unserved_jobs_are_buried_and_served_ones_are_not(harness: BrokerHarness) -> None:
    [orphan] = await harness.accept(type="nobody.serves")
    [served] = await harness.accept()
    harness.clock.advance(10)
    harness.register(TYPE)
    buried = await harness.control.bury_unserved(older_than=harness.clock.now_ms(), limit=10)
    assert buried == 1
    view = (await harness.detail(orphan)).view
    assert (view.state, view.reason) == (State.DEAD, "no_handler")
    assert await harness.state(served) is State.QUEUED


async def test_a_retried_job_has_no_time_to_wait_for(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept(not_before=harness.clock.now_ms() + 60_000)
    await act(harness, Act.CANCEL, job_id)
    await act(harness, Act.RETRY, job_id)
    assert b"not_before" not in (await harness.detail(job_id)).envelope
    [job] = await harness.claim()
    assert job.job.not_before is None


async def test_running_now_keeps_what_went_wrong(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    [job] = await harness.claim()
    later = harness.clock.now_ms() + 60_000
    await harness.settle(job, State.RETRYING, due_at=later, failure=Failure("E", "boom"))
    await act(harness, Act.RETRY, job_id)
    assert (await harness.detail(job_id)).view.failure == "E: boom"


async def test_purge_leaves_what_runs_alone(harness: BrokerHarness) -> None:
    await harness.accept(3)
    [running] = await harness.claim(1)
    assert await harness.purge(limit=10) == 2
    signals = await harness.broker.signals("worker-1", [TYPE])
    assert signals.cancel == ()
    assert await harness.complete(running)
