"""An application's statements inside a transaction of the embedded database's writer thread."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from hms_svc.domain.errors import DatabaseUnavailable, TransactionError
from hms_svc.persistence.placeholders import unnumbered
from hms_svc.persistence.schema import VERSION_TABLE
from hms_svc.persistence.tables import METADATA

Result = TypeVar("Result")
_OURS: Final = frozenset(METADATA.tables) | {VERSION_TABLE}
_TEMPORARY: Final = (
    sqlite3.SQLITE_CREATE_TEMP_INDEX,
    sqlite3.SQLITE_CREATE_TEMP_TABLE,
    sqlite3.SQLITE_CREATE_TEMP_TRIGGER,
    sqlite3.SQLITE_CREATE_TEMP_VIEW,
)
_REFUSED: Final = {
    **dict.fromkeys(_TEMPORARY, "creates something temporary"),
    sqlite3.SQLITE_TRANSACTION: "begins or ends a transaction",
    sqlite3.SQLITE_SAVEPOINT: "sets or ends a savepoint",
    sqlite3.SQLITE_ATTACH: "attaches another file",
    sqlite3.SQLITE_DETACH: "detaches a file",
    sqlite3.SQLITE_PRAGMA: "is a PRAGMA",
}
_WITH_COLUMN: Final = (sqlite3.SQLITE_READ, sqlite3.SQLITE_UPDATE)
"""What names a table and a column of it."""
_OUTAGES: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_READONLY,
    }
)
_DEFERRED: Final = re.compile(
    r"[\s;\ufeff]*(?:create|alter)\b.*(?<!\bnot\s)\bdeferrable\s+initially\s+deferred\b",
    re.IGNORECASE | re.DOTALL,
)
_NO_KEYWORDS: Final = re.compile(
    r"""'[^']*(?:'|\Z)|"[^"]*(?:"|\Z)|`[^`]*(?:`|\Z)|\[[^\]]*(?:\]|\Z)|--[^\n]*|/\*.*?(?:\*/|\Z)""",
    re.DOTALL,
)
"""Texts, quoted names and comments."""
_STEPS_BETWEEN_CHECKS: Final = 10_000
"""Steps of SQLite's virtual machine: well under a millisecond."""


class SQLiteStatements:
    """Implements ports.transactions.Statements. Nothing here suspends: the thread holds the write lock."""

    is_on_loop = False

    def __init__(self, connection: sqlite3.Connection, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._thread = threading.get_ident()
        self._has_ended = False
        self._failure: Exception | None = None
        self._refusal = ""

    async def fetch(self, sql: str, arguments: Sequence[Any]) -> list[Any]:
        rows, _ = self._run(sql, arguments)
        return rows

    async def execute(self, sql: str, arguments: Sequence[Any]) -> int:
        rows, written = self._run(sql, arguments)
        return len(rows) or written

    async def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        for row in rows:
            self._run(sql, row)

    async def call(self, function: Callable[[], Any], *, is_async: bool) -> Any:
        return await function() if is_async else function()

    def wait(self, statement: Coroutine[Any, Any, Result]) -> Result:
        return run_to_the_end(statement)

    @contextmanager
    def restricted(self) -> Iterator[None]:
        """While the block runs, let the connection do only what an application may do."""
        self._connection.set_authorizer(self._authorize)
        self._connection.set_progress_handler(self._is_late, _STEPS_BETWEEN_CHECKS)
        try:
            yield
            self._check_time()
            if self._failure is not None:
                raise self._failure
        finally:
            self._has_ended = True
            self._connection.set_progress_handler(None, 0)
            self._connection.set_authorizer(None)

    def _run(self, sql: str, arguments: Sequence[Any]) -> tuple[list[Any], int]:
        if threading.get_ident() != self._thread:
            raise TransactionError(
                "a statement of a transaction was run from another thread than its function"
            )
        if self._has_ended:
            raise TransactionError("the transaction has ended: run statements inside its function")
        if self._failure is not None:
            raise self._failure
        try:
            self._check_time()
            _check_statement(sql)
            cursor = self._connection.cursor()
            cursor.row_factory = sqlite3.Row
            named = {str(number): value for number, value in enumerate(arguments, 1)}
            rows = cursor.execute(sql, named).fetchall()
            return rows, max(0, cursor.rowcount)
        except (sqlite3.Error, sqlite3.Warning, TransactionError) as error:
            self._failure = self._meaning(error, sql, arguments)
            raise self._failure from error

    def _check_time(self) -> None:
        if self._is_late():
            raise TransactionError(f"the transaction took longer than {self._seconds:g} s")

    def _is_late(self) -> bool:
        return time.monotonic() > self._until

    def _meaning(self, error: Exception, sql: str, arguments: Sequence[Any]) -> Exception:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_AUTH and self._refusal:
            return TransactionError(f"a statement {self._refusal}, which a transaction may not do")
        if code == sqlite3.SQLITE_INTERRUPT:
            return TransactionError(f"the transaction took longer than {self._seconds:g} s")
        if code in _OUTAGES:
            return DatabaseUnavailable(str(error))
        if isinstance(error, sqlite3.ProgrammingError) or "syntax error" in str(error):
            return unnumbered(sql, arguments, error) or error
        return error

    def _authorize(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        refusal = _REFUSED.get(action, "")
        named = (first,) if action in _WITH_COLUMN else (first, second)
        for name in named:
            if name is not None and name.lower() in _OURS and action != sqlite3.SQLITE_FUNCTION:
                refusal = f"uses {name}, a table of hms-svc"
        if not refusal:
            return sqlite3.SQLITE_OK
        self._refusal = refusal
        return sqlite3.SQLITE_DENY


def _check_statement(sql: str) -> None:
    if "deferr" in sql.lower() and _DEFERRED.match(_NO_KEYWORDS.sub(" ", sql)):
        raise TransactionError(
            "a statement declares a foreign key DEFERRABLE INITIALLY DEFERRED: transactions on SQLite share "
            "their commits, so that one that violates it would fail others; leave those words out"
        )


def run_to_the_end(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine that suspends nowhere; raise TransactionError if it awaits something else."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: Result = end.value
        return result
    except RuntimeError as error:
        if str(error) != "no running event loop":
            raise
        raise TransactionError(_AWAITED) from error
    coroutine.close()
    raise TransactionError(_AWAITED)


_AWAITED: Final = (
    "the function of a transaction awaited something other than its own statements: the embedded "
    "database is locked for all others meanwhile, so await it before or after the transaction"
)
