"""What the packages of persistence need of an engine, and its errors in our words."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

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
from hms_svc.sqlite.opened import FileReplaced

Result = TypeVar("Result")
Item = TypeVar("Item")
StatementFunction = Callable[[Connection], Result]
Lock = Callable[[Connection, Sequence[int]], None]
"""Engine.lock, as the statement rooms are handed it."""


class Engine(Protocol):
    """Runs functions over a connection. They never commit, roll back, or keep the connection.

    `where` names the database in messages, without secrets. `embedded` engines
    are migrated by the program that opens them; in `gapless` ones a number that
    is missing is a row that was removed.
    """

    kind: str
    where: str
    embedded: bool
    gapless: bool

    async def open(self) -> None:
        """Connect. Raises DatabaseUnavailable."""
        ...

    async def close(self) -> None:
        """Release every connection and thread; again does nothing."""
        ...

    async def write(
        self, function: StatementFunction[Result], *, repeatable: bool = True
    ) -> Result:
        """Run a function in one transaction, and answer once it is committed.

        An error of the function rolls back what it did, and is raised. The
        function may be run again: after a deadlock, or when the connection was
        lost; also around COMMIT, when nobody knows whether that happened, unless
        it is not `repeatable` (without a unique key of its own to answer by).
        Raises DatabaseUnavailable, after which a commit may or may not have
        happened.
        """
        ...

    async def write_apart(self, function: StatementFunction[Result]) -> Result:
        """Run a function whose statements may each commit alone, and be repeated alone.

        Each statement sees what was committed when it began, its predecessors included.
        """
        ...

    async def relay(
        self,
        take: StatementFunction[list[Item]],
        deliver: Callable[[list[Item]], Awaitable[None]],
        mark: Callable[[Connection, list[Item]], None],
    ) -> int:
        """Take rows that nobody else is relaying, deliver them, then mark them; gives their number.

        They stay taken until they are marked, or this process or its
        connection is gone. Marking may fail after the delivery: it is repeated.
        """
        ...

    async def change_schema(self, function: StatementFunction[Result]) -> Result:
        """Run a function in one transaction that may take long; the engine need not be open."""
        ...

    async def read(self, function: StatementFunction[Result]) -> Result:
        """Run a reading function, each statement over what is committed by then."""
        ...

    def capacity(self) -> Capacity | None:
        """Return what the database uses of what its disk gives; None where that is not known."""
        ...

    def lock(self, connection: Connection, numbers: Sequence[int]) -> None:
        """Exclude other transactions that lock one of these sorted numbers, until the commit."""
        ...

    async def backup(self, path: str) -> None:
        """Write a consistent copy to a new file. Raises BadInput where there is one already."""
        ...


@contextmanager
def unavailable(subject: str) -> Iterator[None]:
    """Raise DatabaseUnavailable for what an engine raises when it cannot serve; our bugs stay bugs."""
    try:
        yield
    except (DataError, IntegrityError, NotSupportedError, ProgrammingError):
        raise
    except DBAPIError as error:
        raise DatabaseUnavailable(f"{subject}: {error.orig}") from error
    except FileReplaced as error:
        raise DatabaseReplaced(f"{subject}: {error}") from error
    except (sqlite3.Error, PoolTimeout, OSError) as error:
        told = error.strerror if isinstance(error, OSError) and error.filename else error
        raise DatabaseUnavailable(f"{subject}: {told}") from error
