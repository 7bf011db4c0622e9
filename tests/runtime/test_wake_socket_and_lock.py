"""The bell may be lost and the lock may be held: neither harms what was or was not committed."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from hms_svc.brokers.sqlite import queue_file
from hms_svc.brokers.sqlite.broker import SQLiteBroker
from hms_svc.brokers.sqlite.bus import SQLiteBus
from hms_svc.brokers.sqlite.queue_file import QueueFile
from hms_svc.domain.errors import BrokerUnavailable, SchemaMismatch
from hms_svc.domain.event import service_event
from hms_svc.domain.job import make_job
from hms_svc.domain.lifecycle import State
from hms_svc.ports.clock import SystemClock
from hms_svc.sqlite import file as sqlite_file
from hms_svc.sqlite.file import SQLiteFile
from hms_svc.sqlite.lock import LockFile
from hms_svc.sqlite.wake_socket import ANY_WORK, NEWS, WakeSocket, wake_folder
from tests.support.waiting import PATIENCE_SECONDS, until


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Hold the lock as another process would."""
    lock = LockFile(database)
    with lock.held():
        yield
    lock.close()


@pytest.mark.parametrize("harm", ["gone", "directory", "file"])
async def test_enqueue_does_not_mind_a_harmed_wake_folder(tmp_path: Path, harm: str) -> None:
    queue = QueueFile(tmp_path / "queue.db", SystemClock())
    broker = SQLiteBroker(queue)
    await broker.open()
    await broker.enqueue([make_job("a.job", 1, now_ms=0)])
    folder = wake_folder(tmp_path / "queue.db")
    await until("the writer thread has made the folder", folder.is_dir)
    if harm == "gone":
        shutil.rmtree(folder)
    elif harm == "directory":
        (folder / "work-stray").mkdir()
    else:
        (folder / "work-thesis").write_text("dear to somebody")
    [answer] = await broker.enqueue([make_job("a.job", 2, now_ms=0)])
    assert answer.state is State.QUEUED
    await broker.close()
    if harm == "file":
        assert stat.S_ISREG((folder / "work-thesis").stat().st_mode)


def long_folder(tmp_path: Path) -> Path:
    """Make a folder whose path is too long for the address of a socket."""
    folder = tmp_path / ("x" * 90)
    folder.mkdir()
    return folder


async def woken(wake_socket: WakeSocket) -> bool:
    try:
        async with asyncio.timeout(10):
            await wake_socket.woken.wait()
    except TimeoutError:
        return False
    return True


async def test_a_wake_folder_with_a_long_path_is_beside_its_database(tmp_path: Path) -> None:
    beside = long_folder(tmp_path)
    folder = wake_folder(beside / "queue.db")
    assert folder.parent == beside
    sleeper, ringer = WakeSocket(folder), WakeSocket(folder)
    sleeper.listen(news=False)
    ringer.notify(ANY_WORK)
    assert await woken(sleeper)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    ringer.close()
    sleeper.close()
    assert list(folder.iterdir()) == []


async def test_only_work_of_the_types_that_it_serves_wakes_a_process(tmp_path: Path) -> None:
    folder = tmp_path / "queue.db.wake"
    ringer, sleeper = WakeSocket(folder), WakeSocket(folder)
    sleeper.listen(news=False)
    sleeper.serve(["a.job", "b.job"])
    other = WakeSocket(folder)
    other.listen(news=True)
    for work in (frozenset({"c.job"}), NEWS):
        other.woken.clear()
        ringer.notify(work)
        assert await woken(other)
        await asyncio.sleep(0)  # the loop reads both sockets in one turn, or sleeper's in this one
        assert not sleeper.woken.is_set()
    for work in (
        frozenset({"c.job", "b.job"}),
        ANY_WORK,
        frozenset(f"{n:0200}" for n in range(50)),
    ):
        sleeper.woken.clear()
        ringer.notify(work)
        assert await woken(sleeper)
    for each in (ringer, sleeper, other):
        each.close()


async def test_work_whose_message_found_the_socket_full_wakes_its_process(tmp_path: Path) -> None:
    folder = tmp_path / "queue.db.wake"
    ringer, sleeper = WakeSocket(folder), WakeSocket(folder)
    sleeper.listen(news=False)
    sleeper.serve(["a.job"])
    for _ in range(1000):  # more than any system keeps for a socket
        ringer.notify(frozenset({"c.job"}))
    ringer.notify(frozenset({"a.job"}))
    assert await woken(sleeper)
    ringer.close()
    sleeper.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("squat", ["folder", "link"])
