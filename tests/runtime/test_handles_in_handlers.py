"""Handles inside handlers: over the engines of their worker, on both brokers."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from hms_svc import Job, JobDead, aio
from hms_svc.domain.lifecycle import State
from tests.support.own_portal import own_portal
from tests.support.permits import Application, apply, registry
from tests.support.waiting import PATIENCE_SECONDS, until
from tests.support.worker import HarnessMaker, result_of

__all__ = ["own_portal"]

pytestmark = pytest.mark.usefixtures("own_portal")


@pytest.mark.parametrize("type", ["permit.review", "permit.review_plain"])
async def test_a_handler_awaits_its_follow_up(open_harness: HarnessMaker, type: str) -> None:
    async with open_harness(registry) as harness:
        harness.start()
        handle = await aio.jobs.enqueue(Job(type, None))
        result = await handle.result(PATIENCE_SECONDS)
        assert result["permit"] in ("P-7-1", "P-8-1")


@pytest.mark.parametrize("type", ["permit.review", "permit.review_plain"])
async def test_a_handler_uses_the_engines_of_its_worker(
    open_harness: HarnessMaker, type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HMS_SVC_DATA_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("HMS_SVC_BROKER_URL", "")
    async with open_harness(registry) as harness:
        harness.start()
        detail = await harness.run("x", type=type)
        assert result_of(detail)["permit"] in ("P-7-1", "P-8-1")
    assert not (tmp_path / "elsewhere").exists()


async def test_a_handler_cancels_under_the_name_of_its_worker(open_harness: HarnessMaker) -> None:
    async with open_harness(registry) as harness:
        later = await harness.enqueue(
            {"parcel": "1"}, type="permit.apply", not_before=4_000_000_000_000
        )
        worker = harness.start()
        assert (await harness.run(later, type="permit.withdraw")).view.state is State.COMPLETED
        view = (await harness.detail(later)).view
        assert (view.state, view.detail) == (State.CANCELLED, "by a handler")
        assert view.by == f"worker:{worker._options.worker_id}"


async def test_the_timeout_of_a_plain_handler_ends_its_wait(open_harness: HarnessMaker) -> None:
    async with open_harness(registry) as harness:
        harness.start()
        never = await apply.enqueue(Application(parcel="1"), delay=timedelta(hours=1))
        handle = await aio.jobs.enqueue(Job("permit.wait_plain", never.id, max_attempts=1))
        with pytest.raises(JobDead) as caught:
            await handle.result(PATIENCE_SECONDS)
        assert caught.value.reason == "timeout"
        await until("the slot is free", lambda: len(harness.workers[0][0].in_flight) == 0)
