"""Batches and chains in Python: from coroutines, plain code and handlers, on both brokers and on the bench."""

from __future__ import annotations

import asyncio

import pytest

import hms_svc
from hms_svc import (
    BadInput,
    Batch,
    BatchClosed,
    BatchHandle,
    Cancel,
    DeadLetter,
    IdConflict,
    JobCancelled,
    JobDead,
    JobNotEnded,
    MalformedJob,
    Refused,
    Registry,
    RunningJob,
    UnknownId,
    aio,
    chain,
)
from hms_svc.operations.reads import Reads
from hms_svc.testing import Bench
from tests.support.broken_submissions import leave_open
from tests.support.own_portal import own_portal
from tests.support.waiting import PATIENCE_SECONDS
from tests.support.worker import HarnessMaker, WorkerHarness, result_of

__all__ = ["own_portal"]

pytestmark = pytest.mark.usefixtures("own_portal")
registry = Registry()


@registry.job("ward.count")
async def count(job: RunningJob) -> int:
    if job.data == "dead":
        raise DeadLetter("no such ward")
    if job.data == "cancelled":
        raise Cancel("withdrawn")
    number: int = job.data
    return number


@registry.job("ward.report")
async def report(job: RunningJob) -> str:
    assert job.batch is not None
    return f"report {job.data}"


@registry.job("ward.fan_out")
async def fan_out(job: RunningJob) -> int:
    assert job.batch is None
    batch = Batch([count.job(n) for n in range(3)], then=report.job(7), id=f"{job.id}.wards")
    handle = await batch.enqueue()
    await handle.result(PATIENCE_SECONDS)
    return (await handle.progress()).ended


@registry.job("ward.fan_out_plain")
def fan_out_plain(job: RunningJob) -> int:
    batch = Batch([count.job(n) for n in range(3)], then=report.job(7), id=f"{job.id}.wards")
    handle = batch.enqueue_blocking()
    handle.result(PATIENCE_SECONDS)
    return handle.progress().ended


def reads_of(harness: WorkerHarness) -> Reads:
    return Reads(
        inspection=harness.engines.inspection,
        bus=harness.engines.bus,
        database=None,
        clock=harness.engines.clock,
    )


async def test_a_coroutine_awaits_what_follows_a_batch(open_harness: HarnessMaker) -> None:
    async with open_harness(registry) as harness:
        wards = [count.job(1), count.job("dead"), count.job("cancelled")]
        handle = await Batch(wards, then=report.job("all")).enqueue()
        assert await handle.state() == "running"
        assert await handle.progress() == (0, 4, {"queued": 3})
        harness.start()
        assert await handle.result(PATIENCE_SECONDS) == "report all"
        progress = await handle.progress()
        assert (progress.ended, progress.total) == (4, 4)
        assert progress.states == {"completed": 2, "dead": 1, "cancelled": 1}
        assert await handle.state() == "ended"
        found = await aio.jobs.list(f"batch:{handle.id} type:ward.count")
        assert {each.id for each in found} == {job.id for job in wards}
        assert await (await aio.jobs.batch(handle.id)).state() == "ended"


async def test_plain_code_awaits_a_chain(open_harness: HarnessMaker) -> None:
    def work() -> None:
        handle = chain(count.job(1), report.job(1), report.job(2)).enqueue_blocking()
        assert isinstance(handle, BatchHandle)
        assert handle.result(PATIENCE_SECONDS) == "report 2"
        assert handle.state() == "ended"
        assert handle.progress().total == 3
        assert hms_svc.jobs.batch(handle.id).state() == "ended"
        with pytest.raises(Refused, match="no job that could be cancelled"):
            handle.cancel()

    async with open_harness(registry) as harness:
        harness.start()
        await asyncio.to_thread(work)


async def test_a_chain_stops_at_a_link_that_did_not_complete(open_harness: HarnessMaker) -> None:
    async with open_harness(registry) as harness:
        harness.start()
        links = [count.job(1), count.job("dead"), report.job(1)]
        handle = await chain(*links).enqueue()
        with pytest.raises(JobDead) as caught:
            await handle.result(PATIENCE_SECONDS)
        assert caught.value.job_id == links[1].id
        assert await handle.state() == "stopped"
        reads = reads_of(harness)
        why = await reads.why(links[1].id)
        assert (
            f"because of it batch {handle.id} was stopped before {links[2].id} (ward.report)" in why
        )
        why = await reads.why(links[2].id)
        assert "(ward.report) was not made" in why
        assert "because 1 job of it did not complete" in why
        assert f"it belongs to batch {handle.id}, of which 2 of 3 jobs have ended" in (
            await reads.why(links[0].id)
        )
        with pytest.raises(UnknownId):
            await reads.why("nobody")