async def test_a_wake_folder_of_another_user_is_not_used_and_named_once(
    tmp_path: Path, squat: str, caplog: pytest.LogCaptureFixture
) -> None:
    queue = QueueFile(tmp_path / "queue.db", SystemClock())
    folder = wake_folder(queue.path)
    theirs = folder if squat == "folder" else tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    if squat == "link":
        folder.symlink_to(theirs)
    broker = SQLiteBroker(queue)
    await broker.open()
    for _ in range(3):
        assert await queue.wait(0.01) in (True, False)
    queue.wake_socket.listen(news=True)
    await broker.enqueue([make_job("a.job", 1, now_ms=0)])
    await broker.close()
    warnings = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert len(warnings) == 1
    assert f"the wake-up folder {folder} cannot be used" in warnings[0]
    assert list(theirs.iterdir()) == []


async def test_a_wake_folder_of_ours_that_others_may_read_is_closed_to_them(tmp_path: Path) -> None:
    folder = tmp_path / "queue.db.wake"
    folder.mkdir(mode=0o755)
    wake_socket = WakeSocket(folder)
    wake_socket.listen(news=True)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    wake_socket.close()


async def test_a_wake_folder_that_was_removed_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "queue.db.wake"
    ringer, sleeper = WakeSocket(folder), WakeSocket(folder)
    ringer.notify(ANY_WORK)
    folder.rmdir()
    sleeper.listen(news=False)
    ringer.notify(ANY_WORK)
    assert await woken(sleeper)
    ringer.close()
    sleeper.close()


async def test_a_given_up_write_never_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "WAIT_SECONDS", 0.2)
    file = SQLiteFile(tmp_path / "some.db")
    await file.open()
    refused = pytest.raises(sqlite3.OperationalError, match=f"locked by process {os.getpid()}")
    with locked(tmp_path / "some.db"), refused:
        await file.write(lambda connection: connection.execute("CREATE TABLE t (x)"))
    tables = await file.write(
        lambda connection: connection.execute("SELECT name FROM sqlite_master").fetchall()
    )
    assert tables == []
    await file.close()


async def test_a_file_that_is_closed_twice_at_once_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A script with memory:// did so at its end, and waited for the limit."""
    monkeypatch.setattr(sqlite_file, "WAIT_SECONDS", 2.0)
    file = SQLiteFile(tmp_path / "some.db")
    await file.open()
    await asyncio.gather(file.close(), file.close())
    assert caplog.messages == []
    await file.open()
    assert await file.write(lambda connection: connection.execute("SELECT 1").fetchone()) == (1,)
    await file.close()


async def test_opening_does_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "WAIT_SECONDS", 0.2)
    refused = pytest.raises(sqlite3.OperationalError, match="was locked by")
    with locked(tmp_path / "some.db"), refused:
        await SQLiteFile(tmp_path / "some.db").open()


async def test_a_refused_file_leaves_no_descriptor_and_no_thread(tmp_path: Path) -> None:
    (tmp_path / "queue.db").write_bytes(b"this is no database" * 100)
    for _ in range(5):
        with pytest.raises(BrokerUnavailable, match="not a database"):
            await QueueFile(tmp_path / "queue.db", SystemClock()).open()
    assert not {"queue.db", "queue.db.lock"} & open_files()
    assert not [thread for thread in threading.enumerate() if thread.name == "writer-queue.db"]


async def test_who_reads_while_the_file_closes_or_later_leaves_no_thread(tmp_path: Path) -> None:
    threads = set(threading.enumerate())
    queue = QueueFile(tmp_path / "queue.db", SystemClock())
    await queue.open()
    first = asyncio.create_task(queue.fetch("SELECT 1"))
    await asyncio.sleep(0)
    closing = asyncio.create_task(queue.close())
    late = [asyncio.create_task(queue.fetch("SELECT 1")) for _ in range(3)]
    await closing
    with pytest.raises(BrokerUnavailable, match="closed"):
        await queue.fetch("SELECT 1")
    await asyncio.gather(first, *late, return_exceptions=True)
    # The thread of a connection ends a moment after its close has returned.
    await until("no thread is left", lambda: set(threading.enumerate()) == threads)
    await queue.open()
    assert [tuple(row) for row in await queue.fetch("SELECT 1")] == [(1,)]
    await queue.close()


