"""Declared uniqueness from end to end: handles and jobs in Python, workers, and the page about it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from hms_svc import (
    Debounce,
    DeclaredType,
    Job,
    JobCancelled,
    Registry,
    RunningJob,
    Unique,
    aio,
)
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.job import make_job
from hms_svc.domain.lifecycle import State
from hms_svc.domain.strict_json import decode
from hms_svc.sdk.job_defaults import complete
from tests.support.own_portal import own_portal
from tests.support.redis_server import RedisServer
from tests.support.worker import HarnessMaker, WorkerHarness

__all__ = ["own_portal"]

pytestmark = pytest.mark.usefixtures("own_portal")


def page_app() -> Registry:
    page = Path(__file__).parents[2] / "docs" / "uniqueness.md"
    [example] = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)
    app: Registry = names["app"]
    return app


def declared(**rules: Any) -> tuple[Registry, DeclaredType[Any, Any, Any]]:
    registry = Registry()

    @registry.job("ward.sync", **rules)
    async def sync(job: RunningJob) -> Any:
        return job.data["n"]

    return registry, sync


async def test_the_examples_of_the_page_run(open_harness: HarnessMaker) -> None:
    app = page_app()
    async with open_harness(app) as harness:
        for type, data in (
            ("permit.apply", {"parcel": "18"}),
            ("ward.remind", {"ward": "7"}),
        ):
            jobs = [aio.Job(type, data) for _ in range(2)]
            completed = [complete(job.envelope, app) for job in jobs]
            answers = await harness.engines.broker.enqueue(completed)
            assert answers[1].held_by == jobs[0].id
        edits = [
            complete(make_job("map.render", {"ward": "7", "edits": n}, now_ms=now), app)
            for now in [harness.engines.clock.now_ms()]
            for n in (1, 2)
        ]
        before = harness.engines.clock.now_ms()
        answers = await harness.engines.broker.enqueue(edits)
        after = harness.engines.clock.now_ms()
        assert answers[1].replaced == edits[0].id
        due = (await harness.detail(edits[1].id)).view.due_at or 0
        assert before <= due - 10_000 <= after
        harness.start()
        for waiting in await ids_in(harness, "queued"):
            assert (await harness.reaches(waiting)).view.state is State.COMPLETED


async def ids_in(harness: WorkerHarness, state: str) -> list[str]:
    page = await harness.engines.inspection.page(
        parse_filter(f"state:{state}"), limit=0, cursor=None
    )
    return [view.id for view in page.jobs]


async def test_handles_name_the_job_that_was_replaced_and_its_waiter_is_told(
    open_harness: HarnessMaker,
) -> None:
    registry, sync = declared(unique=Debounce(lambda data: data["ward"], 60))
    async with open_harness(registry):
        first = await sync.enqueue({"ward": "7", "n": 1})
        second, third = await sync.enqueue_all([{"ward": "7", "n": 2}, {"ward": "8", "n": 3}])
        assert (first.last_state, first.replaced, first.held_by) == ("scheduled", None, None)
        assert (second.last_state, second.replaced) == ("scheduled", first.id)
        assert third.replaced is None
        with pytest.raises(JobCancelled, match=f"by job {second.id}"):
            await first.result()
        last = await asyncio.to_thread(sync.enqueue_blocking, {"ward": "7", "n": 4})
        assert last.replaced == second.id


async def test_jobs_of_both_forms_name_the_job_that_stands(open_harness: HarnessMaker) -> None:
    registry, sync = declared(unique=Unique(lambda data: data["ward"], "window", 60))
    async with open_harness(registry) as harness:
        jobs = [sync.job({"ward": "7", "n": n}) for n in range(3)]
        assert await asyncio.to_thread(jobs[0].enqueue) == "queued"
        assert await asyncio.to_thread(Job.enqueue_all, jobs[1:]) == ["rejected", "rejected"]
        assert [job.held_by for job in jobs] == [None, jobs[0].id, jobs[0].id]
        own = aio.Job("ward.sync", {"n": 1}, unique_key="mine")
        other = aio.Job("ward.sync", {"n": 2}, unique_key="mine")
        assert await own.enqueue() == "queued"
        assert await aio.Job.enqueue_all([other]) == ["rejected"]
        assert (own.held_by, other.held_by) == (None, own.id)
        harness.start()
        assert (await harness.reaches(jobs[0].id)).result == b"0"


async def test_a_handler_hands_in_debounced_jobs(open_harness: HarnessMaker) -> None:
    registry, _ = declared(unique=Debounce(lambda data: data["ward"], 60))

    @registry.job("ward.edit")
    async def edit(job: RunningJob) -> list[str | None]:
        jobs = [aio.Job("ward.sync", {"ward": "7", "n": n}) for n in range(2)]
        for each in jobs:
            await each.enqueue()
        return [jobs[0].id, jobs[1].replaced]

    async with open_harness(registry) as harness:
        harness.start()
        done = await harness.run({}, type="ward.edit")
        first, replaced = decode(done.result or b"")
        assert first == replaced
        assert len(await ids_in(harness, "scheduled")) == 1


@pytest.mark.parametrize("settings", ["redis"], indirect=True)
async def test_pushes_keep_to_the_rules(
    open_harness: HarnessMaker, redis_server: RedisServer
) -> None:
    registry, _ = declared(unique=Debounce(lambda data: data["ward"], 60))
    registry.job("ward.remind", unique=Unique(lambda data: data["ward"], "window", 60))(
        lambda job: None
    )
    async with open_harness(registry) as harness:
        harness.start()
        for type in ("ward.sync", "ward.remind"):
            for number in range(3):
                item = b'{"id":"%s-%d","data":{"ward":"7"}}' % (type.encode(), number)
                redis_server.cli("LPUSH", f"jobs:{type}", item)
            last = f"{type}-2"
            while (await harness.engines.inspection.details([last]))[0] is None:
                await harness.engines.broker.wait_for_work(0.01)
        second = (await harness.detail("ward.remind-1")).view
        assert (second.state, second.reason) == (State.REJECTED, "unique")
        assert second.detail.endswith("is held by job ward.remind-0")
        for number, successor in ((0, 1), (1, 2)):
            view = (await harness.detail(f"ward.sync-{number}")).view
            assert (view.state, view.detail) == (
                State.CANCELLED,
                f"by job ward.sync-{successor}",
            )
        assert (await harness.detail("ward.sync-2")).view.state is State.SCHEDULED


async def test_a_job_from_elsewhere_takes_its_window_at_the_claim(
    open_harness: HarnessMaker,
) -> None:
    registry, _ = declared(unique=Unique(lambda data: data["ward"], "window", 60))
    async with open_harness(registry) as harness:
        ids = [await harness.enqueue({"ward": "7", "n": n}, type="ward.sync") for n in range(2)]
        harness.start()
        first, second = [await harness.reaches(job_id) for job_id in ids]
        states = {first.view.state, second.view.state}
        assert states == {State.COMPLETED, State.REJECTED}
