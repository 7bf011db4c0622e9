"""A batch whose producer was killed between two steps: found by the doctor, and closed by a submission or an operator."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from hms_svc import bootstrap
from hms_svc.domain.batches import MOST_MEMBERS, BatchState, NewBatch
from hms_svc.domain.errors import BrokerUnavailable, Refused
from hms_svc.domain.job import make_job
from hms_svc.governance.local import load_local_policy
from hms_svc.operations import doctor, reads
from hms_svc.operations.doctor import Finding, FindingLevel
from hms_svc.operations.service import Operations, make_operations
from hms_svc.ports.inspection import Inspection
from hms_svc.runtime.worker_options import Engines
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.running_job import RunningJob
from hms_svc.settings import Settings
from tests.support.broken_submissions import fail_at
from tests.support.waiting import PATIENCE_SECONDS, until
from tests.support.worker import HarnessMaker, on_embedded_first, settings

__all__ = ["settings"]
ROOT: Final = Path(__file__).resolve().parents[2]
MEMBERS: Final = 20_000
PRODUCER: Final = """
import sys
from hms_svc import Batch, Job
jobs = [Job("x.y", n) for n in range(int(sys.argv[1]))]
Batch(jobs, then=Job("x.z", 1), id="wards").enqueue_blocking()
"""
"""Forty steps of 500 members."""


registry = Registry()
reports: list[str] = []


@registry.job("x.y")
async def count(job: RunningJob) -> int:
    number: int = job.data
    return number


@registry.job("x.z")
async def report(job: RunningJob) -> None:
    reports.append(job.id)


def start_producer(settings: Settings, members: int = MEMBERS) -> subprocess.Popen[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HMS_SVC")}
    given = {
        "HMS_SVC_CONFIG": "",
        "HMS_SVC_DATA_DIR": str(settings.data_dir),
        "HMS_SVC_BROKER_URL": settings.broker_url,
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.Popen(
        [sys.executable, "-c", PRODUCER, str(members)],
        env={**kept, **given},
        stderr=subprocess.PIPE,
    )


async def kill_between_two_steps(settings: Settings, inspection: Inspection) -> None:
    producer = start_producer(settings)
    try:
        await begun(inspection)
    finally:
        producer.kill()
        await asyncio.to_thread(producer.communicate, timeout=PATIENCE_SECONDS)
    assert producer.returncode == -signal.SIGKILL


async def begun(inspection: Inspection) -> None:
    """Wait until the first members are accepted."""

    async def is_begun() -> bool:
        return await inspection.batch("wards") is not None

    await until("the first members are accepted", is_begun)


async def ended(producer: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Return the exit code of a producer, and what it printed on standard error."""
    _, err = await asyncio.to_thread(producer.communicate, timeout=PATIENCE_SECONDS)
    return producer.returncode, err.decode()


def operations_of(settings: Settings, engines: Engines) -> Operations:
    return make_operations(
        settings,
        broker=engines.broker,
        inspection=engines.inspection,
        control=engines.control,
        bus=engines.bus,
        database=engines.database,
        registry=engines.registry,
        policy=load_local_policy(settings.policy_file),
    )


async def findings_of(settings: Settings, engines: Engines) -> list[Finding]:
    """Return what the doctor says of batches."""
    operations = operations_of(settings, engines)
    found = await doctor.examine_engines(operations.reads, operations.audit, settings)
    return [each for each in found if each.check == "batches"]


@on_embedded_first
async def test_a_batch_whose_producer_was_killed_is_named_by_the_doctor(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bootstrap.engines(settings, Registry()) as engines:
        await kill_between_two_steps(settings, engines.inspection)
        left = await engines.inspection.batch("wards")
        assert left is not None
        assert left.state is BatchState.OPEN
        assert 0 < sum(left.counts.values()) < MEMBERS
        assert await findings_of(settings, engines) == [], "it is not open for a day yet"
        monkeypatch.setattr(reads, "LONG_OPEN_MS", -60_000)
        [finding] = await findings_of(settings, engines)
        assert finding.level is FindingLevel.NOTE
        assert finding.text.startswith(
            "1 batch has been open without a new member for more than 1 d, and nothing follows"
        )
        assert "with the same id and jobs: wards; to continue" in finding.text
        assert "the jobs that were accepted: hms-svc batches close ID; to stop" in finding.text
        assert "hms-svc jobs cancel --where batch:ID" in finding.text
        assert await ended(start_producer(settings)) == (0, "")
        assert await findings_of(settings, engines) == []


@on_embedded_first
async def test_what_follows_a_batch_that_was_closed_runs_once(
    settings: Settings, open_harness: HarnessMaker
) -> None:
    reports.clear()
    async with open_harness(registry) as harness:
        inspection = harness.engines.inspection
        await kill_between_two_steps(settings, inspection)
        left = await inspection.batch("wards")
        assert left is not None
        accepted = left.counts["queued"]
        harness.start(slots=50)
        await until("the members have ended", lambda: has_ended(inspection, accepted))
        assert reports == []
        operations = operations_of(settings, harness.engines)
        closed = await operations.actions.close_batch("wards", note="the producer is gone")
        assert (closed.accepted, closed.left_out) == (accepted, MEMBERS - accepted)
        await until("all have ended", lambda: has_ended(inspection, accepted + 1))
        code, err = await ended(start_producer(settings))
        assert (code, "hms_svc.domain.errors.BatchClosed: batch wards was closed by" in err) == (
            1,
            True,
        )
        view = await inspection.batch("wards")
        assert view is not None
        assert (view.state, view.total) == (BatchState.ENDED, accepted + 1)
        assert view.counts == {"completed": accepted + 1}
        assert len(reports) == 1


async def has_ended(inspection: Inspection, number: int) -> bool:
    view = await inspection.batch("wards")
    return view is not None and view.ended == number


@on_embedded_first
async def test_a_producer_that_still_submits_is_told_of_the_close(settings: Settings) -> None:
    async with bootstrap.engines(settings, registry) as engines:
        producer = start_producer(settings, MOST_MEMBERS)
        await begun(engines.inspection)
        await operations_of(settings, engines).actions.close_batch("wards")
        code, err = await ended(producer)
        view = await engines.inspection.batch("wards")
        assert view is not None
        assert view.state is BatchState.RUNNING
        assert view.counts == {"queued": view.members}
        assert view.members + view.left_out == MOST_MEMBERS
        told = f"without {view.left_out:,} of its {MOST_MEMBERS:,} jobs, which are not accepted"
        assert (code, told in err) == (1, True), err
        with pytest.raises(Refused, match="batch wards was closed already, by"):
            await operations_of(settings, engines).actions.close_batch("wards")


async def test_at_most_five_batches_are_named_and_all_are_counted(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bootstrap.engines(settings, Registry()) as engines:
        for number in range(7):
            jobs = tuple(make_job("x.y", n, now_ms=1, id=f"{number}-{n}") for n in range(501))
            batch = NewBatch(id=f"b{number}", members=jobs, created_at=number, by="tests")
            with monkeypatch.context() as patched:
                fail_at(patched, 2)
                with pytest.raises(BrokerUnavailable):
                    await engines.broker.enqueue_batch(batch.with_its_id())
        monkeypatch.setattr(reads, "LONG_OPEN_MS", -60_000)
        [finding] = await findings_of(settings, engines)
        assert finding.text.startswith("7 batches have been open")
        assert "and jobs: b0, b1, b2, b3, b4 and 2 more; to continue" in finding.text
