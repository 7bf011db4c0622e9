"""A queue file that version 1 of its schema left behind is opened, with its failures in groups."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from hms_svc.domain.batches import NewBatch
from hms_svc.domain.job_limits import Limit
from hms_svc.domain.lifecycle import State
from hms_svc.domain.outcome import Failure
from hms_svc.domain.views import WorkerRequest, WorkerState
from hms_svc.ports.control import Act, ActRequest, ClosedBatch
from hms_svc.settings import Settings
from tests.support.broken_submissions import leave_open
from tests.support.broker_engines import TYPE, BrokerHarness, BrokerMaker, ManualClock

TO_VERSION_11 = """
ALTER TABLE batches DROP COLUMN closed_by; ALTER TABLE batches DROP COLUMN left_out;
UPDATE meta SET value = 11 WHERE name = 'schema';
"""
TO_VERSION_10 = f"""
{TO_VERSION_11}
DROP INDEX open_batches; ALTER TABLE batches DROP COLUMN grown_at;
UPDATE meta SET value = 10 WHERE name = 'schema';
"""
TO_VERSION_9 = f"""
{TO_VERSION_10}
DROP TABLE unique_windows; DROP INDEX jobs_unique_key;
ALTER TABLE jobs DROP COLUMN unique_until; ALTER TABLE jobs DROP COLUMN unique_since;
CREATE UNIQUE INDEX jobs_unique_key ON jobs (queue, unique_key) WHERE unique_key IS NOT NULL AND state < 6;
UPDATE meta SET value = 9 WHERE name = 'schema';
"""
TO_VERSION_8 = (
    f"{TO_VERSION_9} DROP TABLE schedules; UPDATE meta SET value = 8 WHERE name = 'schema';"
)
TO_VERSION_7 = f"""
{TO_VERSION_8}
DROP TRIGGER member_removed; DROP TRIGGER batch_removed; DROP INDEX jobs_of_batch;
DROP TABLE batches; DROP TABLE follow_ups; DROP TABLE removed_members;
ALTER TABLE jobs DROP COLUMN member_of;
UPDATE meta SET value = 7 WHERE name = 'schema';
"""
TO_VERSION_6 = f"""
{TO_VERSION_7}
DROP TRIGGER place_left; DROP TABLE places; DROP TABLE limit_checks; DROP TABLE starts; DROP TABLE steps;
ALTER TABLE queues DROP COLUMN limits; ALTER TABLE queues DROP COLUMN keyed_limits;
UPDATE meta SET value = 6 WHERE name = 'schema';
"""
TO_VERSION_5 = f"""
{TO_VERSION_6}
ALTER TABLE jobs RENAME COLUMN history TO trail;
ALTER TABLE jobs RENAME COLUMN decided_by TO said_by;
ALTER TABLE undo RENAME COLUMN decided_by TO said_by;
ALTER TABLE cancel_requests RENAME COLUMN decided_by TO said_by;
ALTER TABLE workers RENAME COLUMN request TO wish;
UPDATE meta SET value = 5 WHERE name = 'schema';
"""
TO_VERSION_4 = f"""
{TO_VERSION_5}
DROP TRIGGER job_came; DROP TRIGGER job_left; DROP TRIGGER job_went;
DROP INDEX jobs_of_cause; DROP TABLE failing;
UPDATE jobs SET cause = NULL WHERE state = 5; DELETE FROM causes WHERE cause NOT IN (
    SELECT cause FROM jobs WHERE state IN (7, 8) AND cause IS NOT NULL);
