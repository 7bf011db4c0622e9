"""Jobs of a producer's own transactions beside kills of the workers, each of which relays them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Final, TypeAlias

import asyncpg  # type: ignore[import-untyped]  # asyncpg has no types
import pytest

import hms_svc
from hms_svc import Job, Transaction, aio
from hms_svc.domain.lifecycle import State
from tests.chaos.pairs import ACROSS, BETWEEN, EMBEDDED, FLEET, on_fleet
from tests.chaos.run_notes import read_notes
from tests.chaos.site import Site
from tests.chaos.transaction_app import APP, TYPE
from tests.chaos.worker_kill import kill_one
from tests.support.waiting import wait_until

PROCESSES = 3
CREATE: Final = "CREATE TABLE own (job text PRIMARY KEY, at double precision)"
INSERT: Final = "INSERT INTO own VALUES ($1, $2)"
Produce: TypeAlias = Callable[[Site, int, Callable[[], object]], Coroutine[None, None, None]]
on_postgresql = pytest.mark.parametrize("site", [FLEET, ACROSS], indirect=True)


async def commit_and_roll_back(site: Site, times: int, after_each: Callable[[], object]) -> None:
    """Write a row and enqueue a job, as often committed as rolled back; the row has the time before its commit."""
    connection = await asyncpg.connect(site.database_url)
    try:
        await connection.execute(CREATE)
        for number in range(times):
            for outcome in ("committed", "rolled-back"):
                job_id = f"{outcome}-{number}"
                transaction = connection.transaction()
                await transaction.start()
                await aio.sql.enqueue(connection, Job(TYPE, number, id=job_id))
                await connection.execute(INSERT, job_id, time.monotonic())
                if outcome == "committed":
                    await transaction.commit()
                else:
                    await transaction.rollback()
            await asyncio.to_thread(after_each)
    finally:
        await connection.close()


async def transact_and_raise(site: Site, times: int, after_each: Callable[[], object]) -> None:
    """The same in functions, on any database: what is rolled back raises."""

    async def create(tx: Transaction) -> None:
        await tx.execute(CREATE)

    await aio.sql.transaction(create)
    for number in range(times):
        for outcome in ("committed", "rolled-back"):

            async def write(tx: Transaction, job_id: str = f"{outcome}-{number}") -> None:
                tx.enqueue(Job(TYPE, {}, id=job_id))
                await tx.execute(INSERT, job_id, time.monotonic())
                if job_id.startswith("rolled-back"):
                    raise KeyError(job_id)

            with suppress(KeyError):
                await aio.sql.transaction(write)
        await asyncio.to_thread(after_each)


@pytest.fixture
def own_portal(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process be a producer of the site."""
    for name, value in site.environment().items():
        monkeypatch.setenv(name, value)
    hms_svc.close()
    yield
    hms_svc.close()


def listeners(site: Site) -> int:
    """Count the workers that are notified of commits."""
    [[count]] = site.database.rows(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND query ILIKE 'LISTEN%'"
    )
    return int(count)


def transactions_hold(
    site: Site,
    chance: random.Random,
    *,
    times: int,
    kills: int,
    produce: Produce = commit_and_roll_back,
) -> None:
    """Commit and roll back beside kills, then compare own rows, jobs, and what the handler noted."""
    served = site.serve("--processes", str(PROCESSES), app=APP, test_folder=site.folder)
    killed_after = set(chance.sample(range(2, times + 1), kills))
    done = deaths = 0
    notifies = site.database_url.startswith("postgresql")

    def all_work() -> bool:
        if notifies:
            return listeners(site) == PROCESSES
        return len(served.workers()) == PROCESSES and site.count(State.COMPLETED, TYPE) > 0

    def kill() -> None:
        nonlocal done, deaths
        done += 1
        if done == 1:
            wait_until("all workers listen", all_work)
        elif done in killed_after:
            deaths += kill_one(chance, [served]) is not None
            wait_until("another one listens", all_work)

    asyncio.run(produce(site, times, kill))
    wait_until("all is done", lambda: site.count(State.COMPLETED, TYPE) >= times)
    site.stop()
    rows = dict(site.database.rows("SELECT job, at FROM own"))
    began: dict[str, float] = {}
    for each in read_notes(site.folder):
        began.setdefault(each.job, each.at)
    waits = sorted(at - rows[job] for job, at in began.items() if job in rows)
    p50, p95 = (round(waits[int(len(waits) * share)] * 1000, 1) for share in (0.5, 0.95))
    print(
        f"{times} committed, {times} rolled back, {deaths} workers killed: "
        f"from commit to handler p50 {p50} ms, p95 {p95} ms, longest {waits[-1] * 1000:.0f} ms"
    )
    committed = {f"committed-{number}" for number in range(times)}
    assert set(rows) == committed
    assert set(began) == committed
    assert {job.id for job in site.jobs(TYPE)} == committed
    assert site.database.rows("SELECT count(*) FROM outbox") == [(0,)]
    assert deaths == kills


@on_fleet
def test_transactions_hold_beside_kills(site: Site, chance: random.Random) -> None:
    transactions_hold(site, chance, times=60, kills=1)


@pytest.mark.chaos
@on_postgresql
@pytest.mark.timeout(1800)
def test_a_thousand_transactions_hold_beside_kills_at_length(
    site: Site, chance: random.Random
) -> None:
    transactions_hold(site, chance, times=1000, kills=40)


@pytest.mark.usefixtures("own_portal")
@pytest.mark.parametrize("site", [EMBEDDED], indirect=True)
def test_transactions_of_a_function_hold_beside_kills(site: Site, chance: random.Random) -> None:
    transactions_hold(site, chance, times=60, kills=1, produce=transact_and_raise)


@pytest.mark.chaos
@pytest.mark.usefixtures("own_portal")
@pytest.mark.parametrize("site", [EMBEDDED, BETWEEN, FLEET], indirect=True)
@pytest.mark.timeout(1800)
def test_a_thousand_transactions_of_a_function_hold_beside_kills_at_length(
    site: Site, chance: random.Random
) -> None:
    transactions_hold(site, chance, times=1000, kills=40, produce=transact_and_raise)
