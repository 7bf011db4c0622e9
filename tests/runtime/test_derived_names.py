"""Ids that the program makes of others are taken by nobody before, and what they name arrives."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from hms_svc import Job, RunningJob, aio
from hms_svc.domain.erasure import ERASED
from hms_svc.domain.errors import BadInput, MalformedJob
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.ids import follow_up_id
from hms_svc.domain.job import Job as Envelope
from hms_svc.domain.job import make_job
from hms_svc.domain.schedule import tick_id
from hms_svc.domain.views import JobView
from hms_svc.persistence import outbox
from hms_svc.runtime.outbox_relay import OutboxRelay
from hms_svc.sdk.registry import Registry
from tests.support.database_requests import effect
from tests.support.worker import TYPE, HarnessMaker, WorkerHarness, registry_of, result_of

from .test_scheduler import HOUR_MS, HOURS

LETTER = "test.letter"
TICK = tick_id(TYPE, HOURS * HOUR_MS)


def letter(data: object, id: str = "letter-1") -> Envelope:
    return make_job(LETTER, data, now_ms=1, id=id)


async def letters(harness: WorkerHarness) -> list[JobView]:
    where = parse_filter(f"type:{LETTER}")
    page = await harness.engines.inspection.page(where, limit=0, cursor=None)
    return list(page.jobs)


def relay_of(harness: WorkerHarness) -> OutboxRelay:
    engines = harness.engines
    return OutboxRelay(engines.database.outbox, engines.bus, engines.broker)


async def follow_up(harness: WorkerHarness, *jobs: Envelope, of: str = "r1") -> None:
    """Commit a case of a job that has these follow-ups; nobody has relayed them yet."""
    await harness.engines.database.effects.commit([effect(of, placed=False, follow_ups=jobs)])


async def test_a_follow_up_whose_id_is_taken_is_handed_in_under_one_of_ours(
    open_harness: HarnessMaker, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_harness(Registry()) as harness:
        await harness.enqueue(1, type="test.other", id="letter-1")
        await follow_up(harness, letter("a"), letter("b", "letter-2"))
        await relay_of(harness).run_once()
        by_data = {view.data: view.id for view in await letters(harness)}
        assert (len(by_data), by_data[b'"b"']) == (2, "letter-2")
        renamed = by_data[b'"a"']
        assert renamed.startswith("hms:renamed:")
        assert f"letter-1 is taken by another job; it gets the id {renamed}" in caplog.text
        assert [entry.job for entry in await harness.engines.database.outbox.waiting(10)] == []


async def test_follow_ups_of_one_id_are_all_handed_in(open_harness: HarnessMaker) -> None:
    async with open_harness(Registry()) as harness:
        await follow_up(harness, letter(1), letter(True), letter(2), letter(1.0))
        await relay_of(harness).run_once()
        assert sorted(view.data for view in await letters(harness)) == [b"1", b"2", b"true"]


async def test_what_is_relayed_again_is_the_same_job(
    open_harness: HarnessMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise RuntimeError("before the row is marked")

    async with open_harness(Registry()) as harness:
        await harness.enqueue(1, type="test.other", id="letter-1")
        await follow_up(harness, letter("a"))
        with monkeypatch.context() as patched:
            patched.setattr(outbox, "mark_published", dies)
            with pytest.raises(RuntimeError):
                await relay_of(harness).run_once()
        before = await letters(harness)
        await relay_of(harness).run_once()
        assert [view.id for view in await letters(harness)] == [before[0].id]
        await follow_up(harness, replace(letter("a", before[0].id), data=ERASED), of="r2")
        await relay_of(harness).run_once()
        assert len(await letters(harness)) == 1, "what was erased in the outbox is no other job"


async def test_a_follow_up_of_ours_can_be_kept_out_by_nobody(open_harness: HarnessMaker) -> None:
    async with open_harness(Registry()) as harness:
        with pytest.raises(MalformedJob, match="begins with hms:"):
            Job("test.other", 1, id=follow_up_id("r1", LETTER))
        item = b'{"id":"%s","data":1}' % follow_up_id("r1", LETTER).encode()
        await harness.engines.broker.enqueue_raw("test.other", [item])
        await follow_up(harness, letter("a", follow_up_id("r1", LETTER)))
        await relay_of(harness).run_once()
        assert [view.id for view in await letters(harness)] == [follow_up_id("r1", LETTER)]


async def test_the_handler_of_a_tick_hands_in_jobs_that_go_on_from_its_id(
    open_harness: HarnessMaker,
) -> None:
    async def handler(job: RunningJob) -> str:
        await aio.Job(LETTER, 1, id=f"{job.id}.awaited").enqueue()
        await asyncio.to_thread(lambda: Job(LETTER, 1, id=f"{job.id}:blocking").enqueue())
        with pytest.raises(MalformedJob) as caught:
            aio.Job(LETTER, 1, id=f"{TICK[:-1]}0.letter")
        return str(caught.value)

    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        told = result_of(await harness.run(id=TICK))
        assert "begins with hms:, which is reserved for jobs that hms-svc creates itself" in told
        assert {view.id for view in await letters(harness)} == {
            f"{TICK}.awaited",
            f"{TICK}:blocking",
        }


async def test_an_event_that_a_service_may_not_announce_undoes_its_case(
    open_harness: HarnessMaker,
) -> None:
    async def handler(job: RunningJob) -> str:
        with pytest.raises(BadInput) as caught:
            await job.dao.insert_case({}, events=[{"type": "job.completed", "data": {}}])
        await job.dao.insert_case({}, events=[{"type": "crew.sent", "data": {}, "key": "k"}])
        return str(caught.value)

    async with open_harness(registry_of(handler)) as harness:
        harness.start()
        told = result_of(await harness.run())
        assert told == "event 0: type job.completed is announced by hms-svc itself"
        assert len(await harness.cases()) == 1
