"""Handles of jobs: from plain code, from coroutines, and inside handlers, on both brokers."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

import hms_svc
from hms_svc import (
    BadFilter,
    BadInput,
    Handle,
    HmsError,
    Job,
    JobCancelled,
    JobDead,
    JobFailed,
    JobNotEnded,
    JobRejected,
    MalformedJob,
    Refused,
    UnknownId,
    WrongThread,
    aio,
)
from hms_svc.api.portal import on_portal, portal
from hms_svc.domain.audit_query import AuditQuery
from hms_svc.domain.backend_url import BackendKind
from tests.support.database_requests import NOON, dead_job
from tests.support.own_portal import own_portal
from tests.support.permits import Application, Gate, Granted, apply, end, gates, registry, wait
from tests.support.waiting import PATIENCE_SECONDS, until
from tests.support.worker import HarnessMaker

__all__ = ["own_portal"]

pytestmark = pytest.mark.usefixtures("own_portal")


async def test_a_coroutine_awaits_the_result_as_the_model_of_its_annotation(
    open_harness: HarnessMaker,
) -> None:
    async with open_harness(registry) as harness:
        harness.start()
        handle = await apply.enqueue(Application(parcel="17", storeys=3))
        assert (handle.type, handle.last_state, handle.existed) == ("permit.apply", "queued", False)
        assert await handle.result(PATIENCE_SECONDS) == Granted(permit="P-17-3")
        assert handle.last_state == "completed"
        assert await handle.state() == "completed"
        assert await (await aio.jobs.get(handle.id)).result() == {"permit": "P-17-3"}


async def test_plain_code_awaits_the_result(open_harness: HarnessMaker) -> None:
    def work() -> None:
        handle = apply.enqueue_blocking(Application(parcel="17"))
        assert handle.result(PATIENCE_SECONDS) == Granted(permit="P-17-1")
        assert handle.state() == "completed"
        assert "completed" in handle.why()
        by_id = hms_svc.jobs.get(handle.id)
        assert (by_id.type, by_id.last_state) == ("permit.apply", "completed")
        assert by_id.result(0) == {"permit": "P-17-1"}

    async with open_harness(registry) as harness:
        harness.start()
        await asyncio.to_thread(work)


async def test_many_waiters_of_one_loop_get_their_results(open_harness: HarnessMaker) -> None:
    async with open_harness(registry) as harness:
        harness.start(slots=20)
        handles = await apply.enqueue_all(Application(parcel=str(n)) for n in range(50))
        results = await asyncio.gather(*(each.result(PATIENCE_SECONDS) for each in handles))
        assert [each.permit for each in results] == [f"P-{n}-1" for n in range(50)]


@pytest.mark.parametrize(
    ("data", "error", "reason", "detail"),
    [
        ("dead", JobDead, "error", "no ink"),
        ("rejected", JobRejected, "end", "no such parcel"),
        ("cancelled", JobCancelled, "cancelled", "withdrawn"),
    ],
)
async def test_a_job_that_ends_otherwise_raises_what_it_ended_with(
    open_harness: HarnessMaker, data: str, error: type[JobFailed], reason: str, detail: str
) -> None:
    async with open_harness(registry) as harness:
        harness.start()
        handle = await end.enqueue(data)
        with pytest.raises(error) as caught:
            await handle.result(PATIENCE_SECONDS)
        failed = caught.value
        assert (failed.job_id, failed.type) == (handle.id, "permit.end")
        assert (failed.reason, detail in failed.detail) == (reason, True), failed
        assert handle.id in str(failed)
        assert detail in str(failed)
        assert handle.last_state == data


async def test_a_result_that_is_late_names_the_state(open_harness: HarnessMaker) -> None:
    gate = gates["late"] = Gate()
    async with open_harness(registry) as harness:
        harness.start()
        handle = await wait.enqueue(Application(parcel="late"))
        await gate.began.wait()
        with pytest.raises(
            TimeoutError, match=rf"{handle.id}.*did not end within 0.05 s"
        ) as caught:
            await handle.result(timeout=0.05)
        assert isinstance(caught.value, JobNotEnded)
        assert caught.value.state == "processing"
        gate.may_end.set()
        assert await handle.result(PATIENCE_SECONDS) == [Granted(permit="late")]


async def test_progress_is_the_last_report(open_harness: HarnessMaker) -> None:
    gate = gates["progress"] = Gate()
    async with open_harness(registry) as harness:
        handle = await wait.enqueue(Application(parcel="progress"))
        assert await handle.progress() is None
        harness.start()
        await gate.began.wait()

        async def is_reported() -> bool:
            return await handle.progress() == (0.5, "half")

        await until("the report is there", is_reported)
        gate.may_end.set()
        await handle.result(PATIENCE_SECONDS)


async def test_the_second_of_a_key_is_told_who_holds_it(open_harness: HarnessMaker) -> None:
    async with open_harness(registry) as harness:
        first = await wait.enqueue(Application(parcel="9"))
        second = await wait.enqueue(Application(parcel="9"))
        third = await asyncio.to_thread(wait.enqueue_blocking, Application(parcel="9"))
        other, fourth = await wait.enqueue_all([Application(parcel="10"), {"parcel": "9"}])
        assert (first.last_state, first.held_by) == ("queued", None)
        for each in (second, third, fourth):
            assert (each.last_state, each.held_by) == ("rejected", first.id)
        assert (other.last_state, other.held_by) == ("queued", None)
        with pytest.raises(JobRejected, match=f"unique.*{first.id}"):
            await second.result()
        view = (await harness.detail(first.id)).view
        assert (view.unique_key, view.priority) == ("9", 7)


async def test_a_job_that_is_known_is_said_to_be(open_harness: HarnessMaker) -> None:
    async with open_harness(registry):
        for existed in (False, True):
            handle = await apply.enqueue(Application(parcel="1"), id="job-1")
            assert (handle.existed, handle.last_state) == (existed, "queued")
        later = await apply.enqueue({"parcel": "1"}, delay=timedelta(hours=1))
        assert later.last_state == "scheduled"
        by_job = await aio.jobs.enqueue(Job("permit.apply", {"parcel": "1"}, id="job-2"))
        assert (by_job.id, by_job.last_state) == ("job-2", "queued")


async def test_a_handle_cancels_with_an_audit_record(open_harness: HarnessMaker) -> None:
    async with open_harness(registry) as harness:
        handle = await apply.enqueue(Application(parcel="1"))
        assert await handle.cancel("not needed")
        with pytest.raises(JobCancelled, match="not needed"):
            await handle.result()
        with pytest.raises(Refused, match=f"{handle.id}: .* cannot be cancelled"):
            await handle.cancel()
        query = AuditQuery(subject=handle.id)
        records = await harness.engines.database.audit.records(query, limit=10, cursor=None)
        assert [record.action for record in records] == ["job.cancel", "job.cancel"]
        assert {record.actor for record in records} == {harness.settings.actor}


async def test_a_waiter_learns_of_a_cancellation(open_harness: HarnessMaker) -> None:
    async with open_harness(registry):
        handle = await apply.enqueue(Application(parcel="1"))
        waiting = asyncio.create_task(handle.result(PATIENCE_SECONDS))
        await handle.cancel("withdrawn")
        with pytest.raises(JobCancelled, match="withdrawn"):
            await waiting


async def test_a_list_has_the_jobs_that_match(open_harness: HarnessMaker) -> None:
    async with open_harness(registry) as harness:
        harness.start()
        dead = [await end.enqueue("dead") for _ in range(3)]
        for each in dead:
            with pytest.raises(JobDead):
                await each.result(PATIENCE_SECONDS)
        await apply.enqueue(Application(parcel="1"), delay=timedelta(hours=1))
        found = await aio.jobs.list("type:permit.end state:dead")
        assert {each.id for each in found} == {each.id for each in dead}
        assert {(each.type, each.last_state) for each in found} == {("permit.end", "dead")}
        assert len(await aio.jobs.list("type:permit.end", limit=2)) == 2
        assert len(await asyncio.to_thread(hms_svc.jobs.list)) == 4
        with pytest.raises(BadFilter):
            await aio.jobs.list("state:nosuch")
        with pytest.raises(BadInput, match="limit 0 is not"):
            await aio.jobs.list(limit=0)


async def test_an_unknown_id_is_a_clear_error(open_harness: HarnessMaker) -> None:
    async with open_harness(registry):
        with pytest.raises(UnknownId, match="no job with id 'nosuch'"):
            await aio.jobs.get("nosuch")
        handle: aio.Handle[Any] = aio.Handle("nosuch", "permit.apply", "queued")
        with pytest.raises(UnknownId, match="no job with id 'nosuch'"):
            await handle.result()
        with pytest.raises(BadInput, match="timeout -1 is not"):
            await handle.result(-1)


async def test_a_job_that_only_the_archive_has_is_found(open_harness: HarnessMaker) -> None:
    async with open_harness(registry) as harness:
        await harness.engines.database.archive.keep([dead_job("old", finished_at=NOON)])
        handle = await aio.jobs.get("old")
        assert (handle.type, handle.last_state) == ("pothole.report", "dead")
        with pytest.raises(JobDead, match="boom"):
            await handle.result()
        assert "boom" in await handle.why()
        assert await handle.progress() is None


async def test_a_waiter_learns_that_its_job_is_not_known_any_more(
    open_harness: HarnessMaker, request: pytest.FixtureRequest
) -> None:
    async with open_harness(registry) as harness:
        handle = await apply.enqueue(Application(parcel="1"))
        waiting = asyncio.create_task(handle.result())
        await asyncio.sleep(0)
        if harness.settings.broker.kind is BackendKind.REDIS:
            request.getfixturevalue("redis_server").cli("FLUSHALL", "SYNC")
        else:
            with closing(sqlite3.connect(harness.settings.broker.path)) as file:
                file.execute("DELETE FROM jobs")
                file.commit()
        with pytest.raises(UnknownId, match=handle.id):
            await waiting


async def test_a_close_ends_the_waits(open_harness: HarnessMaker) -> None:
    async with open_harness(registry):
        handle = await apply.enqueue(Application(parcel="1"))
        by_id = await asyncio.to_thread(hms_svc.jobs.get, handle.id)
        waits = [
            asyncio.create_task(handle.result()),
            asyncio.create_task(asyncio.to_thread(by_id.result)),
        ]

        def wait_begun() -> bool:
            return "job-ends" in {task.get_name() for task in asyncio.all_tasks(portal()._loop)}

        await until("the first waits", wait_begun)
        await aio.close()
        for wait in waits:
            with pytest.raises(HmsError):
                await wait


async def test_who_stops_waiting_leaves_nothing_behind(open_harness: HarnessMaker) -> None:
    async with open_harness(registry):
        handle = await apply.enqueue(Application(parcel="1"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await handle.result()
        service = await on_portal(portal().jobs())
        await until("nothing waits", lambda: not service.ends._waiting)


BLOCKING: list[tuple[Callable[[], Any], str]] = [
    (lambda: apply.enqueue_blocking(Application(parcel="1")), "apply.enqueue"),
    (lambda: apply.enqueue_all_blocking([]), "apply.enqueue_all"),
    (lambda: Handle("i", "t", "queued").state(), "hms_svc.aio.Handle.state"),
    (lambda: Handle("i", "t", "queued").result(), "hms_svc.aio.Handle.result"),
    (lambda: Handle("i", "t", "queued").progress(), "hms_svc.aio.Handle.progress"),
    (lambda: Handle("i", "t", "queued").why(), "hms_svc.aio.Handle.why"),
    (lambda: Handle("i", "t", "queued").cancel(), "hms_svc.aio.Handle.cancel"),
    (lambda: hms_svc.jobs.get("i"), "hms_svc.aio.jobs.get"),
    (hms_svc.jobs.list, "hms_svc.aio.jobs.list"),
    (lambda: hms_svc.jobs.enqueue(Job("x.y", {})), "hms_svc.aio.jobs.enqueue"),
]


@pytest.mark.parametrize(("call", "counterpart"), BLOCKING)
async def test_a_blocking_call_on_a_running_loop_names_its_counterpart(
    call: Callable[[], Any], counterpart: str
) -> None:
    with pytest.raises(WrongThread, match=f"await {counterpart} instead"):
        call()


async def test_a_payload_is_checked_before_anything_is_sent() -> None:
    with pytest.raises(MalformedJob, match=r"data\.storeys.*given 'many'"):
        await apply.enqueue({"parcel": "1", "storeys": "many"})
    with pytest.raises(MalformedJob, match=r"data\.parcel"):
        await apply.enqueue_all([Application(parcel="1"), {}])
    assert await aio.jobs.list() == []
