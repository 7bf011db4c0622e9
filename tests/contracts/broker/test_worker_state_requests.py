"""The state that an operator requests of a worker: the worker receives it, reports its own, and the request ends with it."""

from __future__ import annotations

import msgspec
import pytest

from hms_svc.domain.job import Lane
from hms_svc.domain.views import QueueView, WorkerRequest, WorkerState, WorkerView
from hms_svc.operations.queue_explanation import explain_queue
from hms_svc.ports.broker import WorkerRegistration
from tests.support.broker_engines import LEASE_MS, TYPE, BrokerHarness


def request(harness: BrokerHarness, state: WorkerState) -> WorkerRequest:
    return WorkerRequest(state, "ravi", "bad disk", harness.clock.now_ms())


async def wanted(harness: BrokerHarness, worker: str) -> WorkerState | None:
    return (await harness.broker.signals(worker, [TYPE])).wanted


async def view(harness: BrokerHarness) -> WorkerView:
    [found] = await harness.inspection.workers()
    return found


async def test_a_worker_hears_what_is_wanted_of_it_and_of_no_other(harness: BrokerHarness) -> None:
    assert not await harness.control.ask_worker("nobody", request(harness, WorkerState.QUIET))
    harness.register(worker="one two")
    assert await wanted(harness, "one two") is None
    asked = request(harness, WorkerState.QUIET)
    assert await harness.control.ask_worker("one two", asked)
    harness.register(worker="one two")
    assert await wanted(harness, "other") is None
    assert await wanted(harness, "one two") is WorkerState.QUIET


@pytest.mark.parametrize("state", list(WorkerState))
async def test_it_remains_a_request_until_the_worker_reports_the_state(
    harness: BrokerHarness, state: WorkerState
) -> None:
    harness.register()
    asked = request(harness, state)
    assert await harness.control.ask_worker("worker-1", asked)
    seen = await view(harness)
    assert (seen.state, seen.request) == (WorkerState.WORKING, asked)
    assert seen.pending_request == (None if state is WorkerState.WORKING else asked)
    assert [queue.served for queue in await served(harness)] == [True]
    show(harness, state)
    seen = await view(harness)
    assert (seen.state, seen.request, seen.pending_request) == (state, asked, None)
    claims = state is WorkerState.WORKING
    found = [(queue.served, queue.quiet_workers) for queue in await served(harness)]
    assert found == [(claims, 0 if claims else 1)]


async def test_a_suspect_lane_serves_no_queue(harness: BrokerHarness) -> None:
    show(harness, WorkerState.QUIET)
    show(harness, WorkerState.WORKING, worker="lane", lane=Lane.SUSPECT)
    [queue] = await served(harness)
    assert (queue.served, queue.quiet_workers) == (False, 1)
    await harness.broker.unregister("worker-1")
    [queue] = await served(harness)
    assert (queue.served, queue.quiet_workers) == (False, 0)
    lanes = await harness.inspection.workers()
    told = explain_queue(queue, lanes, harness.clock.now_ms())
    assert "no live worker serves it: only a suspect lane is left" in told


async def test_a_request_is_removed_with_its_worker(harness: BrokerHarness) -> None:
    for name in ("left", "silent"):
        harness.register(worker=name)
        assert await harness.control.ask_worker(name, request(harness, WorkerState.QUIET))
    await harness.broker.unregister("left")
    harness.clock.advance(400)
    harness.register(worker="other")
    for name in ("left", "silent"):
        assert not await harness.control.ask_worker(name, request(harness, WorkerState.QUIET))
        harness.register(worker=name)
    assert [each.request for each in await harness.inspection.workers()] == [None] * 3


async def test_a_registration_without_a_state_is_of_a_worker_that_works(
    harness: BrokerHarness,
) -> None:
    known = msgspec.json.decode(
        msgspec.json.encode(
            WorkerRegistration(
                id="w",
                host="h",
                pid=1,
                slots=1,
                busy=0,
                types=(TYPE,),
                started_at=0,
            )
        )
    )
    del known["state"]
    assert msgspec.convert(known, WorkerRegistration).state is WorkerState.WORKING


async def test_jobs_in_hand_are_told_with_the_ends_of_their_leases(harness: BrokerHarness) -> None:
    harness.register()
    await harness.accept(2)
    await harness.claim()
    seen = await view(harness)
    assert len(seen.jobs) == 2
    assert set(seen.lease_ends) == {harness.clock.now_ms() + LEASE_MS}


def show(
    harness: BrokerHarness,
    state: WorkerState,
    worker: str = "worker-1",
    lane: Lane = Lane.NORMAL,
) -> None:
    lease_keeper = harness.broker.lease_keeper()
    lease_keeper.register(
        WorkerRegistration(
            id=worker,
            host="host",
            pid=1,
            slots=4,
            busy=0,
            types=(TYPE,),
            started_at=0,
            state=state,
            lane=lane,
        )
    )
    lease_keeper.close()


async def served(harness: BrokerHarness) -> list[QueueView]:
    await harness.accept()
    return await harness.inspection.queues([TYPE])
