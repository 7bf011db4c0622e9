"""When a worker that is to drain may leave."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hms_svc import RunningJob, dao
from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.lifecycle import State
from hms_svc.sdk.registry import Registry
from tests.support.worker import PLACE, HarnessMaker, registry_of

HELD = {**PLACE, "needs_road_closure": True}


def open_case(job: RunningJob) -> str:
    return dao.insert_case(job.data)


async def test_it_leaves_an_empty_queue_at_once(open_harness: HarnessMaker) -> None:
    async with open_harness(registry_of(open_case)) as harness:
        await harness.ended(harness.start(drain=True))


async def test_it_waits_for_retries_and_for_what_is_due_within_a_minute(
    open_harness: HarnessMaker,
) -> None:
    def handler(job: RunningJob) -> str:
        if job.attempt == 1:
            raise ConnectionError
        return "done"

    async with open_harness(registry_of(handler, retry=RetryPolicy(base_seconds=0.3))) as harness:
        now = harness.engines.clock.now_ms()
        ids = [await harness.enqueue(), await harness.enqueue(not_before=now + 500)]
        await harness.ended(harness.start(drain=True))
        states = [(await harness.detail(job_id)).view.state for job_id in ids]
        assert states == [State.COMPLETED] * 2


async def test_it_waits_for_what_others_have_in_hand(open_harness: HarnessMaker) -> None:
    go_on = asyncio.Event()

    async def handler(job: RunningJob) -> None:
        await go_on.wait()

    async with open_harness(registry_of(handler)) as harness:
        other = harness.start()
        await harness.reaches(await harness.enqueue(), State.PROCESSING)
        draining = harness.start(drain=True)
        await harness.engines.broker.wait_for_work(0.3)
        assert not harness.workers[1][1].done()
        go_on.set()
        await harness.ended(draining)
        assert len(other.in_flight) == 0


async def test_the_outbox_is_empty_when_it_leaves(open_harness: HarnessMaker) -> None:
    async with open_harness(registry_of(open_case)) as harness:
        await harness.enqueue()
        await harness.ended(harness.start(drain=True))
        assert await harness.engines.database.outbox.waiting(1) == []
        events = await harness.engines.bus.read(after=0, limit=100)
        assert "case.opened" in [event.type for event in events]


@pytest.mark.parametrize("kind", ["held", "paused", "later", "unserved"])
async def test_it_does_not_wait_for(
    open_harness: HarnessMaker, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    registry = Registry()
    registry.job("test.job", action="create_case")(open_case)
    async with open_harness(registry) as harness:
        later = harness.engines.clock.now_ms() + 90_000
        fields: dict[str, Any] = {"later": {"not_before": later}}.get(kind, {})
        type = "unknown.job" if kind == "unserved" else "test.job"
        job_id = await harness.enqueue(HELD if kind == "held" else None, type=type, **fields)
        if kind == "paused":
            await harness.engines.control.pause("test.job", by="ravi", reason="")
        with caplog.at_level("INFO", logger="hms_svc.runtime"):
            await harness.ended(harness.start(drain=True))
        states = {"held": State.HELD, "later": State.SCHEDULED}
        assert (await harness.detail(job_id)).view.state is states.get(kind, State.QUEUED)
        reports = [line for line in caplog.messages if line.startswith("test.job")]
        assert len(reports) == (kind in ("held", "paused"))
