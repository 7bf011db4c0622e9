"""The history of a job is true: every transition legal, none missing, whatever was done to it."""

from __future__ import annotations

from hms_svc.domain.lifecycle import TRANSITIONS, State, Trigger
from hms_svc.ports.control import Act, ActRequest
from tests.support.broker_engines import BrokerHarness


async def act(harness: BrokerHarness, act: Act, job_id: str) -> None:
    request = ActRequest(act=act, job_ids=(job_id,), by="ravi", batch="b1")
    [outcome] = await harness.control.act(request)
    assert outcome.done, outcome.why


async def states(harness: BrokerHarness, job_id: str) -> list[State]:
    """The states that the history tells of, once it was found to hold together."""
    detail = await harness.detail(job_id)
    source: State | None = None
    for transition in detail.history:
        assert transition.source == source
        assert transition.trigger in TRANSITIONS[source][transition.target]
        source = transition.target
    assert source is detail.view.state
    return [transition.target for transition in detail.history]


async def test_discard_and_undo_are_no_moves(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    await act(harness, Act.DISCARD, job_id)
    await harness.control.undo("b1")
    assert await states(harness, job_id) == [State.QUEUED]
    await harness.settle((await harness.claim())[0], State.DEAD, trigger=Trigger.FAILED)
    await act(harness, Act.DISCARD, job_id)
    await harness.control.undo("b1")
    assert await states(harness, job_id) == [State.QUEUED, State.PROCESSING, State.DEAD]


async def test_a_scheduled_job_that_is_retried_began_scheduled(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept(not_before=harness.clock.now_ms() + 5000)
    assert await states(harness, job_id) == [State.SCHEDULED]
    harness.clock.advance(5)
    await harness.broker.promote(10)
    await harness.settle((await harness.claim())[0], State.DEAD, trigger=Trigger.FAILED)
    await act(harness, Act.RETRY, job_id)
    assert await states(harness, job_id) == [
        State.SCHEDULED,
        State.QUEUED,
        State.PROCESSING,
        State.DEAD,
        State.QUEUED,
    ]


async def test_a_refused_job_that_is_retried_began_refused(harness: BrokerHarness) -> None:
    await harness.accept(unique_key="k")
    [refused] = await harness.enqueue(harness.job(unique_key="k"))
    assert await states(harness, refused.job_id) == [State.REJECTED]
    await harness.complete((await harness.claim())[0])
    await act(harness, Act.RETRY, refused.job_id)
    assert await states(harness, refused.job_id) == [State.REJECTED, State.QUEUED]


async def test_a_running_job_shows_that_it_was_claimed(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    await harness.claim()
    assert await states(harness, job_id) == [State.QUEUED, State.PROCESSING]


async def test_a_cancelled_run_and_its_retry(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    [job] = await harness.claim()
    await act(harness, Act.CANCEL, job_id)
    await harness.settle(job, State.RETRYING, trigger=Trigger.FAILED, due_at=0)
    await act(harness, Act.RETRY, job_id)
    assert await states(harness, job_id) == [
        State.QUEUED,
        State.PROCESSING,
        State.CANCELLED,
        State.QUEUED,
    ]
