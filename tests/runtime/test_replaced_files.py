"""Files that are moved over open ones, or removed: nothing is accepted into what nobody will read."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from hms_svc import bootstrap
from hms_svc.api.portal import Portal
from hms_svc.domain.errors import BrokerReplaced, DatabaseReplaced
from hms_svc.domain.job import make_job
from hms_svc.processes.embedded import ThreadWorkers
from hms_svc.settings import Settings, load_settings
from hms_svc.sqlite.backup import copy_database
from hms_svc.sqlite.file import SQLiteFile
from hms_svc.sqlite.opened import FileReplaced
from tests.support.database_requests import NOON, dead_job
from tests.support.waiting import PATIENCE_SECONDS, until

JOB = make_job("a.job", 1, now_ms=0)
Harm = Callable[[Path], str]


def replaced(path: Path) -> str:
    """Move a backup over a file, and tidy up beside it, as for a restore."""
    copy = path.with_suffix(".backup")
    copy_database(path, copy)
    copy.rename(path)
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink()
    return "was replaced by another file"


def removed(path: Path) -> str:
    path.unlink()
    return "was removed"


def without_log(path: Path) -> str:
    path.with_name(path.name + "-wal").unlink()
    return "was removed"


def without_log_and_index(path: Path) -> str:
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink()
    return "was removed"


def is_new(path: Path) -> str:
    """Move a database that nobody has opened yet over a file."""
    other = path.with_suffix(".other")
    sqlite3.connect(other).close()
    other.touch()
    other.rename(path)
    return "was replaced by another file"


HARMS = [replaced, removed, without_log, is_new]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"data_dir": tmp_path}, environ={"HMS_SVC_CONFIG": ""}).settings


class Noticed:
    """Counts how often it was told, and to open anew."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


@pytest.fixture
def noticed() -> Noticed:
    return Noticed()


@pytest.mark.parametrize("harm", HARMS)
async def test_a_queue_file_that_is_not_at_its_path_takes_and_gives_nothing(
    settings: Settings, noticed: Noticed, harm: Harm
) -> None:
    async with bootstrap.backend(settings, on_replaced=noticed) as queue:
        await queue.broker.enqueue([JOB])
        lease_keeper = queue.broker.lease_keeper()
        words = harm(Path(settings.broker.path))
        for _ in range(2):
            with pytest.raises(BrokerReplaced, match=words):
                await queue.broker.enqueue([make_job("a.job", 2, now_ms=0)])
        with pytest.raises(BrokerReplaced, match="stop all processes of hms-svc before"):
            await queue.inspection.queues()
        with pytest.raises(BrokerReplaced):
            await asyncio.to_thread(lease_keeper.extend, [], 1000)
        health = await queue.inspection.health()
        assert not health.ok
        assert words in health.notes[0]
        await until("it was told", lambda: noticed.times)
        lease_keeper.close()
    assert noticed.times == 1


@pytest.mark.parametrize("harm", HARMS)
async def test_a_database_that_is_not_at_its_path_takes_and_gives_nothing(
    settings: Settings, noticed: Noticed, harm: Harm
) -> None:
    database = bootstrap.database(settings, on_replaced=noticed)
    await database.open()
    await database.archive.keep([dead_job("a", finished_at=NOON)])
    words = harm(Path(settings.database.path))
    with pytest.raises(DatabaseReplaced, match=words):
        await database.archive.keep([dead_job("b", finished_at=NOON)])
    with pytest.raises(DatabaseReplaced, match=words):
        await database.archive.get("a")
    health = await database.health()
    assert (health.ok, health.replaced) == (False, True)
    await until("it was told", lambda: noticed.times)
    await database.close()
    assert noticed.times == 1


async def test_an_idle_sleeper_notices(settings: Settings, noticed: Noticed) -> None:
    async with bootstrap.backend(settings, on_replaced=noticed) as queue:
        await queue.broker.enqueue([JOB])
        await queue.broker.wait_for_work(0.01)
        replaced(Path(settings.broker.path))
        with pytest.raises(BrokerReplaced):
            await queue.broker.wait_for_work(5.0)
        await until("it was told", lambda: noticed.times == 1)


