"""Limits while something else happens: other limits are declared, operators act, jobs expire, very many wait."""

from __future__ import annotations

import asyncio

import pytest

from hms_svc.brokers.limits import LIMITS_AT_ONCE, LOOKS_AT_ONCE
from hms_svc.domain.job_limits import Limit
from hms_svc.domain.lifecycle import State
from hms_svc.ports.control import Act, ActRequest
from hms_svc.ports.key_claims import PlaceClaim
from tests.support.broker_engines import LEASE_MS, TYPE, BrokerHarness, ManualClock
from tests.support.keyed_limits import claimed_ids, declare, keyed, let_in

ONE = Limit(1)


async def act(harness: BrokerHarness, what: Act, job_id: str) -> None:
    request = ActRequest(
        act=what, job_ids=(job_id,), by="ravi", batch=what.value, seen=await harness.seen(job_id)
    )
    assert [each.done for each in await harness.control.act(request)] == [True]


async def test_a_raised_limit_lets_in_while_its_places_are_held(
    harness: BrokerHarness, clock: ManualClock
) -> None:
    declare(harness, ONE)
    ids = await harness.accept(5)
    await let_in(harness, *await harness.claim(), limit=ONE)
    declare(harness, Limit(3))
    clock.advance(5)
    await harness.broker.promote(10)
    found = await harness.claim()
    assert [job.job.id for job in found] == ids[1:3]
    assert await let_in(harness, *found, limit=Limit(3)) == [True, True]


async def test_a_rate_of_a_long_window_that_is_raised_lets_in(
    harness: BrokerHarness, clock: ManualClock
) -> None:
    day = 86_400_000
    declare(harness, Limit(1, day))
    _, waiting = await harness.accept(2)
    await let_in(harness, *await harness.claim(), limit=Limit(1, day))
    declare(harness, Limit(2, day))
    clock.advance(5)
    await harness.broker.promote(10)
    assert await claimed_ids(harness) == [waiting]


async def test_a_lowered_limit_lets_in_no_more_than_it_has_room(
    harness: BrokerHarness, clock: ManualClock
) -> None:
    declare(harness, Limit(2))
    await harness.accept(4)
    jobs = await harness.claim()
    await let_in(harness, *jobs, limit=Limit(2))
    declare(harness, ONE)
    await harness.complete(jobs[0])
    found = await harness.claim()
    assert await let_in(harness, *found, limit=ONE) == [False] * len(found)
    clock.advance(5)
    await harness.broker.promote(10)
    assert await claimed_ids(harness) == []


@pytest.mark.parametrize("is_other", [False, True])
async def test_all_that_wait_for_a_limit_that_is_no_longer_declared_are_let_in(
    harness: BrokerHarness, clock: ManualClock, is_other: bool
) -> None:
    declare(harness, ONE)
    ids = await harness.accept(5)
    await let_in(harness, *await harness.claim(), limit=ONE)
    harness.register(keyed_limits=((TYPE, (None, ONE)),) if is_other else ())
    clock.advance(5)
    await harness.broker.promote(10)
    assert await claimed_ids(harness) == ids[1:]


async def test_a_job_that_was_cancelled_while_it_waited_and_is_retried_takes_no_free_ride(
    harness: BrokerHarness,
) -> None:
    declare(harness, ONE)
    _, waiting = await harness.accept(2)
    await let_in(harness, *await harness.claim(), limit=ONE)
    await act(harness, Act.CANCEL, waiting)
    await act(harness, Act.RETRY, waiting)
    found = await harness.claim()
    assert [job.job.id for job in found] == [waiting]
    assert await let_in(harness, *found, limit=ONE) == [False]


async def test_a_job_that_was_cancelled_while_it_waited_passes_its_turn_on(
    harness: BrokerHarness,
) -> None:
    declare(harness, ONE)
    _, first, second = await harness.accept(3)
    jobs = await harness.claim()
    await let_in(harness, *jobs, limit=ONE)
    await act(harness, Act.CANCEL, first)
    await harness.complete(jobs[0])
    assert await claimed_ids(harness) == [second]


