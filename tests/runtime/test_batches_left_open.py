"""A batch whose producer was killed between two steps: found by the doctor, and closed by the next submission."""

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
from hms_svc.domain.batches import BatchState, NewBatch
from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.domain.job import make_job
from hms_svc.governance.local import load_local_policy
from hms_svc.operations import doctor, reads
from hms_svc.operations.doctor import Finding, FindingLevel
from hms_svc.operations.service import make_operations
from hms_svc.ports.inspection import Inspection
from hms_svc.runtime.worker_options import Engines
from hms_svc.sdk.registry import Registry
from hms_svc.settings import Settings
from tests.support.broken_submissions import fail_at
from tests.support.waiting import PATIENCE_SECONDS, until
from tests.support.worker import settings

__all__ = ["settings"]
ROOT: Final = Path(__file__).resolve().parents[2]
MEMBERS: Final = 20_000
PRODUCER: Final = f"""
from hms_svc import Batch, Job
jobs = [Job("x.y", n) for n in range({MEMBERS})]
Batch(jobs, then=Job("x.z", 1), id="wards").enqueue_blocking()
"""
"""Forty steps of 500 members."""


def start_producer(settings: Settings) -> subprocess.Popen[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HMS_SVC")}
    given = {
        "HMS_SVC_CONFIG": "",
        "HMS_SVC_DATA_DIR": str(settings.data_dir),
        "HMS_SVC_BROKER_URL": settings.broker_url,
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.Popen([sys.executable, "-c", PRODUCER], env={**kept, **given})


async def kill_between_two_steps(settings: Settings, inspection: Inspection) -> None:
    producer = start_producer(settings)

    async def is_begun() -> bool:
        return await inspection.batch("wards") is not None

    try:
        await until("the first members are accepted", is_begun)
    finally:
        producer.kill()
        code = await asyncio.to_thread(producer.wait, PATIENCE_SECONDS)
    assert code == -signal.SIGKILL


async def findings_of(settings: Settings, engines: Engines) -> list[Finding]:
    """Return what the doctor says of batches."""
    operations = make_operations(
        settings,
        broker=engines.broker,
        inspection=engines.inspection,
        control=engines.control,
        bus=engines.bus,
        database=engines.database,
        registry=engines.registry,
        policy=load_local_policy(settings.policy_file),
    )
    found = await doctor.examine_engines(operations.reads, operations.audit, settings)
    return [each for each in found if each.check == "batches"]


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
        assert "with the same id and jobs: wards; to stop" in finding.text
        assert "hms-svc jobs cancel --where batch:ID" in finding.text
        again = await asyncio.to_thread(start_producer(settings).wait, PATIENCE_SECONDS)
        assert again == 0
        assert await findings_of(settings, engines) == []


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
        assert "and jobs: b0, b1, b2, b3, b4 and 2 more; to stop" in finding.text
