"""Batches in the console: the tree on the page of a job, and acting on a batch as one."""

from __future__ import annotations

from hms_svc.domain.batches import BatchState, NewBatch, When
from hms_svc.domain.job import Job, make_job
from hms_svc.domain.lifecycle import State
from tests.dashboard.conftest import ConsoleMaker
from tests.support.broken_submissions import leave_open
from tests.support.console import ConsoleDriver


async def submit(driver: ConsoleDriver, members: int) -> None:
    operations = await driver.operations()

    def job(id: str, type: str) -> Job:
        return make_job(type, {}, now_ms=operations.reads.now_ms(), id=id)

    batch = NewBatch(
        id="wards",
        members=tuple(job(f"ward-{number:02}", "ward.count") for number in range(members)),
        follow_ups=(job("report", "ward.report"), job("letter", "ward.letter")),
        when=When.COMPLETED,
        created_at=operations.reads.now_ms(),
        by="ann",
    )
    await operations.actions._broker.enqueue_batch(batch.with_its_id())


async def submit_in_part(driver: ConsoleDriver) -> None:
    """Leave a batch open with one of its three members."""
    operations = await driver.operations()
    now = operations.reads.now_ms()
    members = tuple(make_job("ward.count", {}, now_ms=now, id=f"part-{n}") for n in range(3))
    batch = NewBatch(id="left", members=members, created_at=now, by="ann")
    await leave_open(operations.actions._broker, batch)


async def open_first(driver: ConsoleDriver, where: str) -> None:
    await driver.press("2", "/")
    await driver.type(where)
    await driver.press("enter")
    await driver.until("jobs are shown", lambda: driver.page.grid.rows)
    await driver.press("i")
    await driver.opened("Inspect")


async def test_the_page_of_a_job_shows_its_batch_as_a_tree(open_console: ConsoleMaker) -> None:
    async with open_console(size=(120, 60)) as driver:
        await submit(driver, 23)
        await open_first(driver, "id:ward-00")
        await driver.sees("Batch  0 of 25 jobs have ended")
        await driver.sees("23 queued")
        text = driver.text()
        assert text.count("ward.count  ward-") == 20
        assert "├ … 3 more" in text
        assert "└ then not made  ward.report  report" in text
        assert "  └ then not made  ward.letter  letter" in text


async def test_a_batch_is_cancelled_as_one(open_console: ConsoleMaker) -> None:
    async with open_console(size=(120, 60)) as driver:
        await submit(driver, 3)
        await driver.enqueue("ward.count", 1)
        await driver.press("2", "/")
        await driver.type("batch:wards")
        await driver.press("enter")
        await driver.shows_jobs(3)
        await driver.press("*", "x")
        await driver.opened("ConfirmDialog")
        await driver.reads("3 · queued ward.count")
        await driver.press("enter")
        await driver.sees("cancelled")
        assert {job.state for job in await driver.jobs("batch:wards")} == {State.CANCELLED}
        batch = await (await driver.operations()).reads.batch("wards")
        assert (batch.ended, batch.state) == (3, BatchState.STOPPED)


async def test_an_open_batch_is_closed_from_the_page_of_its_job(open_console: ConsoleMaker) -> None:
    async with open_console(size=(120, 60)) as driver:
        await submit_in_part(driver)
        await open_first(driver, "id:part-0")
        await driver.sees("not all of its jobs are accepted yet; :close-batch continues")
        await driver.press("colon")
        await driver.type("close-batch")
        await driver.press("enter")
        await driver.opened("ConfirmDialog")
        await driver.reads("it continues with 1 of its 3 members, of which 0 have ended")
        await driver.reads("hms-svc batches close left")
        await driver.type("its producer is gone")
        await driver.press("enter")
        await driver.sees("batch left closed with 1 member; not accepted: 2")
        batch = await (await driver.operations()).reads.batch("left")
        assert (batch.state, batch.total, batch.left_out) == (BatchState.RUNNING, 1, 2)
        notes = [row.detail for row in await driver.audit() if row.action == "batch.close"]
        assert b"its producer is gone" in notes[-1]


async def test_a_batch_is_closed_by_its_id_and_a_job_without_one_is_refused(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(size=(120, 60)) as driver:
        await submit_in_part(driver)
        [alone] = await driver.enqueue("ward.count", 1)
        await driver.press("colon")
        await driver.type(f"close-batch {alone}")
        await driver.press("enter")
        await driver.sees("belongs to no batch")
        await driver.press("colon")
        await driver.type("close-batch left")
        await driver.press("enter")
        await driver.opened("ConfirmDialog")
        await driver.press("escape")
        await driver.sees("cancelled, nothing changed")
        assert (await (await driver.operations()).reads.batch("left")).is_open