async def test_an_undone_cancel_of_a_job_that_waited_makes_it_ready(harness: BrokerHarness) -> None:
    declare(harness, ONE)
    _, waiting = await harness.accept(2)
    await let_in(harness, *await harness.claim(), limit=ONE)
    await act(harness, Act.CANCEL, waiting)
    assert [each.done for each in await harness.control.undo(Act.CANCEL.value)] == [True]
    assert await harness.counts() == {"processing": 1, "queued": 1}
    found = await harness.claim()
    assert [job.job.id for job in found] == [waiting]
    assert await let_in(harness, *found, limit=ONE) == [False]


async def test_jobs_that_expired_while_they_waited_take_no_turn(
    harness: BrokerHarness, clock: ManualClock
) -> None:
    declare(harness, ONE)
    await harness.accept()
    expired = await harness.accept(5, expires_at=clock.now_ms() + 1)
    [live] = await harness.accept()
    jobs = await harness.claim()
    await let_in(harness, *jobs, limit=ONE)
    clock.advance(1)
    await harness.complete(jobs[0])
    assert await claimed_ids(harness) == [live]
    assert {await harness.state(job_id) for job_id in expired} == {State.DEAD}


async def test_a_job_that_is_put_back_does_not_count_for_a_rate_of_its_type(
    harness: BrokerHarness,
) -> None:
    declare(harness, ONE, of_type=(Limit(2, 60_000),))
    await harness.accept(2)
    [other] = await harness.accept()
    jobs = await harness.claim()
    assert await let_in(harness, *jobs, limit=ONE) == [True, False]
    harness.clock.advance(1)
    assert await claimed_ids(harness) == [other]
    assert await claimed_ids(harness) == []


async def test_two_rates_with_the_same_window_count_each_job_once(harness: BrokerHarness) -> None:
    harness.register(limits=((TYPE, (Limit(3, 1000), Limit(2, 1000))),))
    await harness.accept(3)
    assert [len(await harness.claim(1)) for _ in range(3)] == [1, 1, 0]


async def test_one_promotion_is_bounded_however_many_keys_wait(
    harness: BrokerHarness, clock: ManualClock
) -> None:
    limit, keys = Limit(1, 1000), LOOKS_AT_ONCE * LIMITS_AT_ONCE + 20
    declare(harness, limit)
    await harness.accept(2 * keys)
    claims = [
        PlaceClaim(job, (keyed(f"ward {number // 2}", limit),), LEASE_MS)
        for number, job in enumerate(await harness.claim(2 * keys))
    ]
    assert await harness.broker.take_places(claims) == [True, False] * keys
    clock.advance(1)
    await harness.broker.promote(1000)
    [queue] = await harness.inspection.queues()
    assert (queue.limited, queue.keyed_limits, queue.limits) == (20, (limit,), ())
    await harness.broker.promote(1000)
    assert (await harness.inspection.queues())[0].limited == 0


async def test_a_worker_that_has_used_up_a_rate_wakes_when_its_window_has_passed(
    harness: BrokerHarness,
) -> None:
    harness.register(limits=((TYPE, (Limit(1, 300),)),))
    await harness.accept(2)
    assert len(await harness.claim(5)) == 1
    async with asyncio.timeout(20):
        assert await harness.broker.wait_for_work(3600)


async def test_whoever_puts_jobs_back_is_woken_for_others_that_the_type_may_run(
    harness: BrokerHarness,
) -> None:
    declare(harness, ONE, of_type=(Limit(2),))
    await harness.accept(3)
    jobs = await harness.claim(10)
    assert await let_in(harness, *jobs, limit=ONE) == [True, False]
    async with asyncio.timeout(20):
        assert await harness.broker.wait_for_work(3600)
