"""SQLite: writes on the one writer thread of the file, reads over connections of their own."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from hms_svc.domain.errors import BadInput, DatabaseUnavailable
from hms_svc.persistence.borrowed import borrow
from hms_svc.persistence.engine import StatementFunction, unavailable
from hms_svc.sqlite.connection import BUSY_TIMEOUT_MS
from hms_svc.sqlite.file import SQLiteFile

Result = TypeVar("Result")
_READERS: Final = 2


class SQLiteEngine:
    """The embedded database. The file must be this engine's alone within the process."""

    kind = "sqlite"
    embedded = True
    gapless = True

    def __init__(self, file: SQLiteFile) -> None:
        self._file = file
        self._readers: AsyncEngine | None = None
        self._owned: sqlite3.Connection | None = None
        self._writer: Connection | None = None

    async def open(self) -> None:
        """Open the writer first: the one that comes first recovers the log, under the file's lock."""
        with unavailable(str(self._file.path)):
            await self._file.open()
        self._readers = _reading_engine(self._file.path)

    async def close(self) -> None:
        """Close the readers first: the one that leaves last checkpoints, under the file's lock."""
        readers, self._readers = self._readers, None
        if readers is None:
            return
        await readers.dispose()
        with unavailable(str(self._file.path)):
            await self._file.close()
        if self._writer is not None:
            self._writer.close()
        self._writer = self._owned = None

    async def write(self, function: StatementFunction[Result]) -> Result:
        """Run the function inside the writer's transaction; see Engine."""
        self._need_open()
        with unavailable(str(self._file.path)):
            return await self._file.write(lambda owned: function(self._over(owned)))

    async def read(self, function: StatementFunction[Result]) -> Result:
        """Run the function in autocommit mode, so that no statement holds the log back; see Engine."""
        with unavailable(str(self._file.path)):
            async with self._need_open().connect() as connection:
                return await connection.run_sync(function)

    def lock(self, connection: Connection, numbers: Sequence[int]) -> None:
        """Do nothing: a writing transaction has the whole file."""

    async def backup(self, path: str) -> None:
        """Copy the file as it stands at one moment, readable by its owner alone; see Engine."""
        self._need_open()
        with unavailable(f"backup of {self._file.path} to {path}"):
            await asyncio.to_thread(_copy, self._file.path, Path(path))

    def _need_open(self) -> AsyncEngine:
        if self._readers is None:
            raise DatabaseUnavailable(f"{self._file.path} is not open")
        return self._readers

    def _over(self, owned: sqlite3.Connection) -> Connection:
        if self._writer is None or owned is not self._owned:
            self._owned, self._writer = owned, borrow(owned)
        return self._writer


def _reading_engine(path: Path) -> AsyncEngine:
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=os.fspath(path)),
        isolation_level="AUTOCOMMIT",
        pool_size=_READERS,
        max_overflow=0,
        pool_timeout=BUSY_TIMEOUT_MS / 1000,
        pool_reset_on_return=None,
        skip_autocommit_rollback=True,
    )
    event.listen(engine.sync_engine, "connect", _only_read)
    return engine


def _only_read(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for setting in (f"busy_timeout={BUSY_TIMEOUT_MS}", "mmap_size=0", "query_only=ON"):
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _copy(source: Path, target: Path) -> None:
    try:
        descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    except FileExistsError as error:
        raise BadInput(f"{target} is there already: a backup is a new file") from error
    except OSError as error:
        raise BadInput(f"{target} cannot be written: {error.strerror}") from error
    try:
        with closing(_connect(source)) as reader, closing(_connect(target)) as writer:
            reader.execute("PRAGMA query_only=ON")
            reader.backup(writer)
        os.fsync(descriptor)
    except sqlite3.Error:
        target.unlink()
        raise
    finally:
        os.close(descriptor)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)
