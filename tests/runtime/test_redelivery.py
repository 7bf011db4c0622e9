"""Jobs that come a second time: what they did stands, and stands once."""

from __future__ import annotations

from typing import Any

import pytest

from hms_svc import RunningJob, dao, gov
from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.lifecycle import State
from hms_svc.sdk.registry import Registry
from tests.support.worker import HarnessMaker, registry_of, result_of

SOON = RetryPolicy(base_seconds=0.01)


class Recorder:
    """A handler that opens its case and then breaks, the first time."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def validator(self, payload: Any) -> bool:
        self.asked.append("validator")
        return not dao.case_exists(payload["lat"], payload["lon"])

    def handler(self, job: RunningJob) -> str:
        gov.vet("create_case", job.data)
        case = dao.insert_case(job.data, events=[{"type": "crew.sent", "data": {"crew": 7}}])
        if job.attempt == 1:
            raise ConnectionError("right after the commit")
        return case

    async def async_handler(self, job: RunningJob) -> str:
        case = await job.dao.insert_case(job.data)
        if job.attempt == 1:
            raise ConnectionError("right after the commit")
        return case


@pytest.mark.parametrize("name", ["handler", "async_handler"])
async def test_a_second_run_completes_with_the_stored_case_and_skips_the_chain(
    open_harness: HarnessMaker, name: str
) -> None:
    recorder = Recorder()
    registry = registry_of(
        getattr(recorder, name), validators=(recorder.validator,), retry=SOON, action="create_case"
    )
    async with open_harness(registry) as harness:
        harness.start()
        detail = await harness.run()
        assert len(detail.attempts) == 2
        assert result_of(detail) == detail.view.case_id
        assert recorder.asked == ["validator"]
        assert await harness.cases() == [detail.view.id]
        await harness.stop()
        events = await harness.engines.bus.read(after=0, limit=1000)
        assert [event.type for event in events].count("case.opened") == 1


async def test_without_effects_a_second_run_asks_the_chain_again(
    open_harness: HarnessMaker,
) -> None:
    recorder = Recorder()

    def handler(job: RunningJob) -> str:
        if job.attempt == 1:
            raise ConnectionError("before the commit")
        return dao.insert_case(job.data)

    registry = registry_of(handler, validators=(recorder.validator,), retry=SOON)
    async with open_harness(registry) as harness:
        harness.start()
        assert result_of(await harness.run())
        assert recorder.asked == ["validator", "validator"]


async def test_effects_of_several_keys_are_each_written_once(open_harness: HarnessMaker) -> None:
    def handler(job: RunningJob) -> list[str]:
        first = dao.insert_case({"lat": 1.0, "lon": 1.0}, "first")
        if job.attempt == 1:
            raise ConnectionError("between the two")
        return [first, dao.insert_case({"lat": 2.0, "lon": 2.0}, "second")]

    async with open_harness(registry_of(handler, retry=SOON)) as harness:
        harness.start()
        detail = await harness.run()
        assert len(set(result_of(detail))) == 2
        assert await harness.cases() == [detail.view.id] * 2


async def test_the_same_key_with_other_data_is_an_error(open_harness: HarnessMaker) -> None:
    def handler(job: RunningJob) -> str:
        dao.insert_case({"lat": 1.0, "lon": 1.0})
        return dao.insert_case({"lat": 1.0, "lon": 1.0, "note": "another"})

    registry = registry_of(handler, retry=RetryPolicy(max_attempts=1))
    async with open_harness(registry) as harness:
        harness.start()
        view = (await harness.run()).view
        assert (view.state, view.reason) == (State.DEAD, "error")
        assert view.failure.startswith("EffectConflict: ")


async def test_a_job_of_a_vanished_worker_runs_alone_and_completes(
    open_harness: HarnessMaker,
) -> None:
    registry = Registry()
    registry.job("test.job")(lambda: "done")
    async with open_harness(registry) as harness:
        job_id = await harness.enqueue()
        await vanish_with(harness, job_id)
        harness.start(inline_suspects=True, lease_seconds=1.0)
        detail = await harness.reaches(job_id)
        assert result_of(detail) == "done"
        assert [attempt.attempt for attempt in detail.attempts] == [1, 1]


async def vanish_with(harness: Any, job_id: str) -> None:
    """Claim a job as a worker that is never heard of again."""
    from hms_svc.ports.broker import ClaimRequest, ServedType

    request = ClaimRequest("gone-1-abc", (ServedType("test.job", 20),), 1, 30_000)
    [claimed] = await harness.engines.broker.claim(request)
    assert claimed.job.id == job_id
    await harness.engines.broker.abandon("gone-1-abc")


async def test_an_inline_suspect_waits_until_the_worker_has_emptied_itself(
    open_harness: HarnessMaker,
) -> None:
    import asyncio

    from tests.support.waiting import until

    seen: list[int] = []
    go_on = asyncio.Event()
    worker: Any = None

    async def handler(job: RunningJob) -> None:
        seen.append(len(worker.in_flight))
        if job.data == "neighbour":
            await go_on.wait()

    async with open_harness(registry_of(handler)) as harness:
        suspect = await harness.enqueue("suspect")
        await vanish_with(harness, suspect)
        neighbours = [await harness.enqueue("neighbour") for _ in range(3)]
        worker = harness.start(inline_suspects=True, lease_seconds=1.0)
        await until("the neighbours run", lambda: len(seen) == 3)
        assert (await harness.detail(suspect)).view.state in (State.QUEUED, State.PROCESSING)
        go_on.set()
        await harness.reaches(suspect)
        for job_id in neighbours:
            await harness.reaches(job_id)
        assert seen[-1] == 1, "the suspect had company"