@pytest.mark.parametrize("waits_for", ["work", "news"])
async def test_who_waits_after_the_file_was_closed_binds_no_socket(
    tmp_path: Path, waits_for: str
) -> None:
    queue = QueueFile(tmp_path / "queue.db", SystemClock())

    async def wait() -> None:
        if waits_for == "work":
            await queue.wait(0.0)
        else:
            await queue.wait_for_news(queue.next_news(), 0.0)

    await queue.open()
    await wait()
    await queue.close()
    with pytest.raises(BrokerUnavailable, match="closed"):
        await wait()
    assert list((tmp_path / "queue.db.wake").iterdir()) == []
    await queue.open()
    await wait()
    assert len(list((tmp_path / "queue.db.wake").iterdir())) == 1, "opened anew, it listens anew"
    await queue.close()


async def test_all_who_wait_in_one_process_are_notified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_file, "POLL_SECONDS", PATIENCE_SECONDS)
    queue = QueueFile(tmp_path / "queue.db", SystemClock())
    broker, bus = SQLiteBroker(queue), SQLiteBus(queue)
    await broker.open()
    work = asyncio.create_task(broker.wait_for_work(PATIENCE_SECONDS))
    news = [asyncio.create_task(bus.wait(0, PATIENCE_SECONDS)) for _ in range(3)]
    await until("all listen", lambda: len(list(tmp_path.glob("queue.db.wake/*"))) == 2)
    async with asyncio.timeout(PATIENCE_SECONDS / 2):
        await bus.publish([service_event("j", "case.opened", "", {}, 1)])
        assert await asyncio.gather(*news) == [True] * 3
        assert not work.done(), "news is no work"
        await broker.enqueue([make_job("a.job", 1, now_ms=0)])
        assert await work
    await broker.close()


def open_files() -> set[str]:
    """Return the names of the files that this process has open."""
    entries = Path("/proc/self/fd").iterdir()
    return {entry.readlink().name for entry in entries if entry.is_symlink()}


async def test_a_newer_queue_file_is_refused_by_its_version(tmp_path: Path) -> None:
    queue = QueueFile(tmp_path / "queue.db", SystemClock())
    await queue.open()
    await queue.write(
        lambda on: on.connection.execute("UPDATE meta SET value=99 WHERE name='schema'")
    )
    await queue.close()
    with pytest.raises(SchemaMismatch, match="schema 99"):
        await queue.open()


async def test_one_function_that_raises_undoes_itself_alone(tmp_path: Path) -> None:
    file = SQLiteFile(tmp_path / "some.db")
    await file.open()
    await file.write(lambda connection: connection.execute("CREATE TABLE t (x)"))

    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (1)")
        raise LookupError("midway")

    def whole(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (2)")

    answers = await asyncio.gather(
        file.write(half), file.write(whole), file.write(half), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [LookupError, type(None), LookupError]
    rows = await file.write(lambda connection: connection.execute("SELECT x FROM t").fetchall())
    assert rows == [(2,)]
    await file.close()


@pytest.mark.parametrize("number", [1, 2])
async def test_a_function_whose_transaction_was_undone_beneath_it_fails(
    tmp_path: Path, number: int
) -> None:
    file = SQLiteFile(tmp_path / "some.db")
    await file.open()
    await file.write(lambda connection: connection.execute("CREATE TABLE t (x UNIQUE)"))

    def undone(connection: sqlite3.Connection) -> str:
        connection.execute("INSERT INTO t VALUES (1)")
        with suppress(sqlite3.IntegrityError):
            connection.execute("INSERT OR ROLLBACK INTO t VALUES (1)")
        return "written"

    answers = await asyncio.gather(
        *(file.write(undone) for _ in range(number)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [sqlite3.OperationalError] * number
    rows = await file.write(lambda connection: connection.execute("SELECT x FROM t").fetchall())
    assert rows == []
    await file.close()


async def test_an_error_after_a_commit_is_logged_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(results: Sequence[object]) -> None:
        raise LookupError(f"after {results}")

    file = SQLiteFile(tmp_path / "some.db", on_commit=fail)
    await file.open()
    assert [await file.write(lambda connection: 7) for _ in range(2)] == [7, 7]
    await file.close()
    assert caplog.text.count("LookupError: after [") == 2


async def test_writes_that_wait_together_share_a_commit(tmp_path: Path) -> None:
    file = SQLiteFile(tmp_path / "some.db")
    await file.open()
    before = file.commits
    with locked(tmp_path / "some.db"):
        first = asyncio.create_task(file.write(lambda connection: None))
        await asyncio.sleep(0)
        rest = [asyncio.create_task(file.write(lambda connection: None)) for _ in range(100)]
        await asyncio.sleep(0)
    await asyncio.gather(first, *rest)
    assert file.commits - before <= 2
    await file.close()
