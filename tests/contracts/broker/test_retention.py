"""What goes after a while, in which order, and what nobody serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from hms_svc.brokers.retention import Retention
from hms_svc.domain.event import service_event
from hms_svc.domain.job import Lane
from hms_svc.domain.lifecycle import State
from hms_svc.ports.control import Act, ActRequest
from hms_svc.settings import Settings, load_settings
from tests.support.broker_engines import BrokerHarness

DAY_MS = 86_400_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    values = {"data_dir": str(tmp_path), "completed_max": "5"}
    return load_settings(values, environ={"HMS_SVC_CONFIG": ""}).settings


async def completed(harness: BrokerHarness, count: int, type: str) -> list[str]:
    """Jobs that are accepted and completed a second after each other."""
    ids = []
    for _ in range(count):
        ids += await harness.accept(type=type)
        await harness.complete((await harness.claim(1, type))[0])
        harness.clock.advance(1)
    return ids


async def kept(harness: BrokerHarness, ids: list[str]) -> list[str]:
    found = await harness.inspection.details(ids)
    return [job_id for job_id, detail in zip(ids, found, strict=True) if detail]


async def trim(harness: BrokerHarness, limit: int = 100) -> None:
    while await harness.control.trim(limit=limit) >= limit:
        pass


@pytest.mark.parametrize("limit", [1, 100])
async def test_beyond_the_number_kept_the_first_ended_goes_first(
    harness: BrokerHarness, limit: int
) -> None:
    noisy = await completed(harness, 6, "b.noisy")
    rare = await completed(harness, 2, "a.rare")
    late = await completed(harness, 1, "b.noisy")
    await trim(harness, limit)
    assert await kept(harness, noisy + rare + late) == noisy[4:] + rare + late


async def test_what_went_for_its_age_does_not_count_as_kept(harness: BrokerHarness) -> None:
    old = await completed(harness, 4, "a.job")
    harness.clock.advance(8 * 86_400)
    young = await completed(harness, 5, "a.job")
    await trim(harness)
    assert await kept(harness, old + young) == young
    assert await harness.counts("a.job") == {"completed": 5}


async def test_old_events_go_up_to_the_first_young_one(harness: BrokerHarness) -> None:
    old, now = harness.clock.now_ms() - 8 * DAY_MS, harness.clock.now_ms()
    times = [old, old, now, old, now]
    await harness.bus.publish(
        [service_event(f"j{n}", "case.opened", "", None, at) for n, at in enumerate(times)]
    )
    await trim(harness)
    events = await harness.bus.read(after=0, limit=10)
    assert [event.subject for event in events] == ["j2", "j3", "j4"]


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_old_events_go_however_small_the_bite(harness: BrokerHarness, limit: int) -> None:
    old = harness.clock.now_ms() - 8 * DAY_MS
    drafts = [service_event(f"j{n}", "case.opened", "", None, old) for n in range(5)]
    await harness.bus.publish(drafts)
    await trim(harness, limit)
    assert await harness.bus.read(after=0, limit=10) == []


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_events_beyond_the_number_kept_go_oldest_first(
    harness: BrokerHarness, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    now = harness.clock.now_ms()
    drafts = [service_event(f"j{n}", "case.opened", "", None, now) for n in range(5)]
    await harness.bus.publish(drafts)
    monkeypatch.setattr(harness.control, "_keep", Retention(event_most=3))
    await trim(harness, limit)
    events = await harness.bus.read(after=0, limit=10)
    assert [event.subject for event in events] == ["j2", "j3", "j4"]


async def unserved(harness: BrokerHarness, *, days: float) -> int:
    before = harness.clock.now_ms() - int(days * DAY_MS)
    return await harness.control.bury_unserved(older_than=before, limit=100)


@pytest.mark.parametrize("priority", [-1000, -1, 0, 1, 1000])
async def test_unserved_jobs_are_buried_by_their_age_alone(
    harness: BrokerHarness, priority: int
) -> None:
    [job_id] = await harness.accept(priority=priority)
    harness.clock.advance(6 * 86_400)
    assert await unserved(harness, days=7) == 0
    assert await harness.state(job_id) is State.QUEUED
    harness.clock.advance(2 * 86_400)
    assert await unserved(harness, days=7) == 1
    assert await harness.state(job_id) is State.DEAD


async def test_unserved_suspects_are_buried_by_their_age_alone(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept(priority=3)
    await harness.claim()
    harness.clock.advance(31)
    await harness.broker.reap(10)
    assert await unserved(harness, days=7) == 0
    harness.clock.advance(8 * 86_400)
    assert await unserved(harness, days=7) == 1
    assert await harness.claim(lane=Lane.SUSPECT) == []
    assert await harness.state(job_id) is State.DEAD


async def test_an_unserved_job_that_was_retried_counts_from_then(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept(priority=1)
    harness.clock.advance(8 * 86_400)
    assert await unserved(harness, days=7) == 1
    retry = ActRequest(act=Act.RETRY, job_ids=(job_id,), by="ravi")
    await harness.control.act(retry)
    assert await unserved(harness, days=7) == 0


async def test_no_more_unserved_jobs_are_buried_than_asked(harness: BrokerHarness) -> None:
    for priority in (-1, 0, 1):
        await harness.accept(2, priority=priority)
    harness.clock.advance(8 * 86_400)
    before = harness.clock.now_ms()
    assert await harness.control.bury_unserved(older_than=before, limit=5) == 5
    assert await harness.control.bury_unserved(older_than=before, limit=5) == 1
