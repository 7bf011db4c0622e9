"""Undo: a batch of acts is taken back job by job, except where a job has moved since."""

from __future__ import annotations

import msgspec
import pytest

from hms_svc.domain.lifecycle import TRANSITIONS, State, Trigger
from hms_svc.domain.outcome import Failure
from hms_svc.domain.views import JobDetail
from hms_svc.ports.control import Act, ActRequest
from tests.support.broker_engines import BrokerHarness

HOUR_MS = 3_600_000


async def act(harness: BrokerHarness, act: Act, *ids: str, batch: str = "b1") -> None:
    seen = await harness.seen(*ids)
    request = ActRequest(act=act, job_ids=ids, by="ravi", note="because", batch=batch, seen=seen)
    outcomes = await harness.control.act(request)
    assert [outcome.why for outcome in outcomes] == [""] * len(ids)


async def undo(harness: BrokerHarness, batch: str = "b1") -> dict[str, str]:
    """Undo a batch, which does what was told; return why not for each job, empty where it came back."""
    told = await harness.control.undo(batch, dry=True)
    assert await harness.control.undo(batch, dry=True) == told
    outcomes = await harness.control.undo(batch)
    assert [(each.job_id, each.done) for each in told] == [
        (each.job_id, each.done) for each in outcomes
    ]
    assert all(outcome.done is not bool(outcome.why) for outcome in outcomes)
    return {outcome.job_id: outcome.why for outcome in outcomes}


async def brought_to(harness: BrokerHarness, state: State) -> str:
    """Make a job in a state, with all that its record can say."""
    due = harness.clock.now_ms() + HOUR_MS
    if state is State.SCHEDULED:
        return (await harness.accept(not_before=due))[0]
    [job_id] = await harness.accept(priority=2)
    if state is not State.QUEUED:
        [job] = await harness.claim()
        await harness.settle(
            job,
            state,
            reason="error",
            by="handler",
            detail="took 1 s",
            failure=Failure("OSError", "took 1 s"),
            hold=("a", "r", "d"),
            due_at=due if state is State.RETRYING else None,
        )
    harness.clock.advance(1)
    return job_id


def without_history(detail: JobDetail) -> JobDetail:
    return msgspec.structs.replace(detail, history=())


@pytest.mark.parametrize(
    ("done", "state"),
    [
        (Act.RETRY, State.DEAD),
        (Act.RETRY, State.REJECTED),
        (Act.RETRY, State.CANCELLED),
        (Act.RETRY, State.RETRYING),
        (Act.RETRY, State.SCHEDULED),
        (Act.CANCEL, State.QUEUED),
        (Act.CANCEL, State.SCHEDULED),
        (Act.CANCEL, State.RETRYING),
        (Act.CANCEL, State.HELD),
        (Act.DENY, State.HELD),
        (Act.DISCARD, State.COMPLETED),
        (Act.DISCARD, State.HELD),
    ],
)
async def test_a_job_that_has_not_moved_is_what_it_was(
    harness: BrokerHarness, done: Act, state: State
) -> None:
    job_id = await brought_to(harness, state)
    before, counts = await harness.detail(job_id), await harness.counts()
    groups = await harness.inspection.failures()
    await act(harness, done, job_id)
    assert await harness.control.last_batch() == "b1"
    assert await undo(harness) == {job_id: ""}
    after = await harness.detail(job_id)
    assert without_history(after) == without_history(before)
    assert await harness.counts() == counts
    assert await harness.inspection.failures() == groups
    if done is Act.DISCARD:
        assert after.history == before.history
    else:
        last = after.history[-1]
        assert (last.target, last.trigger) == (state, Trigger.UNDONE)
        assert Trigger.UNDONE in TRANSITIONS[last.source][state]


async def test_what_was_claimed_since_stays_and_says_so(harness: BrokerHarness) -> None:
    first, second = await brought_to(harness, State.DEAD), await brought_to(harness, State.DEAD)
    await act(harness, Act.RETRY, first, second)
    [job] = await harness.claim(1)
    assert await undo(harness) == {first: "has moved on: it is processing", second: ""}
    await harness.complete(job)
    assert await undo(harness) == {first: "has moved on: it is completed"}
    assert await harness.counts() == {"completed": 1, "dead": 1}


async def test_a_job_that_ran_and_died_again_is_not_taken_for_unmoved(
    harness: BrokerHarness,
) -> None:
    job_id = await brought_to(harness, State.QUEUED)
    await act(harness, Act.CANCEL, job_id)
    await act(harness, Act.RETRY, job_id, batch="b2")
    harness.clock.advance(1)
    await act(harness, Act.CANCEL, job_id, batch="b3")
    assert await undo(harness, "b1") == {job_id: "has moved on: it is cancelled"}
    assert await undo(harness, "b3") == {job_id: ""}
    assert await undo(harness, "b2") == {job_id: ""}
    assert await undo(harness, "b1") == {job_id: ""}
    assert await harness.state(job_id) is State.QUEUED


async def test_a_purge_comes_back_in_its_order(harness: BrokerHarness) -> None:
    ids = await harness.accept(4)
    later = await harness.accept(1, not_before=harness.clock.now_ms() + HOUR_MS)
    for _ in range(3):
        await harness.purge(limit=2, batch="b1")
    assert await harness.counts() == {"cancelled": 5}
    assert await undo(harness) == dict.fromkeys([*ids, *later], "")
    assert await harness.counts() == {"queued": 4, "scheduled": 1}
    assert [job.job.id for job in await harness.claim()] == ids


