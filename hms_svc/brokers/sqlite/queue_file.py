"""The queue file of this process: one writer, one reader, and a wake-up socket each for work and for news."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hms_svc.brokers.sqlite import batches, uniqueness
from hms_svc.brokers.sqlite.causes import SQL as CAUSES_SQL
from hms_svc.brokers.sqlite.causes import fill_in_causes, repair_causes
from hms_svc.brokers.sqlite.statements import statements_of, text_of
from hms_svc.brokers.sqlite.transaction import SQL, FileTransaction
from hms_svc.domain.errors import BrokerReplaced, BrokerUnavailable, SchemaMismatch
from hms_svc.ports.clock import Clock
from hms_svc.sqlite.boot import boot_id
from hms_svc.sqlite.connection import Synchronous
from hms_svc.sqlite.file import SQLiteFile
from hms_svc.sqlite.opened import FileReplaced
from hms_svc.sqlite.wake_socket import ANY_WORK, WakeSocket, wake_folder

if TYPE_CHECKING:
    import aiosqlite

Result = TypeVar("Result")
SCHEMA_VERSION = 12
POLL_SECONDS = 1.0
"""How often a waiting worker reads `data_version`, in case a wake-up is lost."""


class QueueFile:
    """Opens the file, checks its schema, and runs transactions and reads on it.

    If it was replaced or removed, reads and writes raise BrokerReplaced, and `on_replaced`
    is called once, on the loop that opened it. For `bounded` see SQLiteFile.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        synchronous: Synchronous = "FULL",
        on_replaced: Callable[[], None] | None = None,
        bounded: bool = False,
    ) -> None:
        self.path = path
        self.clock = clock
        self.wake_socket = WakeSocket(wake_folder(path))
        self._news_socket = WakeSocket(wake_folder(path))
        self._file = SQLiteFile(
            path,
            synchronous=synchronous,
            on_replaced=on_replaced,
            on_commit=self._notify_others,
            bounded=bounded,
        )
        self._reader: aiosqlite.Connection | None = None
        self._reading = asyncio.Lock()
        self._is_closed = False
        self._version = 0
        self._moved_batches: set[str] = set()
        self._is_listening = False
        self._is_listening_for_news = False
        self.refused = 0
        """Writes of this process that failed because the disk is full."""

    async def open(self) -> None:
        """Open the file, create its tables, and void leases of an earlier boot."""
        self._is_closed = False
        try:
            await self._file.open()
            await self._file.write(self._prepare)
        except (sqlite3.Error, OSError) as error:
            await self._file.close()
            raise self.unavailable(error) from error
        except SchemaMismatch:
            await self._file.close()
            raise

    def _prepare(self, connection: sqlite3.Connection) -> None:
        _prepare(connection)
        batches.report_moves(connection, self._moved_batches)

    async def close(self) -> None:
        """Close the reader, the writer and the wake-up sockets, in this order; later reads raise."""
        self._is_closed = True
        async with self._reading:
            if self._reader is not None:
                await self._reader.close()
                self._reader = None
        await self._file.close()
        self.wake_socket.close()
        self._news_socket.close()
        self._is_listening = self._is_listening_for_news = False

    async def write(
        self, function: Callable[[FileTransaction], Result], *, notify: frozenset[str] | None = None
    ) -> Result:
        """Run a function in the next shared transaction; then waiting processes are notified.

        `notify` has the types whose jobs may begin; see `NEWS` and `ANY_WORK`.
        """

        def run(connection: sqlite3.Connection) -> tuple[Result, frozenset[str] | None]:
            transaction = FileTransaction(connection)
            self._moved_batches.clear()
            result = function(transaction)
            while self._moved_batches:
                batches.advance(transaction, self._moved_batches.pop(), self.clock.now_ms())
            transaction.finish()
            return result, ANY_WORK if transaction.lets_in else notify

        try:
            result, work = await self._file.write(run)
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise
        except sqlite3.Error as error:
            self.refused += getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
            raise self.unavailable(error) from error
        if work is not None:
            self.wake_socket.wake(work)
        return result

    def _notify_others(self, written: Sequence[tuple[Any, frozenset[str] | None] | None]) -> None:
        """Notify other processes of what was committed; runs on the writer thread."""
        found = [each[1] for each in written if each is not None and each[1] is not None]
        if found:
            self.wake_socket.notify(frozenset().union(*found))

    async def fetch(self, statement: str, parameters: Any = ()) -> list[sqlite3.Row]:
        """Return all rows of a reading statement."""
        try:
            self._require_open()
            self.check()
            reader = await self._open_reader()
            rows: Iterable[sqlite3.Row] = await reader.execute_fetchall(statement, parameters)
        except sqlite3.Error as error:
            raise self.unavailable(error) from error
        return list(rows)

    def check(self) -> None:
        """Raise FileReplaced if the open file is no longer at its path; may be called from any thread."""
        self._file.check()

    def unavailable(self, error: Exception) -> BrokerUnavailable:
        """Return the BrokerUnavailable for an error of the file."""
        kind = BrokerReplaced if isinstance(error, FileReplaced) else BrokerUnavailable
        reason = (isinstance(error, OSError) and error.strerror) or error
        return kind(f"queue file {self.path}: {reason}")

    async def wait(self, timeout_seconds: float) -> bool:
        """Wait for work, a commit of another process, or the timeout. For one waiter.

        Raise BrokerUnavailable if the file is closed, because nothing would close a
        socket bound later.
        """
        self._check_not_closed()
        if not self._is_listening:
            self.wake_socket.listen(news=False)
            self._is_listening = True
        woken = self.wake_socket.woken
        was_woken = await self._until(woken, timeout_seconds)
        woken.clear()
        return was_woken

    def next_news(self) -> asyncio.Event:
        """Return what is set at the next news or work, for any number of waiters; see `wait`."""
        self._check_not_closed()
        if not self._is_listening_for_news:
            self._news_socket.listen(news=True)
            self._is_listening_for_news = True
        if self._news_socket.woken.is_set():
            self._news_socket.woken = asyncio.Event()
        return self._news_socket.woken

    async def wait_for_news(self, news: asyncio.Event, timeout_seconds: float) -> None:
        """Wait for what `next_news` returned before the caller looked, or for the timeout."""
        await self._until(news, timeout_seconds)

    async def _until(self, woken: asyncio.Event, timeout_seconds: float) -> bool:
        """Wait for a wake-up, or for a commit that came without one; return False after the timeout."""
        remaining = timeout_seconds
        while remaining > 0 and not woken.is_set():
            seconds = min(remaining, POLL_SECONDS)
            remaining -= seconds
            try:
                async with asyncio.timeout(seconds):
                    await woken.wait()
            except TimeoutError:
                if await self._changed():
                    self.wake_socket.woken.set()
                    self._news_socket.woken.set()
        return woken.is_set()

    async def _changed(self) -> bool:
        before, self._version = self._version, (await self.fetch("PRAGMA data_version"))[0][0]
        return before != self._version

    def _check_not_closed(self) -> None:
        if self._is_closed:
            raise self.unavailable(sqlite3.OperationalError("it is closed"))

    def _require_open(self) -> None:
        # A reader that is opened later is never closed, and its thread would keep the process
        # alive.
        if self._is_closed:
            raise sqlite3.OperationalError("it is closed")

    async def _open_reader(self) -> aiosqlite.Connection:
        async with self._reading:
            self._require_open()
            if self._reader is None:
                import aiosqlite

                # No lock: the writer is open, so this is neither the first nor the last connection.
                reader = await aiosqlite.connect(self.path, isolation_level=None)
                reader.row_factory = sqlite3.Row
                try:
                    for pragma in ("busy_timeout=10000", "mmap_size=0", "query_only=ON"):
                        await reader.execute(f"PRAGMA {pragma}")
                    await reader.execute_fetchall("PRAGMA data_version")
                except BaseException:
                    await reader.close()
                    raise
                self._reader = reader
                self.check()
        return self._reader


