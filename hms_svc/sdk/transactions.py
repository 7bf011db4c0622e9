"""A transaction with tables of an application: what its function gets, and how it is run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from inspect import isawaitable, iscoroutine
from typing import Any, Final, Protocol, TypeVar

from hms_svc.domain.errors import BadInput, HandlerExited, MalformedJson, TransactionError
from hms_svc.domain.ids import RESERVED_PREFIX, new_job_id
from hms_svc.domain.job import Job
from hms_svc.domain.plain_text import plural
from hms_svc.domain.strict_json import check_strict, encode
from hms_svc.ports.clock import Clock
from hms_svc.ports.transactions import Statements, TransactionRequest, Written
from hms_svc.sdk.attempt import Attempt
from hms_svc.sdk.effects import (
    check_follow_up,
    further_events,
    in_transaction,
    lease_lost,
    may_write,
)
from hms_svc.sdk.source_places import bare_name
from hms_svc.sdk.value_checks import is_async, not_a_job

ValueT = TypeVar("ValueT")
MOST_SECONDS: Final = 5.0
"""How long a transaction may take: the embedded database is locked for all others meanwhile."""
MAX_VALUE_BYTES: Final = 1024 * 1024


class Enqueueable(Protocol):
    """An `hms_svc.Job`, in either form."""

    envelope: Job


class _Drafts:
    """What both forms of a transaction collect for the commit."""

    def __init__(self, statements: Statements, job: Attempt | None, subject: str) -> None:
        self._job = job
        self._subject = subject
        self._statements = statements
        self._jobs: list[Job] = []
        self._events: list[Mapping[str, Any]] = []
        self.unfinished = 0
        """Statements that were called and have not ended."""
        self.has_ended = False

    def enqueue(self, *jobs: Enqueueable) -> None:
        """Enqueue jobs with the commit: delivered at least once afterwards, each under its id.

        Raises MalformedJob for one that no producer may submit, TransactionError if the transaction has ended.
        """
        self._check_running("tx.enqueue")
        for job in jobs:
            envelope = getattr(job, "envelope", None)
            if not isinstance(envelope, Job):
                raise not_a_job("tx.enqueue", job, "tx.enqueue(*jobs)")
            check_follow_up(envelope, self._job)
            self._jobs.append(envelope)

    def event(self, type: str, data: Any = None, *, key: str | None = None) -> None:
        """Publish an event with the commit.

        In a job, `key` makes its id stable, by default its number in the job; without a job each call
        of the function has new ids.
        """
        self._check_running("tx.event")
        draft = {"type": type, "data": data}
        self._events.append(draft if key is None else {**draft, "key": key})

    def _check_running(self, call: str) -> None:
        if self.has_ended:
            raise TransactionError(f"the transaction has ended: call {call} inside its function")

    def check_awaited(self) -> None:
        """Raise TransactionError for a statement that was not awaited."""
        if self.unfinished:
            raise TransactionError(
                f"{plural(self.unfinished, 'statement')} without await in the transaction: "
                "write await before each call of tx that runs one"
            )

    def written(self, now_ms: int, value: bytes = b"") -> Written:
        """Return what is to be committed."""
        job = self._job
        events = further_events(job, self._subject, self._events, now_ms)
        if job is None:
            return Written(events=tuple(events), follow_ups=tuple(self._jobs))
        return Written(
            value=value,
            events=tuple(events),
            follow_ups=tuple(job.carry_trace(self._jobs)),
            vetted=tuple(job.vetted[question] for question in sorted(job.vetted)),
        )


class Transaction(_Drafts):
    """An open transaction, in an `async def` function.

    Parameters of statements are `$1`, `$2` and so on, on every database. An error of a statement is
    the driver's own, and rolls everything back, even if it is caught. A row has its columns by
    position and by name.
    """

    def execute(self, sql: str, *arguments: Any) -> Coroutine[Any, Any, int]:
        """Run one statement; return how many rows it wrote or read."""
        return self._awaited(partial(self._statements.execute, sql, arguments))

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> Coroutine[Any, Any, None]:
        """Run one statement for each row of parameters."""
        return self._awaited(partial(self._statements.execute_many, sql, list(rows)))

    def fetch(self, sql: str, *arguments: Any) -> Coroutine[Any, Any, list[Any]]:
        """Run one statement; return its rows."""
        return self._awaited(partial(self._statements.fetch, sql, arguments))

    def fetchrow(self, sql: str, *arguments: Any) -> Coroutine[Any, Any, Any]:
        """Run one statement; return its first row, None if there is none."""
        return self._awaited(partial(self._first, sql, arguments))

    def fetchval(self, sql: str, *arguments: Any) -> Coroutine[Any, Any, Any]:
        """Run one statement; return the first column of its first row, None if there is none."""
        return self._awaited(partial(self._first_value, sql, arguments))

    async def _first(self, sql: str, arguments: Sequence[Any]) -> Any:
        return next(iter(await self._statements.fetch(sql, arguments)), None)

    async def _first_value(self, sql: str, arguments: Sequence[Any]) -> Any:
        row = await self._first(sql, arguments)
        return None if row is None else row[0]

    def _awaited(self, statement: Callable[[], Awaitable[ValueT]]) -> Coroutine[Any, Any, ValueT]:
        """Return a statement to be awaited: one that is not when the function returns is an error."""
        self.unfinished += 1
        return self._run(statement)

    async def _run(self, statement: Callable[[], Awaitable[ValueT]]) -> ValueT:
        try:
            return await statement()
        finally:
            self.unfinished -= 1


class BlockingTransaction(_Drafts):
    """An open transaction, in a plain function; see Transaction."""

    def execute(self, sql: str, *arguments: Any) -> int:
        """Run one statement; return how many rows it wrote or read."""
        return self._statements.wait(self._statements.execute(sql, arguments))

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each row of parameters."""
        self._statements.wait(self._statements.execute_many(sql, list(rows)))

    def fetch(self, sql: str, *arguments: Any) -> list[Any]:
        """Run one statement; return its rows."""
        return self._statements.wait(self._statements.fetch(sql, arguments))

    def fetchrow(self, sql: str, *arguments: Any) -> Any:
        """Run one statement; return its first row, None if there is none."""
        return next(iter(self.fetch(sql, *arguments)), None)

    def fetchval(self, sql: str, *arguments: Any) -> Any:
        """Run one statement; return the first column of its first row, None if there is none."""
        row = self.fetchrow(sql, *arguments)
        return None if row is None else row[0]


