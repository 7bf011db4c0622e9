"""A transaction with tables of an application: what the database runs, and what it stores."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

import msgspec

from hms_svc.domain.event import Event
from hms_svc.domain.job import Job
from hms_svc.domain.verdict import Permission

Result = TypeVar("Result")


class TransactionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction, keyed by (job id, key), of the claim with this fence.

    A transaction that begins after `valid_until` (lease clock, ms) is refused. One that takes
    longer than `seconds` is rolled back.
    """

    job_id: str
    key: str
    fence: int
    valid_until: int
    seconds: float


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What is committed with the application's statements: events, jobs, and of a job the value (JSON).

    `vetted` is what governance has allowed, as in an EffectRequest.
    """

    value: bytes = b""
    events: tuple[Event, ...] = ()
    follow_ups: tuple[Job, ...] = ()
    vetted: tuple[Permission, ...] = ()


class Statements(Protocol):
    """Runs the application's statements inside the open transaction, until the transaction ends.

    Parameters are `$1`, `$2` and so on. Raises the driver's error, after which the transaction can
    only be rolled back; TransactionError for what is not allowed; DatabaseUnavailable.
    If not `is_on_loop`, nothing of it suspends: it runs on the thread that holds the write lock.
    """

    is_on_loop: bool

    async def fetch(self, sql: str, arguments: Sequence[Any]) -> list[Any]:
        """Run one statement; return its rows, whose columns are found by position and by name."""
        ...

    async def execute(self, sql: str, arguments: Sequence[Any]) -> int:
        """Run one statement; return how many rows it wrote or read, 0 for other statements."""
        ...

    async def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each row of parameters."""
        ...

    async def call(self, function: Callable[[], Any], *, is_async: bool) -> Any:
        """Call the application's function; a plain one where it may block."""
        ...

    def wait(self, statement: Coroutine[Any, Any, Result]) -> Result:
        """Run a statement from the plain function that `call` has called."""
        ...


Write: TypeAlias = Callable[[Statements], Coroutine[Any, Any, Written]]
"""Runs an application's function in a transaction. It is called again after a deadlock."""


class TransactionStore(Protocol):
    """Transactions of producers: without a job, so without a fence and a record of them."""

    async def run(self, write: Write, *, seconds: float) -> bool:
        """Commit the statements of `write` with the events and jobs that it returns.

        Return whether these wait for the next round of a relay: no relay is woken by this commit, and
        there are some. An error of `write` rolls back and is raised as it is. `write` may run again after a
        deadlock, never after a commit whose outcome is unknown: then raise DatabaseUnavailable,
        which says so.
        """
        ...
