"""When a worker that is to drain may leave."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hms_svc import RunningJob, dao
from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.lifecycle import State
from hms_svc.handling.registry import Registry

from .conftest import PLACE, FloorMaker, registry_of

HELD = {**PLACE, "needs_road_closure": True}


def open_case(job: RunningJob) -> str:
    return dao.insert_case(job.data)


async def test_it_leaves_an_empty_queue_at_once(open_floor: FloorMaker) -> None:
    async with open_floor(registry_of(open_case)) as floor:
        await floor.ended(floor.start(drain=True))


async def test_it_waits_for_retries_and_for_what_is_due_within_a_minute(
    open_floor: FloorMaker,
) -> None:
    def handler(job: RunningJob) -> str:
        if job.attempt == 1:
            raise ConnectionError
        return "done"

    async with open_floor(registry_of(handler, retry=RetryPolicy(base_seconds=0.3))) as floor:
        now = floor.engines.clock.now_ms()
        ids = [await floor.enqueue(), await floor.enqueue(not_before=now + 500)]
        await floor.ended(floor.start(drain=True))
        states = [(await floor.detail(job_id)).view.state for job_id in ids]
        assert states == [State.COMPLETED] * 2


async def test_it_waits_for_what_others_have_in_hand(open_floor: FloorMaker) -> None:
    go_on = asyncio.Event()

    async def handler(job: RunningJob) -> None:
        await go_on.wait()

    async with open_floor(registry_of(handler)) as floor:
        other = floor.start()
        await floor.reaches(await floor.enqueue(), State.PROCESSING)
        draining = floor.start(drain=True)
        await floor.engines.broker.wait_for_work(0.3)
        assert not floor.workers[1][1].done()
        go_on.set()
        await floor.ended(draining)
        assert len(other.in_flight) == 0


async def test_the_outbox_is_empty_when_it_leaves(open_floor: FloorMaker) -> None:
    async with open_floor(registry_of(open_case)) as floor:
        await floor.enqueue()
        await floor.ended(floor.start(drain=True))
        assert await floor.engines.database.outbox(1) == []
        events = await floor.engines.bus.read(after=0, limit=100)
        assert "case.opened" in [event.type for event in events]


@pytest.mark.parametrize("kind", ["held", "paused", "later", "unserved"])
async def test_it_does_not_wait_for(
    open_floor: FloorMaker, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    registry = Registry()
    registry.job("test.job", action="create_case")(open_case)
    async with open_floor(registry) as floor:
        later = floor.engines.clock.now_ms() + 90_000
        fields: dict[str, Any] = {"later": {"not_before": later}}.get(kind, {})
        type = "unknown.job" if kind == "unserved" else "test.job"
        job_id = await floor.enqueue(HELD if kind == "held" else None, type=type, **fields)
        if kind == "paused":
            await floor.engines.control.pause("test.job", by="ravi", reason="")
        with caplog.at_level("INFO", logger="hms_svc.runtime"):
            await floor.ended(floor.start(drain=True))
        states = {"held": State.HELD, "later": State.SCHEDULED}
        assert (await floor.detail(job_id)).view.state is states.get(kind, State.QUEUED)
        reports = [line for line in caplog.messages if line.startswith("test.job")]
        assert len(reports) == (kind in ("held", "paused"))
