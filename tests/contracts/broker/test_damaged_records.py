"""Damaged records, such as a time out of range or bytes that are not a record: nothing else is affected."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from hms_svc import bootstrap
from hms_svc.brokers.redis.record import HEAD_SIZE, Record
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.lifecycle import State, Trigger
from hms_svc.domain.outcome import Failure
from hms_svc.domain.views import JobDetail
from hms_svc.operations.answers.jobs import JobAnswer
from hms_svc.operations.reads import Reads
from hms_svc.ports.control import Act, ActRequest
from hms_svc.runtime.archiver import Archiver
from hms_svc.settings import Settings
from tests.support.broker_engines import TYPE, BrokerHarness, ManualClock, transfer_between

DAY_MS = 86_400_000
FAR = [253402387139000, -62135600400000, 2**53, -(2**53)]


async def poison(harness: BrokerHarness, at: int, name: str) -> str:
    """Enqueue a job past every edge, with a time of a year that no text stood for."""
    job = replace(harness.job({"n": 1}, id=name), expires_at=at, not_before=min(at, 10))
    await harness.broker.enqueue([job])
    return job.id


async def died(harness: BrokerHarness, *names: str) -> None:
    """Make dead jobs of these names."""
    await harness.broker.enqueue([harness.job({"n": 1}, id=name) for name in names])
    for job in await harness.claim(len(names)):
        failure = Failure("ValueError", "no")
        await harness.settle(
            job, State.DEAD, trigger=Trigger.FAILED, reason="error", failure=failure
        )


@pytest.mark.parametrize("at", FAR)
async def test_a_far_time_in_a_record_breaks_no_view_and_no_act(
    harness: BrokerHarness, at: int
) -> None:
    await poison(harness, at, "far")
    detail = await harness.detail("far")
    assert b"expires_at" in detail.envelope
    page = await harness.inspection.page(parse_filter(""), limit=0, cursor=None)
    assert [JobAnswer.of(view).id for view in page.jobs] == ["far"]
    reads = Reads(
        inspection=harness.inspection, bus=harness.bus, database=None, clock=harness.clock
    )
    assert await reads.why("far")
    request = ActRequest(act=Act.CANCEL, job_ids=("far",), by="ravi", batch="b")
    [outcome] = await harness.control.act(request)
    assert outcome.done
    assert (await harness.control.undo("b"))[0].done
    await harness.claim()
    assert await harness.detail("far")


async def overwrite(harness: BrokerHarness, name: str) -> None:
    """Damage a record: its history is none, or its head ends early."""
    control: Any = harness.control
    link = getattr(control, "_link", None)
    if link is None:
        await control._file.write(
            lambda transaction: transaction.connection.execute(
                "UPDATE jobs SET history = '{broken' WHERE id = ?", (name,)
            )
        )
        return
    record = await link.ask("GET", link.keys.ours("job", name))
    await link.ask("SET", link.keys.ours("job", name), record[: HEAD_SIZE // 2])


async def test_a_record_that_cannot_be_read_is_left_out_and_named(
    harness: BrokerHarness, caplog: pytest.LogCaptureFixture
) -> None:
    await died(harness, "bad", "good-1", "good-2")
    await overwrite(harness, "bad")
    with caplog.at_level(logging.WARNING, "hms_svc.brokers"):
        found = await harness.control.to_archive(older_than=2**50, limit=2)
    assert [detail.view.id for detail in found] == ["good-1", "good-2"]
    assert "job bad" in caplog.text
    assert await harness.inspection.details(["bad"]) == [None]
    page = await harness.inspection.page(parse_filter(""), limit=0, cursor=None)
    assert {"good-1", "good-2"} <= {view.id for view in page.jobs}
    assert await harness.inspection.failures()


async def test_retention_goes_on_beside_bad_records(
    harness: BrokerHarness,
    settings: Settings,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await poison(harness, FAR[0], "far")
    for job in await harness.claim(1):
        await harness.settle(job, State.DEAD, trigger=Trigger.FAILED, reason="error")
    await died(harness, "bad", "good")
    await overwrite(harness, "bad")
    await harness.accept(1)
    for job in await harness.claim():
        await harness.complete(job)
    await harness.broker.enqueue([harness.job(type="un.served")])
    clock.wall += 100 * DAY_MS
    database = bootstrap.database(settings, clock)
    await database.open()
    archivist = Archiver(
        control=harness.control,
        archive=database.archive,
        analytics=database.analytics,
        transfer=transfer_between(harness, database),
        clock=clock,
        completed_days=7,
        failed_days=90,
        unserved_days=7,
    )
    with caplog.at_level(logging.WARNING):
        await archivist.run_once()
    archived, _ = await database.archive.page(limit=0, cursor=None)
    await database.close()
    assert sorted(detail.view.id for detail in archived) == ["far", "good"]
    assert "job bad" in caplog.text
    assert await harness.counts(TYPE) == {"dead": 1}, "the completed one was trimmed"
    assert await harness.counts("un.served") == {"dead": 1}


@pytest.mark.parametrize("make_backend", ["redis"], indirect=True)
async def test_a_job_that_the_archive_cannot_take_stays_and_the_others_go(
    harness: BrokerHarness,
    settings: Settings,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await died(harness, "bad", "good-1", "good-2")
    detail_of = Record.detail

    def beyond_the_database(record: Record, *given: Any) -> JobDetail:
        detail = detail_of(record, *given)
        if record.id != "bad":
            return detail
        view = msgspec.structs.replace(detail.view, finished_at=10**30)
        return msgspec.structs.replace(detail, view=view)

    monkeypatch.setattr(Record, "detail", beyond_the_database)
    clock.wall += 100 * DAY_MS
    database = bootstrap.database(settings, clock)
    await database.open()
    archivist = Archiver(
        control=harness.control,
        archive=database.archive,
        analytics=database.analytics,
        transfer=transfer_between(harness, database),
        clock=clock,
        completed_days=7,
        failed_days=90,
        unserved_days=7,
    )
    await archivist.run_once()
    archived, _ = await database.archive.page(limit=0, cursor=None)
    await database.close()
    assert sorted(detail.view.id for detail in archived) == ["good-1", "good-2"]
    assert "job bad cannot be archived and stays" in caplog.text
    assert await harness.counts(TYPE) == {"dead": 1}
