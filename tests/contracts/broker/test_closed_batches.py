"""Batches that an operator closes before all their members are accepted: they go on with those that are."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from hms_svc.brokers.redis.calls import ScriptCall
from hms_svc.brokers.redis.link import Link
from hms_svc.domain.batches import BatchState, NewBatch, When
from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.domain.lifecycle import State
from hms_svc.ports.broker import Acceptance, EnqueuedBatch
from hms_svc.ports.control import BATCH_IS_CLOSED, BATCH_IS_WHOLE, NOT_KNOWN, Act, ClosedBatch
from tests.support.broken_submissions import leave_open, one_in_each_step
from tests.support.broker_engines import BrokerHarness

from .test_batches import (
    DONE,
    act,
    batch_of,
    call_before,
    end,
    end_and_remove,
    in_batch,
    replaced,
    states,
    submit,
    view_of,
)

CLOSED_BY_ANN = ClosedBatch(BATCH_IS_CLOSED.format(by="ann"))


async def left_open(harness: BrokerHarness, accepted: int = 2, **fields: Any) -> NewBatch:
    """Leave a batch of five members, of which some are accepted."""
    batch = batch_of(harness, 5, **fields)
    await leave_open(harness.broker, batch, accepted)
    return in_batch(batch)


async def close(harness: BrokerHarness, id: str = "b") -> ClosedBatch:
    return await harness.control.close_batch(id, by="ann")


async def test_a_closed_batch_goes_on_when_its_accepted_members_have_ended(
    harness: BrokerHarness,
) -> None:
    await left_open(harness)
    await end(harness, State.COMPLETED)
    assert await close(harness) == ClosedBatch("", 2, 3)
    found = await view_of(harness)
    assert (found.state, found.ended, found.total) == (BatchState.RUNNING, 1, 3)
    assert (found.closed_by, found.left_out) == ("ann", 3)
    assert await states(harness, "b.then0") == [None]
    await end(harness, State.DEAD)
    assert await states(harness, "b.then0") == ["queued"]
    await end(harness, State.COMPLETED, DONE)
    found = await view_of(harness)
    assert (found.state, found.ended, found.total) == (BatchState.ENDED, 3, 3)
    assert found.counts == {"completed": 2, "dead": 1}


async def test_it_goes_on_at_once_if_all_accepted_members_have_ended(
    harness: BrokerHarness,
) -> None:
    await left_open(harness, then=2)
    for _ in range(2):
        await end(harness, State.COMPLETED)
    assert await states(harness, "b.then0") == [None]
    assert await close(harness) == ClosedBatch("", 2, 3)
    assert await states(harness, "b.then0", "b.then1") == ["queued", None]
    await end(harness, State.COMPLETED, DONE)
    await end(harness, State.COMPLETED, DONE)
    assert (await view_of(harness)).counts == {"completed": 4}
    assert await harness.counts(DONE) == {"completed": 2}


async def test_the_rule_of_the_batch_stands(harness: BrokerHarness) -> None:
    await left_open(harness, when=When.COMPLETED)
    failed = await end(harness, State.DEAD)
    await end(harness, State.COMPLETED)
    await close(harness)
    assert (await view_of(harness)).state is BatchState.STOPPED
    await act(harness, Act.RETRY, failed)
    await end(harness, State.COMPLETED)
    assert await states(harness, "b.then0") == ["queued"]


async def test_without_what_follows_it_ends(harness: BrokerHarness) -> None:
    await left_open(harness, 1, then=0)
    await end(harness, State.COMPLETED)
    harness.clock.advance(5)
    await close(harness)
    found = await view_of(harness)
    assert (found.state, found.ended_at) == (BatchState.ENDED, harness.clock.now_ms())
    before = harness.clock.now_ms() + 1
    assert await harness.inspection.left_open_batches(before=before, limit=5) == ([], 0)


async def test_a_batch_that_is_closed_or_whole_or_unknown_is_not_closed(
    harness: BrokerHarness,
) -> None:
    assert await close(harness, "nobody") == ClosedBatch(NOT_KNOWN)
    await submit(harness, 1, id="c")
    assert await close(harness, "c") == ClosedBatch(BATCH_IS_WHOLE)
    await end(harness, State.COMPLETED)
    await end(harness, State.COMPLETED, DONE)
    assert (await view_of(harness, "c")).state is BatchState.ENDED
    assert await close(harness, "c") == ClosedBatch(BATCH_IS_WHOLE)
    await left_open(harness)
    await close(harness)
    before = await view_of(harness)
    assert await close(harness) == CLOSED_BY_ANN
    assert await view_of(harness) == before


async def test_a_later_submission_adds_no_member_and_is_told(harness: BrokerHarness) -> None:
    batch = await left_open(harness)
    await close(harness)
    refused = EnqueuedBatch(Acceptance.EXISTS, left_out=3, closed_by="ann")
    before = await view_of(harness)
    assert await harness.broker.enqueue_batch(batch) == refused
    for _ in range(2):
        await end(harness, State.COMPLETED)
    await end(harness, State.COMPLETED, DONE)
    assert await harness.broker.enqueue_batch(batch) == refused
    assert (await view_of(harness)).total == before.total == 3
    other = in_batch(batch_of(harness, 4))
    assert await harness.broker.enqueue_batch(other) == EnqueuedBatch(Acceptance.CONFLICT)


async def test_a_producer_under_way_is_told_what_was_not_accepted(
    harness: BrokerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = in_batch(batch_of(harness, 5))
    with monkeypatch.context() as patched:
        one_in_each_step(patched)
        call_before(patched, 4, partial(close, harness))
        answer = await harness.broker.enqueue_batch(batch)
    assert answer == EnqueuedBatch(Acceptance.EXISTS, left_out=2, closed_by="ann")
    assert (await view_of(harness)).counts == {"queued": 3}
    for _ in range(3):
        await end(harness, State.COMPLETED)
    assert await states(harness, "b.then0") == ["queued"]


@pytest.mark.parametrize("make_backend", ["fakeredis", "redis"], indirect=True)
async def test_a_producer_whose_replies_are_lost_is_told_too(
    harness: BrokerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_reported = Link.run_reported

    async def run_twice(link: Link, call: ScriptCall[Any], **kwargs: Any) -> tuple[Any, bool]:
        await run_reported(link, call, nonce="n")
        return (await run_reported(link, call, nonce="n"))[0], True

    batch = in_batch(batch_of(harness, 3))
    with monkeypatch.context() as patched:
        one_in_each_step(patched)
        patched.setattr(Link, "run_reported", run_twice)
        call_before(patched, 2, partial(close, harness))
        answer = await harness.broker.enqueue_batch(batch)
    assert answer == EnqueuedBatch(Acceptance.EXISTS, left_out=2, closed_by="ann")
    assert (await view_of(harness)).counts == {"queued": 1}


@pytest.mark.parametrize("is_first", [False, True])
@pytest.mark.parametrize("step", [2, 7, 8])
async def test_a_part_beside_a_close_counts_or_is_not_accepted(
    harness: BrokerHarness, monkeypatch: pytest.MonkeyPatch, step: int, is_first: bool
) -> None:
    batch = in_batch(batch_of(harness, 8))
    closing: list[asyncio.Task[ClosedBatch]] = []

    async def begin_to_close() -> None:
        closing.append(asyncio.create_task(close(harness)))
        if is_first:
            await asyncio.sleep(0)

    with monkeypatch.context() as patched:
        one_in_each_step(patched)
        call_before(patched, step, begin_to_close)
        answer = await harness.broker.enqueue_batch(batch)
    closed = [await each for each in closing]
    found = await view_of(harness)
    if answer == EnqueuedBatch(Acceptance.ACCEPTED):
        assert (closed, found.total) == ([ClosedBatch(BATCH_IS_WHOLE)], 9)
    else:
        accepted = found.members
        assert closed == [ClosedBatch("", accepted, 8 - accepted)]
        left_out = EnqueuedBatch(Acceptance.EXISTS, left_out=8 - accepted, closed_by="ann")
        assert answer == left_out
    assert sum(found.counts.values()) == found.members
    for _ in range(found.members):
        await end(harness, State.COMPLETED)
    assert await harness.counts(DONE) == {"queued": 1}


async def test_members_that_were_removed_count(harness: BrokerHarness) -> None:
    await left_open(harness)
    await end_and_remove(harness)
    assert (await view_of(harness)).counts == {"completed": 2}
    assert await close(harness) == ClosedBatch("", 2, 3)
    assert await states(harness, "b.then0") == ["queued"]
    await end(harness, State.COMPLETED, DONE)
    found = await view_of(harness)
    assert (found.state, found.ended, found.total) == (BatchState.ENDED, 3, 3)


async def test_at_least_one_member_was_not_accepted_though_others_were_twice(
    harness: BrokerHarness,
) -> None:
    batch = await left_open(harness)
    await end_and_remove(harness)
    await leave_open(harness.broker, batch, 4)
    assert await close(harness) == ClosedBatch("", 6, 1)
    refused = EnqueuedBatch(Acceptance.EXISTS, left_out=1, closed_by="ann")
    assert await harness.broker.enqueue_batch(batch) == refused


@pytest.mark.parametrize("then", [0, 1])
async def test_a_closed_batch_without_any_job_is_removed(harness: BrokerHarness, then: int) -> None:
    await left_open(harness, then=then, when=When.COMPLETED)
    for _ in range(2):
        await end(harness, State.DEAD)
    harness.clock.advance(1)
    for job in await harness.control.to_archive(older_than=harness.clock.now_ms(), limit=10):
        await harness.control.forget([job.view.id])
    assert (await view_of(harness)).state is BatchState.OPEN
    assert await close(harness) == ClosedBatch("", 2, 3)
    assert await harness.inspection.batch("b") is None
    assert await harness.inspection.batch_to_make("b.then0") is None
    assert (await harness.inspection.batches(limit=10, cursor=None)).batches == ()
    assert await close(harness) == ClosedBatch(NOT_KNOWN)


async def test_a_producer_under_way_does_not_make_a_removed_batch_of_the_rest(
    harness: BrokerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = in_batch(batch_of(harness, 4, when=When.COMPLETED))

    async def end_and_close() -> None:
        for _ in range(2):
            await end(harness, State.DEAD)
        harness.clock.advance(1)
        for job in await harness.control.to_archive(older_than=harness.clock.now_ms(), limit=10):
            await harness.control.forget([job.view.id])
        assert await close(harness) == ClosedBatch("", 2, 2)

    with monkeypatch.context() as patched:
        one_in_each_step(patched)
        call_before(patched, 3, end_and_close)
        with pytest.raises(BrokerUnavailable, match="batch b is gone while it was submitted"):
            await harness.broker.enqueue_batch(batch)
    assert await harness.inspection.batch("b") is None
    assert await states(harness, "b.2", "b.then0") == [None, None]
    assert await harness.broker.enqueue_batch(batch) == EnqueuedBatch(Acceptance.ACCEPTED)
    assert (await view_of(harness)).counts == {"queued": 4}


async def test_an_erased_job_that_was_to_follow_is_skipped(harness: BrokerHarness) -> None:
    await left_open(harness, 1, then=2)
    assert [each.done for each in await harness.control.erase(["b.then0"])] == [True]
    await end(harness, State.COMPLETED)
    await close(harness)
    assert await states(harness, "b.then0", "b.then1") == [None, "queued"]
    assert (await view_of(harness)).total == 2


async def test_a_batch_is_removed_with_the_last_of_its_accepted_jobs(
    harness: BrokerHarness,
) -> None:
    await left_open(harness, then=0)
    await close(harness)
    await end_and_remove(harness)
    assert await harness.inspection.batch("b") is None


@pytest.mark.parametrize("make_backend", ["fakeredis", "redis"], indirect=True)
async def test_a_closed_batch_whose_members_are_not_known_waits_until_they_are(
    harness: BrokerHarness,
) -> None:
    await left_open(harness)
    await end(harness, State.COMPLETED)
    link = harness.broker._link  # type: ignore[attr-defined]  # what another program may do
    await link.ask("DEL", link.keys.ours("members", "b"))
    assert await close(harness) == ClosedBatch("", 2, 3)
    assert await states(harness, "b.then0") == [None]
    await harness.broker.reap(10)
    assert (await view_of(harness)).state is BatchState.RUNNING
    await end(harness, State.COMPLETED)
    assert await states(harness, "b.then0") == ["queued"]


async def test_a_batch_with_another_id_takes_the_members_that_were_left_out(
    harness: BrokerHarness,
) -> None:
    batch = await left_open(harness)
    await close(harness)
    rest = replaced(batch_of(harness, 0, id="c"), members=batch.members[2:])
    answer = await harness.broker.enqueue_batch(in_batch(rest))
    assert answer == EnqueuedBatch(Acceptance.ACCEPTED)
    assert (await view_of(harness, "c")).counts == {"queued": 3}