def _prepare(connection: sqlite3.Connection) -> None:
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone()
    if known is None:
        for statement in text_of("schema.sql").split(";\n"):
            connection.execute(statement)
        _add_causes(connection)
        _add_limits(connection)
        _add_batches(connection)
        _add_schedules(connection)
        _add_uniqueness(connection)
        connection.executemany(
            "INSERT INTO meta (name, value) VALUES (?, ?)",
            [("schema", SCHEMA_VERSION), ("fence", 1), ("boot", boot_id())],
        )
        return
    meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
    if meta["schema"] in range(1, SCHEMA_VERSION):
        meta["schema"] = _migrate(connection, meta["schema"])
    if meta["schema"] != SCHEMA_VERSION:
        raise SchemaMismatch(
            f"the queue file has schema {meta['schema']}, this program needs {SCHEMA_VERSION}"
        )
    repair_causes(connection)
    if meta["boot"] != boot_id():
        connection.execute(SQL["void_leases"])
        connection.execute("UPDATE workers SET seen_at = -1000000000")
        connection.execute("UPDATE deliveries SET again_at = 0")
        connection.execute("DELETE FROM starts")
        connection.execute("UPDATE limit_checks SET at = 0")
        connection.execute("UPDATE meta SET value = ? WHERE name = 'boot'", (boot_id(),))


