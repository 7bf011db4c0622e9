"""A database that cannot be reached: claiming pauses, and nobody's attempts burn."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from hms_svc import RunningJob, dao
from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.lifecycle import State
from hms_svc.ports.control import Act
from hms_svc.sdk.registry import Registry
from tests.support.waiting import until
from tests.support.worker import HarnessMaker, WorkerHarness, registry_of, result_of


def open_case(job: RunningJob) -> str:
    return dao.insert_case(job.data)


def cases_file(harness: WorkerHarness) -> Path:
    return Path(harness.settings.database.path)


def break_schema(harness: WorkerHarness) -> None:
    """Take away what every commit needs, as a restore of an old file would."""
    with closing(sqlite3.connect(cases_file(harness))) as connection:
        connection.execute("ALTER TABLE hms_svc_version RENAME TO lost")
        connection.execute("ALTER TABLE job_fences RENAME TO lost_fences")


def mend_schema(harness: WorkerHarness) -> None:
    with closing(sqlite3.connect(cases_file(harness))) as connection:
        connection.execute("ALTER TABLE lost_fences RENAME TO job_fences")
        connection.execute("ALTER TABLE lost RENAME TO hms_svc_version")


async def test_an_outage_burns_no_attempt_and_the_job_completes_afterwards(
    open_harness: HarnessMaker,
) -> None:
    async with open_harness(registry_of(open_case)) as harness:
        break_schema(harness)
        harness.start()
        job_id = await harness.enqueue()
        waiting = await harness.reaches(job_id, State.SCHEDULED)
        assert waiting.view.attempt == 0
        assert waiting.history[-1].trigger == "released"
        mend_schema(harness)
        await harness.act(Act.RETRY, job_id)
        detail = await harness.reaches(job_id)
        assert result_of(detail)
        assert detail.view.attempt == 1
        assert await harness.cases() == [job_id]


async def test_while_it_lasts_only_types_that_need_no_database_are_claimed(
    open_harness: HarnessMaker,
) -> None:
    registry = Registry()
    registry.job("test.job")(open_case)
    registry.job("other.job")(lambda: "never needs the database")
    async with open_harness(registry) as harness:
        break_schema(harness)
        harness.start()
        await harness.reaches(await harness.enqueue(), State.SCHEDULED)
        second = await harness.enqueue()
        for _ in range(3):
            assert result_of(await harness.run(type="other.job"))
        assert not (await harness.health()).ok
        assert (await harness.detail(second)).view.state is State.QUEUED
        mend_schema(harness)
        assert result_of(await harness.reaches(second))


async def test_redelivered_jobs_wait_for_the_database_too(open_harness: HarnessMaker) -> None:
    runs: list[int] = []

    def handler(job: RunningJob) -> str:
        runs.append(job.attempt)
        if len(runs) == 1:
            raise ConnectionError("once")
        return "done"

    registry = registry_of(handler, retry=RetryPolicy(base_seconds=0.01))
    async with open_harness(registry) as harness:
        harness.start()
        job_id = await harness.enqueue()
        await until("the first run", lambda: runs)
        break_schema(harness)
        await harness.reaches(job_id, State.SCHEDULED)
        mend_schema(harness)
        await harness.act(Act.RETRY, job_id)
        assert result_of(await harness.reaches(job_id)) == "done"
        assert runs == [1, 2]