CREATE INDEX jobs_of_cause ON jobs (cause, position) WHERE cause IS NOT NULL AND state IN (7, 8);
CREATE TRIGGER job_left AFTER UPDATE OF cause ON jobs
WHEN OLD.cause IS NOT NULL AND OLD.state IN (7, 8) BEGIN SELECT 1; END;
ALTER TABLE workers DROP COLUMN wish;
UPDATE meta SET value = 4 WHERE name = 'schema';
"""
TO_VERSION_3 = f"""
{TO_VERSION_4}
ALTER TABLE jobs DROP COLUMN approved;
ALTER TABLE undo DROP COLUMN approved;
ALTER TABLE queues DROP COLUMN priority;
UPDATE meta SET value = 3 WHERE name = 'schema';
"""
TO_VERSION_2 = f"""
{TO_VERSION_3}
ALTER TABLE queues DROP COLUMN intake_paused;
ALTER TABLE progress DROP COLUMN log;
UPDATE meta SET value = 2 WHERE name = 'schema';
"""
TO_VERSION_1 = f"""
{TO_VERSION_2}
DROP TRIGGER job_left;
DROP INDEX jobs_of_cause; DROP TABLE causes; DROP TABLE arrivals; DROP TABLE undo;
ALTER TABLE jobs DROP COLUMN cause;
ALTER TABLE jobs ADD COLUMN undo_state INTEGER;
ALTER TABLE jobs ADD COLUMN undo_position INTEGER;
ALTER TABLE jobs ADD COLUMN batch TEXT;
CREATE INDEX jobs_discarded ON jobs (batch) WHERE batch IS NOT NULL;
UPDATE meta SET value = 1 WHERE name = 'schema';
"""


def change(settings: Settings, script: str) -> None:
    with sqlite3.connect(Path(settings.broker.path)) as connection:
        connection.executescript(script)
    connection.close()


@pytest.mark.parametrize("make_backend", ["sqlite"], indirect=True)
async def test_a_file_of_version_1_is_migrated_when_it_is_opened(
    make_backend: BrokerMaker, clock: ManualClock, settings: Settings
) -> None:
    async with make_backend() as backend:
        harness = BrokerHarness(backend, clock)
        ids = await harness.accept(3)
        for job, seconds in zip(await harness.claim(2), (1, 2), strict=True):
            failure = Failure("Timeout", f"took {seconds} s")
            await harness.settle(job, State.DEAD, reason="timeout", failure=failure)
        before = await harness.inspection.failures()
        [discarded] = await harness.accept()
    change(settings, TO_VERSION_1)
    discard = "state = 10, undo_state = state, undo_position = position, batch = 'old'"
    now = clock.now_ms()
    change(settings, f"UPDATE jobs SET {discard}, position = {now} WHERE id = '{discarded}'")
    for _ in range(2):
        async with make_backend() as backend:
            harness = BrokerHarness(backend, clock)
            assert await harness.inspection.failures() == before
    async with make_backend() as backend:
        harness = BrokerHarness(backend, clock)
        retry = ActRequest(act=Act.RETRY, job_ids=(ids[0],), by="ravi", batch="b")
        await harness.control.act(retry)
        assert [group.count for group in await harness.inspection.failures()] == [1]
        await harness.control.undo("b")
        assert await harness.inspection.failures() == before
        assert await harness.control.last_batch() == "old"
        assert [each.done for each in await harness.control.undo("old")] == [True]
        assert await harness.state(discarded) is State.QUEUED


@pytest.mark.parametrize("make_backend", ["sqlite"], indirect=True)
async def test_a_file_of_version_2_is_migrated_when_it_is_opened(
    make_backend: BrokerMaker, clock: ManualClock, settings: Settings
) -> None:
    async with make_backend() as backend:
        await backend.control.pause(TYPE, by="ravi", reason="strike")
    change(settings, TO_VERSION_2)
    for was in (False, True):
        async with make_backend() as backend:
            [queue] = await backend.inspection.queues()
            assert (queue.paused_by, queue.intake_paused) == ("ravi", was)
            await backend.control.pause(TYPE, by="ravi", reason="strike", intake=True)


@pytest.mark.parametrize("make_backend", ["sqlite"], indirect=True)
async def test_a_file_of_version_3_is_migrated_when_it_is_opened(
    make_backend: BrokerMaker, clock: ManualClock, settings: Settings
) -> None:
    async with make_backend() as backend:
        [before] = await BrokerHarness(backend, clock).accept()
    change(settings, TO_VERSION_3)
    for _ in range(2):
        async with make_backend() as backend:
            harness = BrokerHarness(backend, clock)
            harness.register(TYPE, priorities=((TYPE, 7),))
            [after] = await harness.accept()
            found = [(await harness.detail(id)).view.priority for id in (before, after)]
            assert found == [0, 7]


@pytest.mark.parametrize("make_backend", ["sqlite"], indirect=True)
async def test_a_file_of_version_4_gets_groups_of_what_is_failing_when_it_is_opened(
    make_backend: BrokerMaker, clock: ManualClock, settings: Settings
) -> None:
    async with make_backend() as backend:
        harness = BrokerHarness(backend, clock)
        await harness.accept(2)
        for job, state in zip(await harness.claim(2), (State.RETRYING, State.DEAD), strict=True):
            await harness.settle(job, state, reason="error", failure=Failure("E", "took 1 s"))
        before = await harness.inspection.failures()
    change(settings, TO_VERSION_4)
    for _ in range(2):
        async with make_backend() as backend:
            harness = BrokerHarness(backend, clock)
            found = await harness.inspection.failures()
            assert {group.id: group.count for group in found} == {group.id: 1 for group in before}
    async with make_backend() as backend:
        harness = BrokerHarness(backend, clock)
        clock.advance(1)
        await harness.broker.promote(1)
        assert [group.state for group in await harness.inspection.failures()] == [State.DEAD]


@pytest.mark.parametrize("make_backend", ["sqlite"], indirect=True)
async def test_a_file_of_version_4_is_migrated_when_it_is_opened(
    make_backend: BrokerMaker, clock: ManualClock, settings: Settings
) -> None:
    async with make_backend() as backend:
        BrokerHarness(backend, clock).register()
    change(settings, TO_VERSION_4)
    async with make_backend() as backend:
        request = WorkerRequest(WorkerState.QUIET, "ravi", "", clock.now_ms())
        assert await backend.control.ask_worker("worker-1", request)
        assert (await backend.inspection.workers())[0].request == request


@pytest.mark.parametrize("make_backend", ["sqlite"], indirect=True)
async def test_a_file_of_version_5_keeps_histories_and_requests(
    make_backend: BrokerMaker, clock: ManualClock, settings: Settings
) -> None:
    request = WorkerRequest(WorkerState.QUIET, "ravi", "", clock.now_ms())
    async with make_backend() as backend:
        harness = BrokerHarness(backend, clock)
        harness.register()
        [job_id] = await harness.accept()
        cancel = ActRequest(act=Act.CANCEL, job_ids=(job_id,), by="ravi", batch="a")
        await harness.control.act(cancel)
        before = await harness.detail(job_id)
        discard = ActRequest(act=Act.DISCARD, job_ids=(job_id,), by="ravi", batch="b")
        await harness.control.act(discard)
        assert await backend.control.ask_worker("worker-1", request)
    change(settings, TO_VERSION_5)
    for _ in range(2):
        async with make_backend() as backend:
            assert (await backend.inspection.workers())[0].request == request
    async with make_backend() as backend:
        harness = BrokerHarness(backend, clock)
        assert [each.done for each in await harness.control.undo("b")] == [True]
        after = await harness.detail(job_id)
        assert (after.view.by, after.view.reason) == (before.view.by, before.view.reason)
        assert after.view.by
        assert after.history[: len(before.history)] == before.history


@pytest.mark.parametrize("make_backend", ["sqlite"], indirect=True)
async def test_a_file_of_version_6_takes_limits(
    make_backend: BrokerMaker, clock: ManualClock, settings: Settings
) -> None:
    async with make_backend() as backend:
        await BrokerHarness(backend, clock).accept(2)
    change(settings, TO_VERSION_6)
    for number in (1, 0):
        async with make_backend() as backend:
            harness = BrokerHarness(backend, clock)
            harness.register(limits=((TYPE, (Limit(1),)),))
            assert len(await harness.claim()) == number


@pytest.mark.parametrize("make_backend", ["sqlite"], indirect=True)
async def test_groups_that_an_older_process_drifted_are_counted_anew_when_opened(
    make_backend: BrokerMaker, clock: ManualClock, settings: Settings
) -> None:
    async with make_backend() as backend:
        harness = BrokerHarness(backend, clock)
        retried, died = await harness.accept(2)
        for job in await harness.claim(2):
            failure = Failure("Timeout", f"took {len(job.job.id)} s")
            await harness.settle(job, State.DEAD, reason="timeout", failure=failure)
        [before] = await harness.inspection.failures()
    forget = "DROP TRIGGER job_came; DROP TRIGGER job_left;"
    change(settings, f"{forget} UPDATE jobs SET cause = NULL WHERE id = '{died}'")
    change(settings, f"UPDATE jobs SET state = 2 WHERE id = '{retried}'")
    async with make_backend() as backend:
        [group] = await BrokerHarness(backend, clock).inspection.failures()
    assert (group.id, group.count, group.newest_id, sum(group.recent)) == (before.id, 1, died, 1)


@pytest.mark.parametrize("make_backend", ["sqlite"], indirect=True)
async def test_undo_of_an_act_of_version_4_brings_a_retrying_job_back_into_its_group(
    make_backend: BrokerMaker, clock: ManualClock, settings: Settings
) -> None:
    async with make_backend() as backend:
        harness = BrokerHarness(backend, clock)
        [job_id] = await harness.accept()
        [job] = await harness.claim()
        failure = Failure("E", "took 1 s")
        await harness.settle(job, State.RETRYING, reason="error", failure=failure)
        [before] = await harness.inspection.failures()
        discard = ActRequest(act=Act.DISCARD, job_ids=(job_id,), by="ravi", batch="b")
        await harness.control.act(discard)
    change(settings, f"UPDATE undo SET cause = NULL; {TO_VERSION_4}")
    async with make_backend() as backend:
        harness = BrokerHarness(backend, clock)
        assert [each.done for each in await harness.control.undo("b")] == [True]
        [group] = await harness.inspection.failures()
        assert (group.id, group.count) == (before.id, 1)
        clock.advance(1)
        assert await harness.broker.promote(1) == 1
        assert await harness.inspection.failures() == []


@pytest.mark.parametrize("make_backend", ["sqlite"], indirect=True)
async def test_groups_that_an_older_process_drifts_are_counted_anew_by_the_upkeep(
    make_backend: BrokerMaker, clock: ManualClock, settings: Settings
) -> None:
    async with make_backend() as backend:
        harness = BrokerHarness(backend, clock)
        promoted, left = await harness.accept(2)
        for job in await harness.claim(2):
            failure = Failure("Timeout", "took 1 s")
            await harness.settle(job, State.RETRYING, reason="timeout", failure=failure)
        change(settings, f"UPDATE jobs SET state = 2 WHERE id = '{promoted}'")
        change(settings, "UPDATE tallies SET n = 1 WHERE name IN ('queued', 'retrying')")
        assert [group.count for group in await harness.inspection.failures()] == [2]
        await harness.control.trim(limit=10)
        [group] = await harness.inspection.failures()
        assert (group.count, group.newest_id) == (1, left)


@pytest.mark.parametrize("make_backend", ["sqlite"], indirect=True)
async def test_a_file_of_version_7_takes_batches(
    make_backend: BrokerMaker, clock: ManualClock, settings: Settings
) -> None:
    async with make_backend() as backend:
        [before] = await BrokerHarness(backend, clock).accept()
    change(settings, TO_VERSION_7)
    for number in range(2):
        async with make_backend() as backend:
            harness = BrokerHarness(backend, clock)
            member = harness.job({}, "permit.apply", id=f"member-{number}")
            follow_up = harness.job({}, id=f"then-{number}")
            batch = NewBatch(id=f"b-{number}", members=(member,), follow_ups=(follow_up,))
            await harness.broker.enqueue_batch(batch.with_its_id())
            [job] = await harness.claim(10, "permit.apply")
            assert await harness.complete(job)
            assert await harness.state(f"then-{number}") is State.QUEUED
            assert (await harness.detail(before)).view.batch is None


@pytest.mark.parametrize("make_backend", ["sqlite"], indirect=True)
async def test_an_open_batch_of_a_file_of_version_10_is_found_by_its_submission(
    make_backend: BrokerMaker, clock: ManualClock, settings: Settings
) -> None:
    async with make_backend() as backend:
        harness = BrokerHarness(backend, clock)
        batch = NewBatch(id="b", members=(harness.job(),), created_at=clock.now_ms(), by="tests")
        await harness.broker.enqueue_batch(batch.with_its_id())
    change(settings, f"UPDATE batches SET is_open = 1; {TO_VERSION_10}")
    for _ in range(2):
        async with make_backend() as backend:
            for later, expected in ((0, ([], 0)), (1, (["b"], 1))):
                before = clock.now_ms() + later
                found = await backend.inspection.left_open_batches(before=before, limit=5)
                assert found == expected


@pytest.mark.parametrize("make_backend", ["sqlite"], indirect=True)
async def test_an_open_batch_of_a_file_of_version_11_is_closed(
    make_backend: BrokerMaker, clock: ManualClock, settings: Settings
) -> None:
    async with make_backend() as backend:
        harness = BrokerHarness(backend, clock)
        await leave_open(harness.broker, NewBatch(id="b", members=(harness.job(), harness.job())))
    change(settings, TO_VERSION_11)
    async with make_backend() as backend:
        view = await backend.inspection.batch("b")
        assert view is not None
        assert (view.is_open, view.closed_by, view.left_out) == (True, "", 0)
        assert await backend.control.close_batch("b", by="ann") == ClosedBatch("", 1, 1)
