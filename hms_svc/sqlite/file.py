"""One database file of this process, with a writer thread that shares transactions."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from hms_svc.ports.answer_timeout import ASK_AFTER_SECONDS, MOST_SECONDS, PROBE_SECONDS
from hms_svc.sqlite.connection import Synchronous, connect
from hms_svc.sqlite.filesystem import is_network
from hms_svc.sqlite.lock import LockFile, holder_of
from hms_svc.sqlite.opened import FileReplaced, OpenedFiles, leave_open

Result = TypeVar("Result")
WriteFunction = Callable[[sqlite3.Connection], Result]
log: Final = logging.getLogger("hms_svc.sqlite")
WAIT_SECONDS: Final = 15.0


class _Pending:
    """One function that waits for the writer thread."""

    __slots__ = ("abandoned", "error", "function", "future", "result", "started")

    def __init__(self, function: WriteFunction[Any], future: asyncio.Future[Any]) -> None:
        self.function = function
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None
        self.abandoned = False
        self.started = False

    def resolve(self) -> None:
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class SQLiteFile:
    """Runs functions inside `BEGIN IMMEDIATE … COMMIT` on one thread, many in one commit.

    All functions that wait when the thread becomes free share one transaction and one
    disk sync, each in its own savepoint if there are several: one that raises is rolled back alone. If the
    shared commit itself violates a constraint, each runs once more, with a commit of its own. Results are
    returned only after COMMIT, and after a check that the file is still at its path. If it
    is not, nothing is written, and `on_replaced` is called once, on the loop that opened
    it. If only the write-ahead log was removed, its content is checkpointed into the file
    first. After each commit `on_commit` is called on the thread, with the results of the functions;
    callers do not wait for it. With `bounded`, callers do not wait for a process that holds the lock for
    MOST_SECONDS; new calls are refused immediately until it releases the lock.
    """

    def __init__(
        self,
        path: Path,
        *,
        synchronous: Synchronous = "FULL",
        on_replaced: Callable[[], None] | None = None,
        on_commit: Callable[[Sequence[Any]], None] | None = None,
        bounded: bool = False,
    ) -> None:
        self.path = path
        self._on_commit = on_commit
        self._bounded = bounded
        self._is_blocked = False
        self._on_replaced = on_replaced
        self._opened: OpenedFiles | None = None
        self._is_lost = False
        self._has_left = False
        self._synchronous: Synchronous = synchronous
        self._pending: list[_Pending] = []
        self._condition = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed: asyncio.Future[None] | None = None
        self.commits = 0

    async def open(self) -> None:
        """Create the folder and the file if needed, and start the writer thread.

        Raise sqlite3.Error or OSError if the file cannot be opened for writing.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = self._loop.create_future()
        self._closing, self._closed = False, None
        self._thread = threading.Thread(
            target=self._run, args=(opened,), name=f"writer-{self.path.name}", daemon=True
        )
        self._thread.start()
        began = self._loop.time()
        try:
            async with asyncio.timeout(WAIT_SECONDS) as scope:
                with self._watched(lambda: scope.reschedule(0)):
                    await opened
        except TimeoutError as error:
            self._closing, self._thread = True, None
            raise self._locked(round(self._loop.time() - began, 1)) from error
        except (sqlite3.Error, OSError):
            self._thread.join()
            self._thread = None
            raise

    async def close(self) -> None:
        """Run pending functions, checkpoint, and end the thread; may be called again, also meanwhile.

        A thread that waits for a lock that is not released is abandoned: it ends with the process.
        """
        thread = self._thread
        if thread is None:
            return
        if self._closed is None:
            self._closed = asyncio.get_running_loop().create_future()
            with self._condition:
                self._closing = True
                self._condition.notify()
        done, _ = await asyncio.wait({self._closed}, timeout=WAIT_SECONDS)
        if done:
            thread.join()
        else:
            log.warning("%s", self._locked())
        if self._thread is thread:
            self._thread = None

    async def write(self, function: WriteFunction[Result]) -> Result:
        """Run a function in the next transaction; return its result once it is committed.

        Raise the error of the function, sqlite3.Error if the commit failed, or
        sqlite3.OperationalError if the lock was not free within 15 s, or one process held it
        for MOST_SECONDS.
        """
        assert self._loop is not None, "the file is not open"
        pending = _Pending(function, self._loop.create_future())
        with self._condition:
            if self._closing:
                raise sqlite3.OperationalError(f"{self.path} is closed")
            if self._is_blocked:
                raise self._locked(MOST_SECONDS)
            self._pending.append(pending)
            self._condition.notify()
        deadline = self._loop.call_later(WAIT_SECONDS, self._give_up, pending, WAIT_SECONDS)
        try:
            result: Result
            if self._bounded:
                with self._watched(lambda: self._give_up(pending, MOST_SECONDS)):
                    result = await pending.future
            else:
                result = await pending.future
        finally:
            deadline.cancel()
            with self._condition:
                pending.abandoned = not pending.started
        return result

    def check(self) -> None:
        """Raise FileReplaced if the open file is no longer at its path; may be called from any thread."""
        try:
            if self._opened is not None:
                self._opened.check()
        except FileReplaced as error:
            with self._condition:
                is_first, self._is_lost = not self._is_lost, True
                self._condition.notify()
            if is_first:
                log.error("%s", error)
            raise

    @contextmanager
    def _watched(self, give_up: Callable[[], None]) -> Iterator[None]:
        """If bounded, call `give_up` once one process has held the lock for a second."""
        if not self._bounded:
            yield
            return
        loop = asyncio.get_running_loop()

        def probe() -> None:
            timers.append(loop.call_later(PROBE_SECONDS, decide, holder_of(self.path)))

        def decide(holder: int | None) -> None:
            if holder is not None and holder_of(self.path) == holder:
                give_up()

        timers = [loop.call_later(ASK_AFTER_SECONDS, probe)]
        try:
            yield
        finally:
            for timer in timers:
                timer.cancel()

    def _give_up(self, pending: _Pending, seconds: float) -> None:
        with self._condition:
            if pending.started:
                return
            pending.abandoned = True
            self._is_blocked = self._bounded
        pending.error = self._locked(seconds)
        pending.resolve()

    def _locked(self, seconds: float = WAIT_SECONDS) -> sqlite3.OperationalError:
        pid = holder_of(self.path)
        holder = f"process {pid}" if pid is not None else "another process"
        return sqlite3.OperationalError(f"{self.path} was locked by {holder} for {seconds:g} s")

    def _run(self, opened: asyncio.Future[None]) -> None:
        lock: LockFile | None = None
        try:
            if is_network(self.path.parent):
                raise OSError(f"{self.path} is on a network file system; SQLite needs a local disk")
            lock = LockFile(self.path)
            with lock.held():
                connection = connect(self.path, self._synchronous)
                self._opened = OpenedFiles(self.path)
                self._is_lost = self._has_left = False
        except (sqlite3.Error, OSError) as error:
            if lock is not None:
                lock.close()
            self._call_loop(_fail, opened, error)
            return
        self._call_loop(_succeed, opened)
        while (waiting := self._next_batch()) is not None:
            with lock.held():
                batch = self._start(waiting)
                if batch:
                    self._commit(connection, batch)
                if self._is_lost:
                    self._leave(connection)
            self._call_loop(_resolve_all, batch)
            self._report([pending.result for pending in batch if pending.error is None])
        with lock.held():
            if self._opened.fault():
                self._leave(connection)
            if self._opened.may_be_closed():
                connection.close()
            else:
                leave_open(connection)
        lock.close()
        if self._closed is not None:
            self._call_loop(_succeed, self._closed)

    def _report(self, results: Sequence[Any]) -> None:
        if not results or self._on_commit is None:
            return
        try:
            self._on_commit(results)
        except Exception:  # the thread serves all further calls
            log.exception("%s: what was committed could not be reported", self.path)

    def _start(self, waiting: list[_Pending]) -> list[_Pending]:
        """Return the functions whose callers still wait, and mark them as started."""
        with self._condition:
            self._is_blocked = False
            batch = [pending for pending in waiting if not pending.abandoned]
            for pending in batch:
                pending.started = True
        return batch

    def _call_loop(self, function: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            log.debug("%s: its event loop has ended", self.path)

    def _next_batch(self) -> list[_Pending] | None:
        """Wait for work, or for the loss of the file; return None when closing."""
        with self._condition:
            while True:
                batch, self._pending = self._pending, []
                if batch or (self._is_lost and not self._has_left):
                    return batch
                if self._closing:
                    return None
                self._condition.wait()

    def _leave(self, connection: sqlite3.Connection) -> None:
        """Save what can be saved of a lost file, once, and report that it must be opened again."""
        if self._has_left:
            return
        self._has_left = True
        try:
            if self._opened is not None and self._opened.has_lost_its_log():
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                log.warning(
                    "%s: its write-ahead log was removed; its content was checkpointed into the file",
                    self.path,
                )
        except sqlite3.Error as error:
            log.warning("%s: the content of its write-ahead log is lost: %s", self.path, error)
        if self._on_replaced is not None:
            self._call_loop(self._on_replaced)

    def _commit(self, connection: sqlite3.Connection, batch: list[_Pending]) -> None:
        try:
            self.check()
            connection.execute("BEGIN IMMEDIATE")
            if len(batch) == 1:
                _run_alone(connection, *batch)
            else:
                for pending in batch:
                    _run_in_savepoint(connection, pending)
            if connection.in_transaction:
                connection.execute("COMMIT")
                self.commits += 1
            self.check()
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.IntegrityError) and len(batch) > 1:
                # Of the commit, since functions keep their own errors: only each alone shows whose it is.
                for pending in batch:
                    if pending.error is None:
                        self._commit(connection, [pending])
                return
            for pending in batch:
                pending.error = pending.error or error


def _run_alone(connection: sqlite3.Connection, pending: _Pending) -> None:
    """Run the only function of a transaction, which is its savepoint."""
    try:
        pending.result = pending.function(connection)
    except BaseException as error:
        pending.error = error
        if not connection.in_transaction:
            raise sqlite3.OperationalError(f"the transaction was lost: {error}") from error
        connection.execute("ROLLBACK")
    else:
        if not connection.in_transaction:
            raise sqlite3.OperationalError("the transaction was ended before its COMMIT")


def _run_in_savepoint(connection: sqlite3.Connection, pending: _Pending) -> None:
    connection.execute("SAVEPOINT one")
    try:
        pending.result = pending.function(connection)
    except BaseException as error:
        pending.error = error
        if not connection.in_transaction:
            raise sqlite3.OperationalError(f"the transaction was lost: {error}") from error
        connection.execute("ROLLBACK TO one")
    connection.execute("RELEASE one")


def _resolve_all(batch: list[_Pending]) -> None:
    for pending in batch:
        pending.resolve()


def _succeed(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _fail(future: asyncio.Future[None], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