async def test_what_is_committed_while_the_file_is_replaced_is_not_answered(tmp_path: Path) -> None:
    file = SQLiteFile(tmp_path / "some.db")
    await file.open()
    with pytest.raises(FileReplaced, match="replaced by another file"):
        await file.write(lambda connection: is_new(tmp_path / "some.db"))
    await file.close()


async def test_leaving_does_no_harm_to_the_file_that_stands_there_now(settings: Settings) -> None:
    path = Path(settings.broker.path)
    left = bootstrap.backend(settings)
    await left.open()
    await left.broker.enqueue([JOB])
    await left.inspection.queues()
    replaced(path)
    async with bootstrap.backend(settings) as present:
        await present.broker.enqueue([make_job("a.job", 2, now_ms=0, id="new")])
        log = path.with_name(path.name + "-wal")
        before = log.stat().st_ino
        await left.close()
        assert log.stat().st_ino == before
    async with bootstrap.backend(settings) as present:
        found = await present.inspection.details(["new", JOB.id])
        assert all(found)


async def test_what_was_accepted_is_saved_where_the_log_alone_was_removed(
    settings: Settings, noticed: Noticed
) -> None:
    async with bootstrap.backend(settings, on_replaced=noticed) as queue:
        await queue.broker.enqueue([JOB])
        without_log(Path(settings.broker.path))
        with pytest.raises(BrokerReplaced):
            await queue.inspection.queues()
        await until("it was told", lambda: noticed.times)
    async with bootstrap.backend(settings) as queue:
        [detail] = await queue.inspection.details([JOB.id])
        assert detail is not None


async def test_a_file_that_stays_is_no_cause_for_alarm(
    settings: Settings, noticed: Noticed
) -> None:
    path = Path(settings.broker.path)
    async with bootstrap.backend(settings, on_replaced=noticed) as queue:
        await queue.broker.enqueue([JOB])
        for _ in range(3):  # others come and go
            async with bootstrap.backend(settings) as other:
                await other.inspection.queues()
        copy_database(path, path.with_suffix(".backup"))
        os.utime(path)
        os.chmod(path, 0o640)  # noqa: PTH101 - as os.utime, which pathlib lacks
        await queue.broker.enqueue([make_job("a.job", 2, now_ms=0)])
    assert noticed.times == 0


@pytest.mark.parametrize("harm", [replaced, without_log_and_index])
async def test_a_portal_says_so_once_and_goes_on_with_the_file_that_is_there(
    settings: Settings, harm: Harm
) -> None:
    portal = Portal(settings)

    async def enqueue(job_id: str) -> None:
        backend = await portal.backend()
        await backend.broker.enqueue([make_job("a.job", 1, now_ms=0, id=job_id)])

    await asyncio.wrap_future(portal.submit(enqueue("first")))
    harm(Path(settings.broker.path))
    with pytest.raises(BrokerReplaced):
        await asyncio.wrap_future(portal.submit(enqueue("second")))
    await asyncio.wrap_future(portal.submit(enqueue("third")))
    await asyncio.to_thread(portal.close)
    async with bootstrap.backend(settings) as queue:
        found = await queue.inspection.details(["first", "second", "third"])
    assert [detail is not None for detail in found] == [True, False, True]


@pytest.mark.parametrize("which", ["queue", "cases"])
async def test_workers_of_a_console_open_the_files_anew(
    tmp_path: Path, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    overrides = {"data_dir": tmp_path, "app": ("tests.runtime.embedded_app:app",)}
    settings = load_settings(overrides, environ={"HMS_SVC_CONFIG": ""}).settings
    workers = ThreadWorkers(settings, ["embedded.pid"])
    workers.start()
    await until("they work", lambda: "slots" in workers.state)
    replaced(tmp_path / f"{which}.db")
    await until("it is said", lambda: "while it was open" in caplog.text)

    async def is_done() -> bool:
        async with bootstrap.backend(settings) as queue:
            await queue.broker.enqueue([make_job("embedded.pid", None, now_ms=0, id="one")])
            [detail] = await queue.inspection.details(["one"])
            return detail is not None and detail.view.state == "completed"

    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_SECONDS
    while not await is_done():
        assert loop.time() < deadline, workers.state
    workers.stop()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await workers.wait_stopped()
