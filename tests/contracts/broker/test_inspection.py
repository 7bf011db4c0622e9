"""Reads for operators: pages, counts, ages, workers."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from hms_svc.brokers.sqlite.inspector import SQLiteInspector
from hms_svc.brokers.sqlite.queue_file import QueueFile
from hms_svc.domain.errors import BadInput
from hms_svc.domain.filter import EVERYTHING, parse_filter
from hms_svc.domain.lifecycle import State
from hms_svc.settings import Settings
from tests.support.broker_engines import TYPE, BrokerHarness


async def all_pages(harness: BrokerHarness, where: str, limit: int) -> list[str]:
    ids: list[str] = []
    cursor: str | None = None
    while True:
        page = await harness.inspection.page(parse_filter(where), limit=limit, cursor=cursor)
        assert len(page.jobs) <= limit
        ids += [job.id for job in page.jobs]
        if page.cursor is None:
            return ids
        cursor = page.cursor


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
async def test_pages_cover_everything_once(harness: BrokerHarness, limit: int) -> None:
    expected = await harness.accept(5)
    expected += await harness.accept(4, type="crew.notify")
    for job in await harness.claim(3):
        await harness.settle(job, State.REJECTED, reason="identity")
    ids = await all_pages(harness, "", limit)
    assert sorted(ids) == sorted(expected)


async def test_a_limit_of_zero_is_all(harness: BrokerHarness) -> None:
    await harness.accept(450)
    page = await harness.inspection.page(EVERYTHING, limit=0, cursor=None)
    assert (len(page.jobs), page.cursor) == (450, None)


async def test_a_page_of_a_state_is_newest_first_over_all_types(harness: BrokerHarness) -> None:
    order = []
    for type in (TYPE, "crew.notify", TYPE):
        order += await harness.accept(type=type)
        [job] = await harness.claim(1, type)
        await harness.settle(job, State.DEAD, reason="error")
        harness.clock.advance(1)
    assert await all_pages(harness, "state:dead", 2) == order[::-1]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("state:queued", 2),
        ("type:crew.*", 2),
        ("reason:identity", 1),
        ("state:rejected type:pothole.*", 1),
        ("-state:queued", 1),
        ("data.n:1", 1),
        ("id:nobody", 0),
    ],
)
async def test_filters_narrow(harness: BrokerHarness, where: str, expected: int) -> None:
    await harness.accept(2, type="crew.notify")
    await harness.accept()
    await harness.settle((await harness.claim())[0], State.REJECTED, reason="identity")
    assert len(await all_pages(harness, where, 10)) == expected


async def test_a_foreign_cursor_is_refused_by_name(harness: BrokerHarness) -> None:
    with pytest.raises(BadInput, match="nonsense"):
        await harness.inspection.page(EVERYTHING, limit=1, cursor="nonsense")


class Meddled(QueueFile):
    """Lets something happen after each reading statement."""

    async def meddle(self) -> None:
        raise NotImplementedError

    async def fetch(self, statement: str, parameters: Any = ()) -> list[sqlite3.Row]:
        rows = await super().fetch(statement, parameters)
        if "tallies" in statement:
            await self.meddle()
        return rows


@pytest.mark.parametrize("make_backend", ["sqlite"], indirect=True)
async def test_counts_and_next_due_time_are_of_one_moment(
    harness: BrokerHarness, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = harness.clock.now_ms() + 1000
    await harness.accept(not_before=due)
    harness.clock.advance(1)
    file = Meddled(Path(settings.broker.path), harness.clock)
    monkeypatch.setattr(file, "meddle", lambda: harness.broker.promote(10))
    await file.open()
    [queue] = await SQLiteInspector(file, lease_seconds=30).queues()
    await file.close()
    assert (queue.counts.scheduled, queue.next_due_at) == (1, due)
    assert await harness.counts() == {"queued": 1}


async def test_the_oldest_is_found_behind_a_higher_priority(harness: BrokerHarness) -> None:
    oldest = harness.clock.now_ms()
    await harness.accept(priority=-5)
    harness.clock.advance(100)
    await harness.accept(3, priority=5)
    [queue] = await harness.inspection.queues()
    assert queue.oldest_queued_at == oldest


async def test_position_counts_who_comes_first(harness: BrokerHarness) -> None:
    ids = await harness.accept(3)
    harness.clock.advance(1)
    await harness.accept(priority=9)
    assert await harness.inspection.position(ids[0]) == 1
    await harness.claim(1)
    assert await harness.inspection.position(ids[0]) == 0


async def test_workers_show_the_jobs_in_their_hands_and_fade(harness: BrokerHarness) -> None:
    ids = await harness.accept(2)
    await harness.claim(2)
    harness.register()
    [worker] = await harness.inspection.workers()
    assert sorted(worker.jobs) == sorted(ids)
    assert (await harness.inspection.queues())[0].served
    harness.clock.advance(60)
    assert await harness.inspection.workers() == []
    assert not (await harness.inspection.queues())[0].served


async def test_a_caller_that_has_the_workers_spares_the_broker_reading_them_again(
    harness: BrokerHarness,
) -> None:
    await harness.accept()
    harness.register()
    [worker] = await harness.inspection.workers()
    [served] = await harness.inspection.queues([TYPE], workers=[worker])
    assert served == (await harness.inspection.queues([TYPE]))[0]
    [unserved] = await harness.inspection.queues([TYPE], workers=[])
    assert not unserved.served


async def test_unregistered_worker_is_gone_at_once(harness: BrokerHarness) -> None:
    harness.register()
    await harness.broker.unregister("worker-1")
    assert await harness.inspection.workers() == []


async def test_health_answers(harness: BrokerHarness) -> None:
    health = await harness.inspection.health()
    assert health.ok
    assert health.round_trip_ms > 0


async def test_a_worker_whose_name_has_a_blank_shows_its_jobs(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    await harness.claim(1, worker="my worker")
    harness.register(worker="my worker")
    [worker] = await harness.inspection.workers()
    assert (worker.id, worker.jobs) == ("my worker", (job_id,))
    await harness.broker.unregister("my worker")
    assert await harness.inspection.workers() == []


async def test_a_page_that_has_looked_enough_ends_and_goes_on(harness: BrokerHarness) -> None:
    ids = await harness.accept(25)
    found, examined, pages = [], 0, 0
    cursor: str | None = None
    while True:
        where = parse_filter("data.n<3")
        page = await harness.inspection.page(where, limit=10, cursor=cursor, examine=10)
        found += [job.id for job in page.jobs]
        examined, pages, cursor = examined + page.examined, pages + 1, page.cursor
        assert page.examined <= 10
        if cursor is None:
            break
    assert (sorted(found), examined, pages) == (sorted(ids[:3]), 25, 3)


async def test_a_served_page_looks_at_no_more_than_it_shows(harness: BrokerHarness) -> None:
    await harness.accept(25)
    page = await harness.inspection.page(parse_filter("state:queued"), limit=10, cursor=None)
    assert (len(page.jobs), page.examined) == (10, 11)
