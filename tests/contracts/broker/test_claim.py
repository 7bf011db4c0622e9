"""Leases: who gets which job, in what order, and what is out of reach."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from hms_svc.domain.job import Lane
from hms_svc.domain.lifecycle import State
from hms_svc.ports.broker import ClaimRequest, ServedType
from tests.support.broker_engines import LEASE_MS, TYPE, BrokerHarness, BrokerMaker

FAR_AHEAD = 4_000_000_000_000_000


async def test_claim_counts_the_attempt_and_gives_a_new_fence_each_time(
    harness: BrokerHarness,
) -> None:
    await harness.accept()
    first = (await harness.claim())[0]
    await harness.settle(first, State.RETRYING, due_at=harness.clock.now_ms())
    await harness.broker.promote(10)
    second = (await harness.claim())[0]
    assert (first.attempt, first.claims) == (1, 1)
    assert (second.attempt, second.claims) == (2, 2)
    assert second.token.fence > first.token.fence


async def test_claimed_jobs_are_nobody_elses(harness: BrokerHarness) -> None:
    await harness.accept(5)
    ours = await harness.claim(3)
    theirs = await harness.claim(10, worker="worker-2")
    assert len(ours) == 3
    assert len(theirs) == 2
    assert {job.job.id for job in ours}.isdisjoint(job.job.id for job in theirs)


async def test_higher_priority_first_then_age(harness: BrokerHarness) -> None:
    [low] = await harness.accept(priority=-1)
    harness.clock.advance(1)
    [old] = await harness.accept()
    harness.clock.advance(1)
    [young] = await harness.accept()
    [high] = await harness.accept(priority=1)
    assert [job.job.id for job in await harness.claim()] == [high, old, young, low]


async def test_only_the_types_asked_for(harness: BrokerHarness) -> None:
    await harness.accept(type="crew.notify")
    assert await harness.claim(10, TYPE) == []
    assert len(await harness.claim(10, TYPE, "crew.notify")) == 1


async def test_no_more_of_a_type_than_there_is_room_for(harness: BrokerHarness) -> None:
    await harness.accept(10, type="a.job")
    await harness.accept(10, type="b.job")
    await harness.accept(10, type="c.job")
    types = (ServedType("a.job", 3, 2), ServedType("b.job", 3, 0), ServedType("c.job", 3))
    for wanted in (5, 5, 2):
        claimed = await harness.broker.claim(ClaimRequest("worker-1", types, 5, LEASE_MS))
        counts = Counter(job.job.type for job in claimed)
        assert counts["a.job"] <= 2
        assert counts["b.job"] == 0
        assert counts.total() >= wanted


async def test_types_take_turns(harness: BrokerHarness) -> None:
    await harness.accept(50, type="a.job")
    await harness.accept(50, type="b.job")
    firsts = {(await harness.claim(1, "a.job", "b.job"))[0].job.type for _ in range(4)}
    assert firsts == {"a.job", "b.job"}


async def test_paused_type_is_passed_over_until_resumed(harness: BrokerHarness) -> None:
    await harness.accept()
    await harness.control.pause(TYPE, by="ravi", reason="crew on strike")
    assert await harness.claim() == []
    queue = (await harness.inspection.queues())[0]
    assert (queue.paused, queue.paused_by, queue.pause_reason) == (True, "ravi", "crew on strike")
    await harness.control.resume(TYPE)
    assert len(await harness.claim()) == 1


async def test_paused_intake_is_shown_to_front_ends_until_resumed_or_paused_without(
    harness: BrokerHarness,
) -> None:
    async def seen() -> tuple[bool, bool]:
        queue = (await harness.inspection.queues())[0]
        return queue.paused, queue.intake_paused

    await harness.control.pause(TYPE, by="ravi", reason="flood", intake=True)
    assert await seen() == (True, True)
    await harness.accept()
    assert await harness.claim() == []
    await harness.control.pause(TYPE, by="ravi", reason="flood")
    assert await seen() == (True, False)
    await harness.control.pause(TYPE, by="ravi", reason="flood", intake=True)
    await harness.control.resume(TYPE)
    assert await seen() == (False, False)
    assert len(await harness.claim()) == 1


@pytest.mark.parametrize("limit", [1, 7, 500])
async def test_expired_jobs_do_not_hide_a_live_one(harness: BrokerHarness, limit: int) -> None:
    await harness.accept(400, expires_at=harness.clock.now_ms() - 1)
    [live] = await harness.accept()
    assert [job.job.id for job in await harness.claim(limit)] == [live]
    assert await harness.counts() == {"dead": 400, "processing": 1}


async def test_live_jobs_among_expired_ones_keep_their_order(harness: BrokerHarness) -> None:
    expected = []
    for _ in range(5):
        await harness.accept(3, expires_at=harness.clock.now_ms() - 1)
        harness.clock.advance(1)
        expected += await harness.accept()
        harness.clock.advance(1)
    claimed = await harness.claim(4)
    assert [job.job.id for job in claimed] == expected[:4]
    assert len({job.token.fence for job in claimed}) == 4


async def test_racing_workers_share_without_overlap(
    make_backend: BrokerMaker, harness: BrokerHarness
) -> None:
    ids = await harness.accept(200)
    async with make_backend() as other_backend:
        other = BrokerHarness(other_backend, harness.clock)
        claims = await asyncio.gather(
            *(h.claim(7, worker=w) for _ in range(20) for h, w in ((harness, "a"), (other, "b")))
        )
    got = [job.job.id for batch in claims for job in batch]
    assert sorted(got) == sorted(ids)


async def test_extended_lease_is_not_reaped(harness: BrokerHarness) -> None:
    await harness.accept()
    job = (await harness.claim())[0]
    lease_keeper = harness.broker.lease_keeper()
    for _ in range(5):
        harness.clock.advance(20)
        assert lease_keeper.extend([job.token], LEASE_MS) == []
        assert (await harness.broker.reap(10)).rescued == 0
    lease_keeper.close()
    assert await harness.complete(job)


async def test_extend_names_the_tokens_that_own_nothing(harness: BrokerHarness) -> None:
    await harness.accept(2)
    lost, kept = await harness.claim(2)
    await harness.complete(lost)
    lease_keeper = harness.broker.lease_keeper()
    assert lease_keeper.extend([lost.token, kept.token], LEASE_MS) == [lost.token]
    lease_keeper.close()


async def test_wait_for_work_ends_when_another_process_enqueues(
    make_backend: BrokerMaker, harness: BrokerHarness
) -> None:
    waiting = asyncio.create_task(harness.broker.wait_for_work(60))
    async with make_backend() as other:
        await asyncio.sleep(0)
        await other.broker.enqueue([harness.job()])
        async with asyncio.timeout(10):
            assert await waiting


async def test_cancelled_wait_loses_nothing(harness: BrokerHarness) -> None:
    waiting = asyncio.create_task(harness.broker.wait_for_work(60))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await harness.accept()
    assert await harness.broker.wait_for_work(60)
    assert len(await harness.claim()) == 1


async def test_suspect_lane_gets_only_suspects(harness: BrokerHarness) -> None:
    await harness.accept()
    assert await harness.claim(10, lane=Lane.SUSPECT) == []
    [job] = await harness.claim(10)
    await harness.accept(2)
    harness.clock.advance(LEASE_MS / 1000 + 1)
    await harness.broker.reap(10)
    [queue] = await harness.inspection.queues()
    assert (queue.counts.queued, queue.suspects) == (3, 1)
    assert [each.job.id for each in await harness.claim(10, lane=Lane.SUSPECT)] == [job.job.id]


async def test_fences_can_be_raised_and_never_lowered(harness: BrokerHarness) -> None:
    await harness.accept(2)
    await harness.broker.raise_fences(FAR_AHEAD)
    [first] = await harness.claim(1)
    await harness.broker.raise_fences(5)
    [second] = await harness.claim(1)
    assert (first.token.fence, second.token.fence) == (FAR_AHEAD + 1, FAR_AHEAD + 2)


async def test_types_get_jobs_by_their_weights(harness: BrokerHarness) -> None:
    served = (ServedType("bulk.job", 3), ServedType("urgent.job", 3, weight=3))
    request = ClaimRequest("worker-1", served, 1, LEASE_MS)
    await harness.accept(40, type="bulk.job")
    await harness.accept(40, type="urgent.job")
    got = Counter([(await harness.broker.claim(request))[0].job.type for _ in range(40)])
    assert abs(got["urgent.job"] - 30) <= 1
