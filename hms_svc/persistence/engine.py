"""The engine interface of persistence, and the translation of its errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from hms_svc.domain.errors import DatabaseReplaced, DatabaseUnavailable
from hms_svc.ports.inspection import Capacity
from hms_svc.ports.transactions import Write, Written
from hms_svc.sqlite.opened import FileReplaced

Result = TypeVar("Result")
Item = TypeVar("Item")
StatementFunction = Callable[[Connection], Result]
Lock = Callable[[Connection, Sequence[int]], None]
"""Engine.lock, as it is passed to the modules with statements."""


class Engine(Protocol):
    """Runs functions with a connection. They never commit, roll back, or keep the connection.

    `where` names the database in messages, without secrets. `embedded` engines are
    migrated by the program that opens them; in `gapless` ones a missing number means
    that a row was removed.
    """

    kind: str
    where: str
    embedded: bool
    gapless: bool

    async def open(self) -> None:
        """Connect; raise DatabaseUnavailable if that fails."""
        ...

    async def close(self) -> None:
        """Release all connections and threads; may be called again."""
        ...

    async def write(
        self, function: StatementFunction[Result], *, repeatable: bool = True
    ) -> Result:
        """Run a function in one transaction; return its result once it is committed.

        An error of the function rolls back its changes and is raised. The function may run
        again after a deadlock or a lost connection. If the connection is lost during COMMIT,
        so that the result is unknown, it runs again only if it is `repeatable`, that is, has
        a unique key to detect the repetition. Raise DatabaseUnavailable, after which a
        commit may or may not have happened.
        """
        ...

    async def transact(
        self,
        begin: StatementFunction[Result | None],
        write: Write,
        end: Callable[[Connection, Written], Result],
        *,
        seconds: float,
        repeatable: bool = True,
    ) -> Result:
        """Run `begin`, `write` and `end` in one transaction; return the result of `end` once it is committed.

        If `begin` returns a result, that is returned, and nothing is written. `write` may take `seconds`,
        else it is a TransactionError. All three may run again after a deadlock of theirs or a lost
        connection, during COMMIT only if `repeatable`, that is, if `begin` finds what was committed.
        An error of `write` rolls back and is raised as it is. Raise DatabaseUnavailable as `write`
        does; it says so if the transaction may have been committed.
        """
        ...

    async def write_apart(self, function: StatementFunction[Result]) -> Result:
        """Run a function whose statements may be committed and repeated individually.

        Each statement sees everything committed before it began, including the previous ones.
        """
        ...

    async def relay(
        self,
        take: StatementFunction[list[Item]],
        deliver: Callable[[list[Item]], Awaitable[None]],
        mark: Callable[[Connection, list[Item]], None],
    ) -> int:
        """Take rows that no other relay has taken, deliver them, then mark them; return their number.

        They stay taken until they are marked, or until this process or its connection ends.
        Marking may fail after the delivery and is then repeated.
        """
        ...

    def notify(self, connection: Connection, channel: str) -> bool:
        """Have the commit wake those who listen on a channel; return False if the database does not notify."""
        ...

    async def listen(self, channel: str, wake: Callable[[], None]) -> None:
        """Have `wake` called for notices on a channel, if the database has such; see OutboxStore.listen."""
        ...

    async def change_schema(self, function: StatementFunction[Result]) -> Result:
        """Run a function in one transaction without a time limit; the engine need not be open."""
        ...

    async def read(self, function: StatementFunction[Result]) -> Result:
        """Run a reading function; each statement sees everything committed before it."""
        ...

    def capacity(self) -> Capacity | None:
        """Return the used space and the limit of the database's disk; None if unknown."""
        ...

    def lock(self, connection: Connection, numbers: Sequence[int]) -> None:
        """Lock these sorted numbers against other transactions until the commit."""
        ...

    async def backup(self, path: str) -> None:
        """Write a consistent copy to a new file; raise BadInput if the file exists."""
        ...


class WriteFailed(Exception):
    """Carries the error of an application's function out of its transaction, whatever its class."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


_OWN_ERRORS: Final = (
    *(DataError, IntegrityError, NotSupportedError, ProgrammingError),
    *(sqlite3.DataError, sqlite3.IntegrityError),
    *(sqlite3.NotSupportedError, sqlite3.ProgrammingError),
)
"""Errors of a statement or of its values, of SQLAlchemy and of the driver: to repeat it would not help."""


@contextmanager
def unavailable(subject: str) -> Iterator[None]:
    """Translate errors of an unavailable engine to DatabaseUnavailable; programming errors pass."""
    try:
        yield
    except _OWN_ERRORS:
        raise
    except DBAPIError as error:
        raise DatabaseUnavailable(f"{subject}: {error.orig}") from error
    except FileReplaced as error:
        raise DatabaseReplaced(f"{subject}: {error}") from error
    except (sqlite3.Error, PoolTimeout, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.filename else error
        raise DatabaseUnavailable(f"{subject}: {reason}") from error