async def test_a_batch_is_cancelled_as_one(open_harness: HarnessMaker) -> None:
    async with open_harness(registry):
        waiting = Batch([count.job(n) for n in range(3)], then=report.job(1), when="completed")
        handle = await waiting.enqueue()
        with pytest.raises(JobNotEnded, match="0 of its 4 jobs have ended"):
            await handle.result(0.05)
        batch = await handle.cancel("the wards are merged")
        assert batch
        with pytest.raises(JobCancelled, match="the wards are merged"):
            await handle.result(PATIENCE_SECONDS)
        assert await handle.state() == "stopped"


async def test_a_repeated_submission_is_recognized(open_harness: HarnessMaker) -> None:
    async with open_harness(registry):
        for existed in (False, True):
            handle = await Batch([count.job(1)], then=report.job(1), id="wards").enqueue()
            assert (handle.id, handle.existed) == ("wards", existed)
        with pytest.raises(IdConflict, match="'wards' belongs to another batch"):
            await Batch([count.job(2)], id="wards").enqueue()
        await aio.jobs.enqueue(count.job(1, id="taken"))
        with pytest.raises(IdConflict, match="id 'taken' belongs to a job that is not of this"):
            await Batch([count.job(1, id="taken")]).enqueue()
        assert len(await aio.jobs.list("")) == 2


async def test_a_producer_is_told_that_an_operator_has_closed_its_batch(
    open_harness: HarnessMaker,
) -> None:
    async with open_harness(registry) as harness:
        batch = Batch([count.job(n) for n in range(3)], then=report.job(1), id="wards")
        await leave_open(harness.engines.broker, batch._batch)
        await harness.engines.control.close_batch("wards", by="ann")
        for submit in (batch.enqueue, lambda: asyncio.to_thread(batch.enqueue_blocking)):
            with pytest.raises(
                BatchClosed, match="closed by ann without 2 of its 3 jobs, which are not accepted"
            ) as caught:
                await submit()
            assert (caught.value.batch_id, caught.value.left_out) == ("wards", 2)
        assert len(await aio.jobs.list("batch:wards")) == 1
        harness.start()
        handle = await aio.jobs.batch("wards")
        assert await handle.result(PATIENCE_SECONDS) == "report 1"
        assert await handle.progress() == (2, 2, {"completed": 2})


@pytest.mark.parametrize("type", ["ward.fan_out", "ward.fan_out_plain"])
async def test_a_handler_submits_a_batch_under_its_own_name(
    open_harness: HarnessMaker, type: str
) -> None:
    async with open_harness(registry) as harness:
        harness.start()
        detail = await harness.run(None, type=type)
        assert result_of(detail) == 4
        [batch] = (await harness.engines.inspection.batches(limit=10, cursor=None)).batches
        assert (batch.id, batch.by) == (f"{detail.view.id}.wards", f"job:{detail.view.id}")


def test_the_bench_drains_batches() -> None:
    with Bench(registry) as bench:
        handle = Batch([count.job(1), count.job("dead")], then=report.job(1)).enqueue_blocking()
        outcomes = bench.drain()
        assert [each.type for each in outcomes] == ["ward.count", "ward.count", "ward.report"]
        assert handle.result(0) == "report 1"
        outcome = bench.run(fan_out, None)
        assert outcome.get() == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Batch([]), "a batch without a job"),
        (chain, "a chain without a job"),
        (lambda: Batch([count.job(1)], when="done"), "when 'done' is neither \"ended\" nor"),  # type: ignore[arg-type]  # the mistake under test
        (lambda: Batch([1]), "a batch takes jobs, such as apply.job(payload), not int"),  # type: ignore[list-item]  # the mistake under test
        (lambda: Batch([count.job(1, id="a")], then=report.job(1, id="a")), "have the id 'a'"),
        (lambda: Batch([count.job(1)], then=[report.job(1)] * 101), "101 jobs to follow"),
        (
            lambda: Batch([count.job(1)], then=[report.job("x" * 1_000_000) for _ in range(9)]),
            "have 9,000,018 bytes of data together: at most 8,388,608",
        ),
        (lambda: Batch([count.job(1)], id="hms:1"), "batch id hms:1 begins with hms:"),
    ],
)
def test_an_invalid_batch_is_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(BadInput) as caught:
        make()
    assert message in str(caught.value)


def test_an_invalid_id_is_refused() -> None:
    with pytest.raises(MalformedJob, match="batch id 'a b' does not match"):
        Batch([count.job(1)], id="a b")


def test_ids_are_derived_from_the_batch_unless_they_are_given() -> None:
    def ids() -> list[str]:
        return jobs_of(Batch([count.job(1), count.job(2)], then=report.job(1), id="wards"))

    assert ids() == ids()
    assert ids() != jobs_of(Batch([count.job(1)], then=report.job(1), id="others"))
    assert jobs_of(Batch([count.job(1, id="mine")], id="wards")) == ["mine"]


def jobs_of(batch: Batch) -> list[str]:
    return [job.id for job in (*batch._batch.members, *batch._batch.follow_ups)]
