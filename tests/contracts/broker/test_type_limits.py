"""The limits that types declare hold in every broker: in the claim for a whole type, then for each key."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from hms_svc.domain.filter import parse_filter
from hms_svc.domain.job import Lane
from hms_svc.domain.job_limits import Limit
from hms_svc.domain.lifecycle import State
from hms_svc.ports.control import Act, ActRequest
from hms_svc.ports.key_claims import PlaceClaim
from tests.support.broker_engines import LEASE_MS, TYPE, BrokerHarness, BrokerMaker, ManualClock
from tests.support.keyed_limits import TWO, claimed_ids, declare, keyed, let_in

OTHER = "crew.notify"
TEN_A_SECOND = Limit(10, 1000)


async def test_of_a_limited_type_no_more_jobs_run_in_the_whole_fleet(
    harness: BrokerHarness,
) -> None:
    harness.register(TYPE, OTHER, limits=((TYPE, (TWO,)),))
    ids = await harness.accept(5)
    others = await harness.accept(3, type=OTHER)
    first = await harness.claim(10, TYPE, OTHER)
    assert sorted(job.job.id for job in first) == sorted([*ids[:2], *others])
    assert await claimed_ids(harness, 10, TYPE) == []
    assert await harness.counts() == {"processing": 2, "queued": 3}
    await harness.complete(next(job for job in first if job.job.id == ids[0]))
    assert await claimed_ids(harness, 10, TYPE) == [ids[2]]


async def test_a_job_that_waits_for_its_type_bears_no_trace(harness: BrokerHarness) -> None:
    harness.register(limits=((TYPE, (Limit(1),)),))
    _, waiting = await harness.accept(2)
    before = await harness.detail(waiting)
    for _ in range(5):
        await harness.claim()
    assert await harness.detail(waiting) == before
    [queue] = await harness.inspection.queues()
    assert (queue.limits, queue.limited) == ((Limit(1),), 0)


async def test_the_lease_of_a_dead_worker_ends_and_so_does_its_place(
    harness: BrokerHarness, clock: ManualClock
) -> None:
    harness.register(limits=((TYPE, (TWO,)),))
    ids = await harness.accept(3)
    await harness.claim()
    clock.advance(LEASE_MS / 1000 + 1)
    assert (await harness.broker.reap(10)).rescued == 2
    assert await claimed_ids(harness) == [ids[2]]
    suspects = await harness.claim(10, lane=Lane.SUSPECT)
    assert len(suspects) == 1


async def test_of_a_rate_no_more_jobs_begin_within_its_window(
    harness: BrokerHarness, clock: ManualClock
) -> None:
    harness.register(limits=((TYPE, (TEN_A_SECOND,)),))
    await harness.accept(30)
    begun: list[int] = []
    for _ in range(24):
        begun += [clock.lease] * len(await harness.claim(4))
        clock.advance(0.1)
    assert len(begun) >= 28
    for start in begun:
        assert sum(start <= at < start + 1000 for at in begun) <= 10


async def test_a_limit_that_is_no_longer_declared_ends(harness: BrokerHarness) -> None:
    harness.register(limits=((TYPE, (Limit(1),)),))
    await harness.accept(3)
    assert len(await harness.claim()) == 1
    harness.register(limits=((TYPE, (Limit(2),)),))
    assert len(await harness.claim()) == 1
    harness.register()
    assert len(await harness.claim()) == 1


async def test_a_worker_whose_claim_is_a_little_older_keeps_to_the_rate(
    harness: BrokerHarness, clock: ManualClock
) -> None:
    harness.register(limits=((TYPE, (Limit(1, 1_000),)),))
    await harness.accept(2)
    assert len(await harness.claim()) == 1
    clock.lease -= 5
    assert await harness.claim() == []


async def test_a_clock_that_is_set_back_does_not_stop_a_rate(
    harness: BrokerHarness, clock: ManualClock
) -> None:
    harness.register(limits=((TYPE, (Limit(1, 60_000),)),))
    await harness.accept(2)
    assert len(await harness.claim()) == 1
    clock.lease -= 3_600_000
    assert len(await harness.claim()) == 1


async def test_a_waiting_worker_is_woken_by_the_end_of_a_job(make_backend: BrokerMaker) -> None:
    clock = ManualClock()
    async with make_backend() as ours, make_backend() as theirs:
        one, other = BrokerHarness(ours, clock), BrokerHarness(theirs, clock)
        one.register(limits=((TYPE, (Limit(1),)),))
        await one.accept(2)
        [running] = await one.claim(worker="worker-1")
        assert await other.claim(worker="worker-2") == []
        # A subscription that is not made yet polls: it ends at once.
        while await other.broker.wait_for_work(0.3):
            assert await other.claim(worker="worker-2") == []
        waiting = asyncio.create_task(other.broker.wait_for_work(30))
        while not waiting.done():
            await asyncio.sleep(0.01)
            if await one.state(running.job.id) is State.PROCESSING:
                await one.complete(running)
        assert await waiting
        assert len(await other.claim(worker="worker-2")) == 1


async def test_a_key_that_is_full_holds_back_no_other(harness: BrokerHarness) -> None:
    ids = await harness.accept(4)
    jobs = await harness.claim()
    assert await let_in(harness, *jobs[:3]) == [True, True, False]
    assert await let_in(harness, jobs[3], key="ward 8") == [True]
    assert await harness.state(ids[2]) is State.QUEUED
    assert await harness.counts() == {"processing": 3, "queued": 1}
    assert await claimed_ids(harness) == []
    assert (
        await harness.inspection.limit_of(ids[2]) == "at most 2 jobs at the same time for 'ward 7'"
    )
    assert await harness.inspection.limit_of(ids[0]) == ""
    [queue] = await harness.inspection.queues()
    assert queue.limited == 1
    await harness.complete(jobs[3])
    assert await claimed_ids(harness) == []
    await harness.complete(jobs[0])
    assert await claimed_ids(harness) == [ids[2]]


async def test_a_job_that_waits_for_a_key_burns_nothing(harness: BrokerHarness) -> None:
    _, waiting = await harness.accept(2)
    before = await harness.detail(waiting)
    jobs = await harness.claim()
    await let_in(harness, *jobs, limit=Limit(1))
    after = await harness.detail(waiting)
    assert (after.history, after.view.attempt) == (before.history, before.view.attempt)
    await harness.complete(jobs[0])
    [again] = await harness.claim()
    assert (again.job.id, again.attempt, again.claims) == (waiting, 1, 1)
    assert await let_in(harness, again, limit=Limit(1)) == [True]


@pytest.mark.parametrize(
    "state",
    [State.COMPLETED, State.RETRYING, State.DEAD, State.QUEUED, State.HELD, State.SCHEDULED],
)
async def test_whatever_ends_a_run_gives_its_place_back(
    harness: BrokerHarness, state: State
) -> None:
    _, waiting = await harness.accept(2)
    jobs = await harness.claim()
    await let_in(harness, *jobs, limit=Limit(1))
    due = {"due_at": harness.clock.now_ms() + 60_000}
    fields = due if state in (State.RETRYING, State.SCHEDULED) else {}
    await harness.settle(jobs[0], state, **fields)
    assert waiting in await claimed_ids(harness)


async def test_a_dead_workers_place_for_a_key_comes_back_with_its_lease(
    harness: BrokerHarness, clock: ManualClock
) -> None:
    _, waiting = await harness.accept(2)
    jobs = await harness.claim()
    await let_in(harness, *jobs, limit=Limit(1))
    await harness.broker.promote(10)
    assert await claimed_ids(harness) == []
    clock.advance(LEASE_MS / 1000 + 1)
    await harness.broker.reap(10)
    [job] = await harness.claim()
    assert job.job.id == waiting
    assert await let_in(harness, job, limit=Limit(1)) == [True]


async def test_jobs_of_one_key_run_in_their_order(harness: BrokerHarness) -> None:
    ids = await harness.accept(6)
    ran: list[str] = []
    waiting = await harness.claim()
    for _ in ids:
        answers = await let_in(harness, *waiting, limit=Limit(1))
        [running] = itertools.compress(waiting, answers)
        ran.append(running.job.id)
        await harness.complete(running)
        waiting = await harness.claim()
    assert ran == ids


async def test_a_rate_for_a_key_lets_in_as_its_window_passes(
    harness: BrokerHarness, clock: ManualClock
) -> None:
    await harness.accept(5)
    limit = Limit(2, 10_000)
    declare(harness, limit)
    jobs = await harness.claim()
    assert await let_in(harness, *jobs, limit=limit) == [True, True, False, False, False]
    for job in jobs[:2]:
        await harness.complete(job)
    await harness.broker.promote(10)
    assert await harness.claim() == []
    clock.advance(10.1)
    await harness.broker.promote(10)
    found = await harness.claim()
    assert await let_in(harness, *found, limit=limit) == [True, True]
    assert await harness.counts() == {"processing": 2, "completed": 2, "queued": 1}


async def test_a_job_counts_for_all_of_its_limits_or_for_none(harness: BrokerHarness) -> None:
    await harness.accept(3)
    one, two, three = await harness.claim()
    assert await let_in(harness, one, key="full", limit=Limit(1)) == [True]
    both = (keyed("free", Limit(1)), keyed("full", Limit(1)))
    assert await harness.broker.take_places([PlaceClaim(two, both, LEASE_MS)]) == [False]
    assert await let_in(harness, three, key="free", limit=Limit(1)) == [True]


async def test_asking_again_after_a_lost_reply_answers_the_same(harness: BrokerHarness) -> None:
    await harness.accept(3)
    jobs = await harness.claim()
    limit = Limit(2, 10_000)
    first = await let_in(harness, *jobs, limit=limit)
    assert await let_in(harness, *jobs, limit=limit) == first == [True, True, False]


async def test_a_token_that_no_longer_owns_its_job_takes_no_place(
    harness: BrokerHarness, clock: ManualClock
) -> None:
    await harness.accept(2)
    stale, fresh = await harness.claim()
    await harness.settle(stale, State.DEAD)
    assert await let_in(harness, stale, limit=Limit(1)) == [False]
    assert await let_in(harness, fresh, limit=Limit(1)) == [True]
    assert await harness.state(stale.job.id) is State.DEAD


async def test_an_operator_cancels_a_job_that_waits_for_a_key_and_undoes_it(
    harness: BrokerHarness,
) -> None:
    declare(harness, Limit(1))
    _, waiting = await harness.accept(2)
    harness.clock.advance(1)
    [behind] = await harness.accept()
    jobs = await harness.claim()
    await let_in(harness, *jobs, limit=Limit(1))
    cancel = ActRequest(
        act=Act.CANCEL, job_ids=(waiting,), by="ravi", batch="b", seen=await harness.seen(waiting)
    )
    assert [each.done for each in await harness.control.act(cancel)] == [True]
    await harness.broker.promote(10)
    assert [each.done for each in await harness.control.undo("b")] == [True]
    harness.clock.advance(10)
    await harness.broker.promote(10)
    found = await harness.claim()
    assert [job.job.id for job in found] == [waiting]
    assert await let_in(harness, *found, limit=Limit(1)) == [False]
    await harness.complete(jobs[0])
    assert await claimed_ids(harness) == [waiting]
    assert behind not in await claimed_ids(harness)


async def test_a_page_shows_jobs_that_wait_for_a_key(harness: BrokerHarness) -> None:
    ids = await harness.accept(2)
    jobs = await harness.claim()
    await let_in(harness, *jobs, limit=Limit(1))
    where = parse_filter("state:queued")
    page = await harness.inspection.page(where, limit=10, cursor=None)
    assert [(job.id, job.suspect) for job in page.jobs] == [(ids[1], False)]
    assert await harness.inspection.position(ids[1]) == 0


async def test_expired_jobs_do_not_hide_live_ones_behind_a_limit(
    harness: BrokerHarness, clock: ManualClock
) -> None:
    harness.register(limits=((TYPE, (Limit(1),)),))
    await harness.accept(3, expires_at=clock.now_ms() + 1)
    [live] = await harness.accept()
    clock.advance(1)
    assert await claimed_ids(harness) == [live]


async def test_a_purge_takes_jobs_that_wait_for_a_key(harness: BrokerHarness) -> None:
    await harness.accept(3)
    jobs = await harness.claim()
    await let_in(harness, *jobs, limit=Limit(1))
    assert await harness.purge(10) == 2
    assert await harness.counts() == {"processing": 1, "cancelled": 2}
