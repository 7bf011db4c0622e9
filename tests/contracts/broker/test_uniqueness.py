"""Until when a job stands for its key, and what becomes of the next one, on every broker."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from hms_svc.domain.batches import NewBatch
from hms_svc.domain.job import Job
from hms_svc.domain.lifecycle import REASON_REPLACED, REASON_UNIQUE, State
from hms_svc.domain.uniqueness import Debounce, Unique, UniqueRule, rule_of
from hms_svc.ports.broker import Acceptance, Enqueued
from hms_svc.ports.control import Act, ActRequest
from hms_svc.ports.key_claims import KeyClaim
from hms_svc.runtime.unique_keys import UniqueKeys
from hms_svc.sdk.registry import Registry
from tests.support.broker_engines import TYPE, BrokerHarness, BrokerMaker, ManualClock

ENDED, STARTED = UniqueRule("ended"), UniqueRule("started")
MINUTE = UniqueRule("window", window_ms=60_000)
MINUTE_OR_MORE = UniqueRule("ended", window_ms=60_000)
DEBOUNCED = UniqueRule("started", delay_ms=10_000, most_ms=30_000)


def ward(harness: BrokerHarness, rule: UniqueRule, data: Any = 1, **fields: Any) -> Job:
    """Return a job with the key `ward-7`, as a front end that knows the rule makes it."""
    if rule.delay_ms:
        fields.setdefault("not_before", harness.clock.now_ms() + rule.delay_ms)
    job = harness.job(data, **{"unique_key": "ward-7", **fields})
    return msgspec.structs.replace(job, unique=rule)


async def hand_in(harness: BrokerHarness, rule: UniqueRule, **fields: Any) -> Enqueued:
    [answer] = await harness.enqueue(ward(harness, rule, **fields))
    return answer


async def stands(harness: BrokerHarness, rule: UniqueRule) -> bool:
    """Return whether a further job is rejected."""
    return (await hand_in(harness, rule)).state is State.REJECTED


@pytest.mark.parametrize("rule", [ENDED, STARTED, MINUTE, MINUTE_OR_MORE])
async def test_the_second_is_rejected_and_told_which_job_stands(
    harness: BrokerHarness, rule: UniqueRule
) -> None:
    first = await hand_in(harness, rule)
    assert (first.state, first.held_by, first.replaced) == (State.QUEUED, None, None)
    job = ward(harness, rule)
    [second] = await harness.enqueue(job)
    assert second == Enqueued(job.id, Acceptance.ACCEPTED, State.REJECTED, held_by=first.job_id)
    [again] = await harness.enqueue(job)
    assert again == Enqueued(job.id, Acceptance.EXISTS, State.REJECTED, held_by=first.job_id)
    view = (await harness.detail(second.job_id)).view
    assert (view.reason, view.unique_key) == (REASON_UNIQUE, "ward-7")
    assert view.detail == f"unique key 'ward-7' is held by job {first.job_id}"
    assert (await harness.detail(first.job_id)).view.unique_key == "ward-7"


@pytest.mark.parametrize("rule", [ENDED, STARTED, MINUTE, MINUTE_OR_MORE])
async def test_within_one_call_and_for_other_keys(harness: BrokerHarness, rule: UniqueRule) -> None:
    jobs = [ward(harness, rule), ward(harness, rule), ward(harness, rule, unique_key="ward-8")]
    answers = await harness.enqueue(*jobs, harness.job())
    states = [answer.state for answer in answers]
    assert states == [State.QUEUED, State.REJECTED, State.QUEUED, State.QUEUED]
    assert answers[1].held_by == jobs[0].id
    assert await harness.counts() == {"queued": 3, "rejected": 1}


async def test_a_job_stands_until_it_has_ended(harness: BrokerHarness) -> None:
    await hand_in(harness, ENDED)
    [job] = await harness.claim()
    assert await stands(harness, ENDED)
    await harness.settle(job, State.RETRYING, delay_ms=0)
    assert await stands(harness, ENDED)
    await harness.broker.promote(10)
    [job] = await harness.claim()
    await harness.complete(job)
    assert not await stands(harness, ENDED)


async def test_a_job_stands_until_it_is_claimed_for_the_first_time(harness: BrokerHarness) -> None:
    await hand_in(harness, STARTED)
    [job] = await harness.claim()
    assert job.job.unique_key == "ward-7"
    second = await hand_in(harness, STARTED)
    assert second.state is State.QUEUED
    await harness.settle(job, State.RETRYING, delay_ms=0)
    await harness.broker.promote(10)
    third = await hand_in(harness, STARTED)
    assert third.held_by == second.job_id
    claimed = await harness.claim()
    assert {each.job.id for each in claimed} == {job.job.id, second.job_id}
    for each in claimed:
        await harness.complete(each)
    assert not await stands(harness, STARTED)


async def test_a_started_job_that_is_retried_keeps_no_other_away(harness: BrokerHarness) -> None:
    first = await hand_in(harness, STARTED)
    [job] = await harness.claim()
    await harness.settle(job, State.DEAD, reason="error")
    second = await hand_in(harness, STARTED)
    assert second.state is State.QUEUED
    retry = ActRequest(act=Act.RETRY, job_ids=(first.job_id,), by="ravi")
    assert [outcome.why for outcome in await harness.control.act(retry)] == [""]
    assert (await hand_in(harness, STARTED)).held_by == second.job_id
    assert len(await harness.claim()) == 2


@pytest.mark.parametrize("rule", [MINUTE, MINUTE_OR_MORE])
async def test_a_window_runs_from_the_acceptance_whatever_becomes_of_the_job(
    harness: BrokerHarness, clock: ManualClock, rule: UniqueRule
) -> None:
    first = await hand_in(harness, rule)
    clock.advance(10)
    [job] = await harness.claim()
    await harness.complete(job)
    assert (await hand_in(harness, rule)).held_by == first.job_id
    await harness.control.forget([first.job_id])
    clock.advance(49.9)
    assert (await hand_in(harness, rule)).held_by == first.job_id
    clock.advance(0.2)
    next_one = await hand_in(harness, rule)
    assert next_one.state is State.QUEUED
    cancel = ActRequest(act=Act.CANCEL, job_ids=(next_one.job_id,), by="ravi", batch="b")
    await harness.control.act(cancel)
    assert (await hand_in(harness, rule)).held_by == next_one.job_id
    await harness.control.undo("b")
    assert await harness.state(next_one.job_id) is State.QUEUED
    assert (await hand_in(harness, rule)).held_by == next_one.job_id


async def test_after_its_window_a_job_stands_until_it_ends_if_so_declared(
    harness: BrokerHarness, clock: ManualClock
) -> None:
    await hand_in(harness, MINUTE_OR_MORE)
    clock.advance(61)
    assert await stands(harness, MINUTE_OR_MORE)
    [job] = await harness.claim()
    await harness.complete(job)
    assert not await stands(harness, MINUTE_OR_MORE)


async def test_of_a_throttled_type_one_begins_in_each_window(
    harness: BrokerHarness, clock: ManualClock
) -> None:
    accepted = 0
    for _ in range(50):
        accepted += (await hand_in(harness, MINUTE)).state is State.QUEUED
        clock.advance(10)
    assert accepted == 9
    assert await harness.counts() == {"queued": 9, "rejected": 41}


async def test_windows_that_are_over_leave_nothing(
    harness: BrokerHarness, clock: ManualClock
) -> None:
    for number in range(20):
        await hand_in(harness, MINUTE, unique_key=f"ward-{number}")
    clock.advance(3600)
    await harness.control.trim(limit=1000)
    broker: Any = harness.broker
    if hasattr(broker, "_file"):
        assert await broker._file.fetch("SELECT * FROM unique_windows") == []


async def test_a_waiting_job_is_replaced_and_its_successor_waits(
    harness: BrokerHarness, clock: ManualClock
) -> None:
    start = clock.wall
    first = await hand_in(harness, DEBOUNCED, data={"edit": 1})
    assert (first.state, first.replaced) == (State.SCHEDULED, None)
    clock.advance(5)
    second = await hand_in(harness, DEBOUNCED, data={"edit": 2})
    assert second.state is State.SCHEDULED
    assert (second.replaced, second.held_by) == (first.job_id, None)
    view = (await harness.detail(first.job_id)).view
    assert (view.state, view.reason, view.by) == (State.CANCELLED, REASON_REPLACED, "enqueue")
    assert view.detail == f"by job {second.job_id}"
    assert (await harness.detail(second.job_id)).view.due_at == start + 15_000
    assert await harness.counts() == {"scheduled": 1, "cancelled": 1}
    assert ("job.cancelled", first.job_id) in await harness.events()
    clock.advance(10)
    await harness.broker.promote(10)
    [job] = await harness.claim()
    assert (job.job.id, job.job.data) == (second.job_id, b'{"edit":2}')
    third = await hand_in(harness, DEBOUNCED)
    assert (third.state, third.replaced) == (State.SCHEDULED, None)


async def test_it_waits_at_most_so_long_after_the_first(
    harness: BrokerHarness, clock: ManualClock
) -> None:
    start = clock.wall
    answers = []
    for _ in range(7):
        answers.append(await hand_in(harness, DEBOUNCED))
        clock.advance(5)
    due = (await harness.detail(answers[-1].job_id)).view.due_at
    assert due == start + 30_000
    await harness.broker.promote(10)
    late = await hand_in(harness, DEBOUNCED, data={"edit": 8})
    assert (late.state, late.replaced) == (State.QUEUED, answers[-1].job_id)
    [job] = await harness.claim()
    assert (job.job.id, job.job.data) == (late.job_id, b'{"edit":8}')
    assert await harness.counts() == {"processing": 1, "cancelled": 7}
    # The next series begins anew.
    fresh = await hand_in(harness, DEBOUNCED)
    assert (await harness.detail(fresh.job_id)).view.due_at == clock.wall + 10_000


async def test_a_job_that_is_ready_is_replaced_in_its_place(
    harness: BrokerHarness, clock: ManualClock
) -> None:
    first = await hand_in(harness, DEBOUNCED)
    clock.advance(10)
    await harness.broker.promote(10)
    clock.advance(1)
    others = await harness.accept(2)
    second = await hand_in(harness, DEBOUNCED)
    assert (second.state, second.replaced) == (State.QUEUED, first.job_id)
    assert [job.job.id for job in await harness.claim()] == [second.job_id, *others]


async def test_debounced_jobs_of_one_call_leave_the_last(harness: BrokerHarness) -> None:
    jobs = [ward(harness, DEBOUNCED, data=number) for number in range(4)]
    answers = await harness.enqueue(*jobs)
    assert [answer.replaced for answer in answers] == [None, *(job.id for job in jobs[:-1])]
    assert await harness.counts() == {"scheduled": 1, "cancelled": 3}
    assert await harness.state(jobs[-1].id) is State.SCHEDULED
    await harness.broker.reap(100)
    assert await harness.counts() == {"scheduled": 1, "cancelled": 3}
    page = await harness.control.waiting(TYPE, limit=10)
    assert [job_id for job_id, _ in page] == [jobs[-1].id]


async def test_the_same_job_again_replaces_nothing(harness: BrokerHarness) -> None:
    job = ward(harness, DEBOUNCED)
    await harness.enqueue(job)
    [again] = await harness.enqueue(job)
    assert (again.acceptance, again.replaced) == (Acceptance.EXISTS, None)
    other = await hand_in(harness, DEBOUNCED)
    [old] = await harness.enqueue(job)
    assert (old.acceptance, old.state) == (Acceptance.EXISTS, State.CANCELLED)
    assert await harness.state(other.job_id) is State.SCHEDULED


async def test_a_replaced_job_that_is_retried_or_brought_back_keeps_to_the_rule(
    harness: BrokerHarness,
) -> None:
    first = await hand_in(harness, DEBOUNCED)
    second = await hand_in(harness, DEBOUNCED)
    retry = ActRequest(act=Act.RETRY, job_ids=(first.job_id,), by="ravi")
    [outcome] = await harness.control.act(retry)
    assert "its unique key" in outcome.why
    cancel = ActRequest(act=Act.CANCEL, job_ids=(second.job_id,), by="ravi", batch="b")
    await harness.control.act(cancel)
    [outcome] = await harness.control.act(retry)
    assert outcome.done
    [undone] = await harness.control.undo("b")
    assert "its unique key" in undone.why


async def test_jobs_handed_in_at_once_over_several_connections_leave_one(
    make_backend: BrokerMaker, clock: ManualClock
) -> None:
    async with make_backend() as one, make_backend() as two:
        first, second = BrokerHarness(one, clock), BrokerHarness(two, clock)
        for rule, state in ((MINUTE, State.REJECTED), (DEBOUNCED, State.CANCELLED)):
            key = f"{rule.until}-{rule.delay_ms}"
            answers = await asyncio.gather(
                *(hand_in(each, rule, unique_key=key) for each in [first, second] * 10)
            )
            details = [await first.detail(answer.job_id) for answer in answers]
            assert sum(detail.view.state is not state for detail in details) == 1


async def test_a_key_that_is_taken_at_the_claim_has_its_window_from_then_on(
    harness: BrokerHarness, clock: ManualClock
) -> None:
    [first], [second] = [await harness.accept() for _ in range(2)]
    clock.advance(5)
    one, two = await harness.claim()
    claims = [KeyClaim(job, "ward-7", MINUTE) for job in (one, two)]
    assert await harness.broker.take_keys(claims) == [first, first]
    assert await harness.broker.take_keys(claims) == [first, first]
    await harness.complete(one)
    clock.advance(59)
    assert (await hand_in(harness, MINUTE)).held_by == first
    clock.advance(2)
    assert not await stands(harness, MINUTE)
    assert second != first


async def test_a_job_that_runs_is_not_kept_away_by_one_that_waits_behind_it(
    harness: BrokerHarness, clock: ManualClock
) -> None:
    rule = UniqueRule("started", window_ms=60_000)
    [first] = await harness.accept()
    [claimed] = await harness.claim()
    assert (await hand_in(harness, rule)).state is State.QUEUED
    clock.advance(61)
    assert await harness.broker.take_keys([KeyClaim(claimed, "ward-7", rule)]) == [first]


async def test_a_further_attempt_needs_no_window_of_its_own(
    harness: BrokerHarness, clock: ManualClock
) -> None:
    registry = Registry()
    unique: Unique[Any] = Unique(lambda payload: "ward-7", until="window", window_seconds=60)
    registry.job(TYPE, unique=unique)(lambda job: None)
    keys = UniqueKeys(harness.broker, registry)
    await harness.accept()
    [claimed] = await harness.claim()
    assert await keys.take([claimed]) == {}
    await harness.settle(claimed, State.RETRYING, due_at=clock.now_ms() + 61_000)
    clock.advance(62)
    other = await hand_in(harness, MINUTE)
    assert other.state is State.QUEUED
    await harness.broker.promote(10)
    again = {job.attempt: job for job in await harness.claim()}
    assert await keys.take([again[2]]) == {}
    assert (await hand_in(harness, MINUTE)).held_by == other.job_id


def test_declarations_become_rules() -> None:
    def key(payload: Any) -> str:
        return str(payload)

    assert rule_of(None) == rule_of(key) == UniqueRule()
    assert rule_of(Unique(key, until="started")) == STARTED
    assert rule_of(Unique(key, until="window", window_seconds=60)) == MINUTE
    assert rule_of(Debounce(key, 10, most_seconds=30)) == DEBOUNCED
    assert rule_of(Debounce(key, 0.5)) == UniqueRule("started", delay_ms=500, most_ms=5000)


@pytest.mark.parametrize("skew_ms", [-3_600_000, 3_600_000])
async def test_a_debounced_job_waits_by_the_clock_of_the_broker(
    harness: BrokerHarness, clock: ManualClock, skew_ms: int
) -> None:
    def skewed(number: int) -> Job:
        at = clock.now_ms() + skew_ms
        job = ward(harness, DEBOUNCED, number, not_before=at + DEBOUNCED.delay_ms)
        return msgspec.structs.replace(job, enqueued_at=at)

    start, jobs = clock.now_ms(), []
    for number in range(4):
        jobs.append(skewed(number))
        [answer] = await harness.enqueue(jobs[-1])
        assert answer.state is State.SCHEDULED
        due = start + min(8_000 * number + DEBOUNCED.delay_ms, DEBOUNCED.most_ms)
        assert (await harness.detail(answer.job_id)).view.due_at == due
        clock.advance(8)
    assert await harness.broker.promote(10) == 1
    assert [job.job.id for job in await harness.claim()] == [jobs[-1].id]


async def test_a_debounced_job_that_follows_waits_from_then_on(
    harness: BrokerHarness, clock: ManualClock
) -> None:
    follow_up = ward(harness, DEBOUNCED, id="then")
    batch = NewBatch(id="b", members=(harness.job(id="b.0"),), follow_ups=(follow_up,))
    await harness.broker.enqueue_batch(batch.with_its_id())
    clock.advance(3600)
    [job] = await harness.claim()
    await harness.complete(job)
    found = (await harness.detail("then")).view
    assert (found.state, found.due_at) == (State.SCHEDULED, clock.now_ms() + 10_000)


async def test_jobs_of_batches_keep_to_the_rules(harness: BrokerHarness) -> None:
    members = [ward(harness, DEBOUNCED, data=number, id=f"m-{number}") for number in range(2)]
    follow_up = ward(harness, MINUTE, id="follow-up", unique_key="ward-8")
    batch = NewBatch(id="b-1", members=tuple(members), follow_ups=(follow_up,))
    await harness.broker.enqueue_batch(batch.with_its_id())
    assert await harness.state("m-0") is State.CANCELLED
    assert await harness.state("m-1") is State.SCHEDULED
    holder = await hand_in(harness, MINUTE, unique_key="ward-8", type="other.type")
    assert holder.state is State.QUEUED
    first = await hand_in(harness, MINUTE, unique_key="ward-8")
    cancel = ActRequest(act=Act.CANCEL, job_ids=("m-1",), by="ravi")
    await harness.control.act(cancel)
    view = (await harness.detail("follow-up")).view
    assert (view.state, view.reason) == (State.REJECTED, REASON_UNIQUE)
    assert view.detail.endswith(first.job_id)
    found = await harness.inspection.batch("b-1")
    assert found is not None
    assert found.ended_at is not None