class _Run:
    """Runs the function of one transaction; `stop` ends it early, and it is rolled back."""

    def __init__(self, function: Callable[[Any], Any], clock: Clock) -> None:
        if not callable(function):
            raise BadInput(
                f"transaction: {function!r:.80} is not a function that takes the transaction"
            )
        self._function = function
        self._is_async = is_async(function)
        self._clock = clock
        self._task: asyncio.Task[Any] | None = None
        self._is_stopped = False

    def stop(self) -> None:
        """End the function if it runs on the loop; elsewhere it ends at its next statement."""
        self._is_stopped = True
        if self._task is not None:
            self._task.cancel()

    async def _value(
        self, statements: Statements, job: Attempt | None, subject: str
    ) -> tuple[_Drafts, Any]:
        """Run the function; return what it has collected, and its value."""
        form = Transaction if self._is_async else BlockingTransaction
        tx = form(statements, job, subject)
        running = statements.call(partial(self._call, tx), is_async=self._is_async)
        try:
            with in_transaction():
                value = await (self._on_loop(running) if statements.is_on_loop else running)
        finally:
            tx.has_ended = True
        return tx, value

    def _call(self, tx: Transaction | BlockingTransaction) -> Any:
        return self._awaited(tx) if self._is_async else self._called(tx)

    async def _awaited(self, tx: Transaction | BlockingTransaction) -> Any:
        try:
            return await self._function(tx)
        except (SystemExit, KeyboardInterrupt) as error:  # the loop would end with it
            raise HandlerExited.of(error) from error

    def _called(self, tx: Transaction | BlockingTransaction) -> Any:
        try:
            result = self._function(tx)
        except (SystemExit, KeyboardInterrupt) as error:
            raise HandlerExited.of(error) from error
        if isawaitable(result):
            if iscoroutine(result):
                result.close()
            raise TransactionError(
                f"{bare_name(self._function)} is a plain function and returned an awaitable: "
                "declare it with async def, or return its value"
            )
        return result

    async def _on_loop(self, running: Any) -> Any:
        self._task = asyncio.ensure_future(running)
        try:
            return await self._task
        finally:
            self._task = None


class TransactionRun(_Run):
    """The transaction of a job."""

    def __init__(self, job: Attempt, function: Callable[[Any], Any], clock: Clock) -> None:
        super().__init__(function, clock)
        self._job = job

    def request(self, key: str) -> TransactionRequest:
        """Return what the database has to know about it."""
        job, now = self._job, self._clock.lease_ms()
        return TransactionRequest(
            job_id=job.id,
            key=key,
            fence=job.claimed.token.fence,
            valid_until=job.lease_until,
            seconds=max(0.0, min(MOST_SECONDS, (job.expires_ms - now) / 1000)),
        )

    async def write(self, statements: Statements) -> Written:
        """Run the function, and return what is to be committed; raise what forbids the commit."""
        job = self._job
        tx, value = await self._value(statements, job, job.id)
        may_write(job)
        if self._is_stopped or self._clock.lease_ms() >= job.lease_until:
            raise lease_lost(job.id)
        tx.check_awaited()
        return tx.written(self._clock.now_ms(), _encoded(value))


class ProducerRun(_Run):
    """A transaction without a job; `value` is what its function returned, as it is."""

    def __init__(self, function: Callable[[Any], Any], clock: Clock) -> None:
        super().__init__(function, clock)
        self._subject = f"{RESERVED_PREFIX}outside:{new_job_id()}"
        self.value: Any = None

    async def write(self, statements: Statements) -> Written:
        """Run the function, and return what is to be committed; raise what forbids the commit."""
        tx, self.value = await self._value(statements, None, self._subject)
        if self._is_stopped:
            raise asyncio.CancelledError
        tx.check_awaited()
        return tx.written(self._clock.now_ms())


def _encoded(value: Any) -> bytes:
    try:
        check_strict(value)
    except MalformedJson as error:
        raise MalformedJson(f"the value of the transaction is not JSON: {error}") from error
    raw = encode(value)
    if len(raw) > MAX_VALUE_BYTES:
        message = (
            f"the value of the transaction has {len(raw)} bytes; the limit is {MAX_VALUE_BYTES}"
        )
        raise MalformedJson(message)
    return raw
