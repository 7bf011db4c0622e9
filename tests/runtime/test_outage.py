"""A database that cannot be reached: claiming pauses, and nobody's attempts burn."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from hms_svc import RunningJob, dao
from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.lifecycle import State
from hms_svc.handling.registry import Registry
from hms_svc.ports.control import Act

from .conftest import Floor, FloorMaker, registry_of, result_of, until


def open_case(job: RunningJob) -> str:
    return dao.insert_case(job.data)


def cases_file(floor: Floor) -> Path:
    return Path(floor.settings.database.path)


def break_schema(floor: Floor) -> None:
    """Take away what every commit needs, as a restore of an old file would."""
    with closing(sqlite3.connect(cases_file(floor))) as connection:
        connection.execute("ALTER TABLE alembic_version RENAME TO lost")
        connection.execute("ALTER TABLE job_fences RENAME TO lost_fences")


def mend_schema(floor: Floor) -> None:
    with closing(sqlite3.connect(cases_file(floor))) as connection:
        connection.execute("ALTER TABLE lost_fences RENAME TO job_fences")
        connection.execute("ALTER TABLE lost RENAME TO alembic_version")


async def test_an_outage_burns_no_attempt_and_the_job_completes_afterwards(
    open_floor: FloorMaker,
) -> None:
    async with open_floor(registry_of(open_case)) as floor:
        break_schema(floor)
        floor.start()
        job_id = await floor.enqueue()
        waiting = await floor.reaches(job_id, State.SCHEDULED)
        assert waiting.view.attempt == 0
        assert waiting.history[-1].cause == "released"
        mend_schema(floor)
        await floor.act(Act.RETRY, job_id)
        detail = await floor.reaches(job_id)
        assert result_of(detail)
        assert detail.view.attempt == 1
        assert await floor.cases() == [job_id]


async def test_while_it_lasts_only_types_that_need_no_database_are_claimed(
    open_floor: FloorMaker,
) -> None:
    registry = Registry()
    registry.job("test.job")(open_case)
    registry.job("other.job")(lambda: "never needs the database")
    async with open_floor(registry) as floor:
        break_schema(floor)
        floor.start()
        await floor.reaches(await floor.enqueue(), State.SCHEDULED)
        second = await floor.enqueue()
        for _ in range(3):
            assert result_of(await floor.run(type="other.job"))
        assert not (await floor.health()).ok
        assert (await floor.detail(second)).view.state is State.QUEUED
        mend_schema(floor)
        assert result_of(await floor.reaches(second))


async def test_redelivered_jobs_wait_for_the_database_too(open_floor: FloorMaker) -> None:
    runs: list[int] = []

    def handler(job: RunningJob) -> str:
        runs.append(job.attempt)
        if len(runs) == 1:
            raise ConnectionError("once")
        return "done"

    registry = registry_of(handler, retry=RetryPolicy(base_seconds=0.01))
    async with open_floor(registry) as floor:
        floor.start()
        job_id = await floor.enqueue()
        await until("the first run", lambda: runs)
        break_schema(floor)
        await floor.reaches(job_id, State.SCHEDULED)
        mend_schema(floor)
        await floor.act(Act.RETRY, job_id)
        assert result_of(await floor.reaches(job_id)) == "done"
        assert runs == [1, 2]