def _add_causes(connection: sqlite3.Connection) -> None:
    for statement in statements_of("causes.sql").values():
        connection.execute(statement)


def _add_limits(connection: sqlite3.Connection) -> None:
    for name, statement in statements_of("limits.sql").items():
        if name.startswith("create_"):
            connection.execute(statement)


def _add_batches(connection: sqlite3.Connection) -> None:
    for name, statement in batches.SQL.items():
        if name.startswith("create_"):
            connection.execute(statement)


def _add_schedules(connection: sqlite3.Connection) -> None:
    connection.execute(statements_of("schedules.sql")["create_schedules"])


def _add_uniqueness(connection: sqlite3.Connection) -> None:
    for statement in ("create_index", "create_windows"):
        connection.execute(uniqueness.SQL[statement])


def _migrate(connection: sqlite3.Connection, version: int) -> int:
    """Migrate an older file to the current version; up to version 4 this reads each failed job once."""
    if version < 7:
        _to_version_7(connection, version)
    if version < 8:
        connection.execute("ALTER TABLE jobs ADD COLUMN member_of TEXT")
    else:
        _add_columns_of_batches(connection, version)
    _add_batches(connection)
    if version < 10:
        _add_schedules(connection)
        for statement in ("add_until", "add_since", "drop_index"):
            connection.execute(uniqueness.SQL[statement])
        _add_uniqueness(connection)
    connection.execute("UPDATE meta SET value = ? WHERE name = 'schema'", (SCHEMA_VERSION,))
    return SCHEMA_VERSION


def _add_columns_of_batches(connection: sqlite3.Connection, version: int) -> None:
    if version < 11:
        connection.execute(batches.SQL["add_grown_at"])
    connection.execute(batches.SQL["add_closed_by"])
    connection.execute(batches.SQL["add_left_out"])


def _to_version_7(connection: sqlite3.Connection, version: int) -> None:
    _rename_columns(connection)
    if version < 5:
        _add_columns(connection, version)
    connection.execute("ALTER TABLE queues ADD COLUMN limits TEXT")
    connection.execute("ALTER TABLE queues ADD COLUMN keyed_limits TEXT")
    _add_limits(connection)


def _rename_columns(connection: sqlite3.Connection) -> None:
    for table, before, now in (
        ("jobs", "trail", "history"),
        ("jobs", "said_by", "decided_by"),
        ("undo", "said_by", "decided_by"),
        ("cancel_requests", "said_by", "decided_by"),
        ("workers", "wish", "request"),
    ):
        if any(name == before for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")):
            connection.execute(f"ALTER TABLE {table} RENAME COLUMN {before} TO {now}")


def _add_columns(connection: sqlite3.Connection, version: int) -> None:
    if version == 1:
        connection.execute("ALTER TABLE jobs ADD COLUMN cause TEXT")
        connection.execute("DROP INDEX IF EXISTS jobs_discarded")
    connection.execute("DROP INDEX IF EXISTS jobs_of_cause")
    for trigger in ("job_left", "job_came", "job_went"):
        connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
    _add_causes(connection)
    if version == 1:
        connection.execute(CAUSES_SQL["remember_older_discards"])
    if version < 3:
        connection.execute("ALTER TABLE queues ADD COLUMN intake_paused INTEGER NOT NULL DEFAULT 0")
        connection.execute("ALTER TABLE progress ADD COLUMN log INTEGER NOT NULL DEFAULT 0")
    if version < 4:
        connection.execute("ALTER TABLE queues ADD COLUMN priority INTEGER NOT NULL DEFAULT 0")
        connection.execute("ALTER TABLE jobs ADD COLUMN approved TEXT")
    if 1 < version < 4:
        connection.execute("ALTER TABLE undo ADD COLUMN approved TEXT")
    connection.execute("ALTER TABLE workers ADD COLUMN request BLOB")
    fill_in_causes(connection)
