"""SQLite: writes on the writer thread of the file, reads on separate connections."""

from __future__ import annotations

import asyncio
import contextvars
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import Connection

from hms_svc.domain.errors import DatabaseUnavailable
from hms_svc.persistence.borrowed_connection import borrow
from hms_svc.persistence.engine import StatementFunction, WriteFailed, unavailable
from hms_svc.persistence.sqlite_statements import SQLiteStatements, run_to_the_end
from hms_svc.ports.inspection import Capacity
from hms_svc.ports.transactions import Write, Written
from hms_svc.sqlite.backup import copy_database
from hms_svc.sqlite.connection import BUSY_TIMEOUT_MS
from hms_svc.sqlite.file import SQLiteFile
from hms_svc.sqlite.filesystem import capacity_of

Result = TypeVar("Result")
Item = TypeVar("Item")
_READERS: Final = 2


class SQLiteEngine:
    """The embedded database. Within the process only this engine may use the file."""

    kind = "sqlite"
    embedded = True
    gapless = True

    def __init__(self, file: SQLiteFile) -> None:
        self.where = str(file.path)
        self._file = file
        self._readers: _Readers | None = None
        self._owned: sqlite3.Connection | None = None
        self._writer: Connection | None = None

    async def open(self) -> None:
        """Open the writer first: the first connection recovers the log, under the file's lock."""
        with unavailable(self.where):
            await self._file.open()
        self._readers = _Readers(self._file)

    async def close(self) -> None:
        """Close the readers first: the last connection checkpoints, under the file's lock.

        There are none if `open` was cancelled, although the writer may still open the file.
        """
        readers, self._readers = self._readers, None
        if readers is not None:
            try:
                await asyncio.to_thread(readers.close)
            except RuntimeError:  # the interpreter is exiting and has joined its threads
                readers.close()
        with unavailable(self.where):
            await self._file.close()
        if self._writer is not None:
            self._writer.close()
        self._writer = self._owned = None

    async def write(
        self, function: StatementFunction[Result], *, repeatable: bool = True
    ) -> Result:
        """Run the function inside the writer's transaction, again if a shared commit was refused; see Engine."""
        self._require_open()
        with unavailable(self.where):
            return await self._file.write(lambda owned: function(self._over(owned)))

    async def transact(
        self,
        begin: StatementFunction[Result | None],
        write: Write,
        end: Callable[[Connection, Written], Result],
        *,
        seconds: float,
        repeatable: bool = True,
    ) -> Result:
        """Run all three as one function of the writer thread, again if a shared commit was refused; see Engine."""
        self._require_open()
        context = contextvars.copy_context()

        def run(owned: sqlite3.Connection) -> Result:
            connection = self._over(owned)
            found = begin(connection)
            if found is not None:
                return found
            statements = SQLiteStatements(owned, seconds)
            try:
                with statements.restricted():
                    written = run_to_the_end(write(statements))
            except BaseException as error:
                raise WriteFailed(error) from error
            return end(connection, written)

        try:
            with unavailable(self.where):
                return await self._file.write(lambda owned: context.run(run, owned))
        except WriteFailed as failed:
            raise failed.error from None

    async def write_apart(self, function: StatementFunction[Result]) -> Result:
        """Run the function in one transaction, which shares its sync with others; see Engine."""
        return await self.write(function)

    async def relay(
        self,
        take: StatementFunction[list[Item]],
        deliver: Callable[[list[Item]], Awaitable[None]],
        mark: Callable[[Connection, list[Item]], None],
    ) -> int:
        """Relay without locks: two processes may deliver the same row; see Engine."""
        items = await self.read(take)
        if items:
            await deliver(items)
            await self.write(lambda on: mark(on, items))
        return len(items)

    def notify(self, connection: Connection, channel: str) -> bool:
        """Return False: SQLite does not notify other processes; see Engine."""
        return False

    async def listen(self, channel: str, wake: Callable[[], None]) -> None:
        """Do nothing: SQLite does not notify; see Engine."""

    async def change_schema(self, function: StatementFunction[Result]) -> Result:
        """Run the function inside the writer's transaction; see Engine."""
        if self._readers is not None:
            return await self.write(function)
        await self.open()
        try:
            return await self.write(function)
        finally:
            await self.close()

    async def read(self, function: StatementFunction[Result]) -> Result:
        """Run the function in autocommit mode, so that no statement delays the checkpoint; see Engine."""
        with unavailable(self.where):
            readers = self._require_open()
            self._file.check()
            return await readers.run(function)

    def lock(self, connection: Connection, numbers: Sequence[int]) -> None:
        """Do nothing: a writing transaction locks the whole file."""

    def capacity(self) -> Capacity | None:
        """Return the space on the file's disk; see Engine."""
        return capacity_of(self._file.path)

    async def backup(self, path: str) -> None:
        """Write a consistent copy, readable only by its owner; see Engine."""
        self._require_open()
        with unavailable(f"backup of {self._file.path} to {path}"):
            await asyncio.to_thread(copy_database, self._file.path, Path(path))

    def _require_open(self) -> _Readers:
        if self._readers is None:
            raise DatabaseUnavailable(f"{self._file.path} is not open")
        return self._readers

    def _over(self, owned: sqlite3.Connection) -> Connection:
        if self._writer is None or owned is not self._owned:
            self._owned, self._writer = owned, borrow(owned)
        return self._writer


class _Readers:
    """Two threads, each with its own reading connection, opened on first use."""

    def __init__(self, file: SQLiteFile) -> None:
        self._file = file
        self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix=f"reader-{file.path.name}")
        self._local = threading.local()
        self._opened: list[tuple[Connection, sqlite3.Connection]] = []

    async def run(self, function: StatementFunction[Result]) -> Result:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._run, function)

    def close(self) -> None:
        self._threads.shutdown()
        for connection, owned in self._opened:
            connection.close()
            owned.close()

    def _run(self, function: StatementFunction[Result]) -> Result:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
        return function(connection)

    def _connect(self) -> Connection:
        path = self._file.path
        owned = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            for setting in (f"busy_timeout={BUSY_TIMEOUT_MS}", "mmap_size=0", "query_only=ON"):
                owned.execute(f"PRAGMA {setting}")
            owned.execute("PRAGMA data_version").fetchone()
            self._file.check()
        except BaseException:
            owned.close()
            raise
        connection = borrow(owned)
        self._opened.append((connection, owned))
        return connection