async def test_a_batch_is_undone_stretch_by_stretch(harness: BrokerHarness) -> None:
    ids = sorted(await harness.accept(5))
    await act(harness, Act.CANCEL, *ids[:3])
    await act(harness, Act.CANCEL, *ids[3:])
    after = ""
    answered: list[str] = []
    while True:
        assert await harness.control.last_batch() == "b1"
        assert await harness.control.undoable("b1", after=after) == 5 - len(answered)
        outcomes = await harness.control.undo("b1", after=after, limit=2)
        answered += [outcome.job_id for outcome in outcomes if outcome.done]
        if len(outcomes) < 2:
            break
        after = outcomes[-1].job_id
    assert answered == ids
    assert await harness.control.last_batch() is None


async def test_what_stays_is_asked_once_and_the_batch_before_it_comes_next(
    harness: BrokerHarness,
) -> None:
    [earlier] = await harness.accept()
    await act(harness, Act.CANCEL, earlier, batch="b0")
    harness.clock.advance(1)
    first, second = await brought_to(harness, State.DEAD), await brought_to(harness, State.DEAD)
    await act(harness, Act.RETRY, first, second)
    [job] = await harness.claim(1)
    outcomes = await harness.control.undo("b1", limit=1)
    outcomes += await harness.control.undo("b1", after=outcomes[-1].job_id, limit=2)
    assert [outcome.done for outcome in outcomes] == [
        outcome.job_id != first for outcome in outcomes
    ]
    assert await harness.control.last_batch() == "b0"
    assert await undo(harness, "b1") == {job.job.id: "has moved on: it is processing"}


async def test_a_job_acted_on_twice_in_a_batch_is_undone_to_the_second(
    harness: BrokerHarness,
) -> None:
    [job_id] = await harness.accept()
    await act(harness, Act.CANCEL, job_id)
    await act(harness, Act.RETRY, job_id)
    assert await undo(harness) == {job_id: ""}
    assert await harness.state(job_id) is State.CANCELLED


async def test_a_running_job_that_was_asked_to_stop_is_told(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    await harness.claim()
    await act(harness, Act.CANCEL, job_id)
    assert await undo(harness) == {job_id: "was running: its worker was asked to stop"}


async def test_a_retry_that_is_undone_gives_its_unique_key_back(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept(unique_key="k")
    await harness.settle((await harness.claim())[0], State.DEAD, reason="error")
    await act(harness, Act.RETRY, job_id)
    await undo(harness)
    await harness.accept(unique_key="k")
    assert await harness.counts() == {"queued": 1, "dead": 1}


async def test_a_cancelled_job_whose_key_was_taken_stays(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept(unique_key="k")
    await act(harness, Act.CANCEL, job_id)
    await harness.accept(unique_key="k")
    [why] = (await undo(harness)).values()
    assert "unique key" in why


async def test_a_batch_lives_ten_minutes_and_an_approval_stands(harness: BrokerHarness) -> None:
    job_id, held = await brought_to(harness, State.DEAD), await brought_to(harness, State.HELD)
    await act(harness, Act.APPROVE, held, batch="b2")
    assert await undo(harness, "b2") == {}
    await act(harness, Act.RETRY, job_id)
    harness.clock.advance(601)
    assert await harness.control.last_batch() is None
    assert await undo(harness) == {}
    await harness.control.trim(limit=10)
    assert await harness.counts() == {"queued": 2}


async def test_a_job_that_is_gone_says_so(harness: BrokerHarness) -> None:
    job_id = await brought_to(harness, State.QUEUED)
    await act(harness, Act.CANCEL, job_id)
    await harness.control.forget([job_id])
    assert await undo(harness) == {job_id: "is not known any more"}


async def test_batches_are_told_newest_first_until_they_were_gone_through(
    harness: BrokerHarness,
) -> None:
    first, second, third = await harness.accept(count=3)
    start = harness.clock.now_ms()
    await act(harness, Act.CANCEL, first, batch="b1")
    harness.clock.advance(1)
    await act(harness, Act.DISCARD, second, third, batch="b2")
    told = await harness.control.batches(limit=9)
    assert [(each.name, each.at - start, each.jobs) for each in told] == [
        ("b2", 1000, 2),
        ("b1", 0, 1),
    ]
    assert told[0].job_id in {second, third}
    assert [each.name for each in await harness.control.batches(limit=1)] == ["b2"]
    assert await harness.control.batches(limit=9, name="b1") == [told[1]]
    assert await harness.control.batches(limit=9, name="b3") == []
    await undo(harness, "b2")
    await act(harness, Act.RETRY, first, batch="b3")
    assert [each.name for each in await harness.control.batches(limit=9)] == ["b3", "b1"]
    assert set(await undo(harness, "b1")) == {first}
    assert [each.name for each in await harness.control.batches(limit=9)] == ["b3"]
    [stayed] = await harness.control.batches(limit=9, name="b1")
    assert (stayed.job_id, stayed.jobs) == (first, 1)
    harness.clock.advance(601)
    assert await harness.control.batches(limit=9) == []
    assert await harness.control.batches(limit=9, name="b1") == []
