"""Leases that have run out, and workers that fell silent: recorded facts, told alike by each broker."""

from __future__ import annotations

from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import QueueView
from tests.support.broker_engines import TYPE, BrokerHarness


async def queue(harness: BrokerHarness) -> QueueView:
    [found] = await harness.inspection.queues([TYPE])
    return found


async def test_leases_that_ran_out_are_counted_with_since_when(harness: BrokerHarness) -> None:
    await harness.accept(3)
    await harness.claim(2)
    ends = harness.clock.now_ms() + 30_000
    harness.clock.advance(10)
    await harness.claim(1)
    harness.clock.advance(19)
    assert ((await queue(harness)).overdue, (await queue(harness)).overdue_since) == (0, None)
    harness.clock.advance(4)
    assert ((await queue(harness)).overdue, (await queue(harness)).overdue_since) == (2, ends)
    harness.clock.advance(20)
    assert ((await queue(harness)).overdue, (await queue(harness)).overdue_since) == (3, ends)
    await harness.broker.reap(10)
    assert ((await queue(harness)).overdue, (await queue(harness)).overdue_since) == (0, None)


async def test_the_end_of_a_lease_is_told_while_the_job_is_in_processing(
    harness: BrokerHarness,
) -> None:
    [job_id] = await harness.accept()
    assert await harness.inspection.lease_end(job_id) is None
    assert await harness.inspection.lease_end("nobody") is None
    [job] = await harness.claim()
    ends = harness.clock.now_ms() + 30_000
    assert await harness.inspection.lease_end(job_id) == ends
    harness.clock.advance(70)
    assert await harness.inspection.lease_end(job_id) == ends
    await harness.settle(job, State.COMPLETED)
    assert await harness.inspection.lease_end(job_id) is None


async def test_a_renewed_lease_ends_later(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    [job] = await harness.claim()
    harness.clock.advance(7)
    lease_keeper = harness.broker.lease_keeper()
    assert lease_keeper.extend([job.token], 30_000) == []
    lease_keeper.close()
    assert await harness.inspection.lease_end(job_id) == harness.clock.now_ms() + 30_000


async def test_the_register_parts_the_live_from_the_silent(harness: BrokerHarness) -> None:
    harness.register(worker="frozen")
    await harness.accept()
    [job] = await harness.claim(1, worker="frozen")
    seen_at = harness.clock.now_ms()
    harness.clock.advance(46)
    assert await harness.inspection.workers() == []
    live, [silent] = await harness.inspection.register()
    assert live == []
    assert (silent.id, silent.jobs, silent.last_seen_at) == ("frozen", (job.job.id,), seen_at)
    harness.register(worker="fresh")
    live, silent_ones = await harness.inspection.register()
    assert [each.id for each in live] == ["fresh"]
    assert [each.id for each in silent_ones] == ["frozen"]
    assert live == await harness.inspection.workers()
    harness.clock.advance(300)
    harness.register(worker="fresh")
    assert (await harness.inspection.register())[1] == []
