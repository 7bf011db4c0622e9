"""The running job, as its handler and validators see it."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec

from hms_svc.domain.errors import (
    ActionDenied,
    ActionHeld,
    DatabaseUnavailable,
    NoActiveJob,
    Outage,
)
from hms_svc.domain.job import ClaimedJob, Job, log_fields
from hms_svc.domain.strict_json import JsonValue, decode
from hms_svc.domain.timestamps import to_rfc3339
from hms_svc.domain.trace_context import TraceContext, context_of, with_context
from hms_svc.domain.verdict import DENIED, Permission
from hms_svc.ports.broker import Producer
from hms_svc.ports.stores import StoredEffect
from hms_svc.ports.tracing import AttemptSpan
from hms_svc.sdk.job_steps import NO_STEPS, JobSteps, StepKeeper

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from hms_svc.sdk.dao import Dao
    from hms_svc.sdk.governance_gate import Gate
    from hms_svc.sdk.transactions import Transaction

    PayloadT_co = TypeVar("PayloadT_co", covariant=True, default=Any)
else:  # a default, for `RunningJob` without brackets, is for type checkers: Python has it from 3.13 on
    from typing import TypeVar

    PayloadT_co = TypeVar("PayloadT_co", covariant=True)

P = ParamSpec("P")
ValueT = TypeVar("ValueT")
ProgressSink = Callable[["RunningJob", float | None, str, bool], None]
"""Receives a report of a job: share, message, and whether it is a line of its log."""
MAX_LOG_CHARACTERS = 64 * 1024
UNTRACED: Final = nullcontext()


class RunningJob(Generic[PayloadT_co]):
    """One attempt in progress. Handlers read it, report through it, and use DAO and gate with it.

    `RunningJob[Application]` is one whose type declares `payload=Application`.

    `deadline_ms` is for people, on the wall clock; `expires_ms` is the same
    moment on the lease clock, which changes of the system time do not move.
    `recorded` has the valid permissions that are recorded with its case, `vetted` all
    permissions, including those of this run, by action and payload digest;
    `unanswered` the questions, likewise, that were not allowed yet. `interrupted`: the
    runtime has cancelled the run, and `awaited` too if a plain function waits for
    that. `uncertain`: a commit whose answer was lost. `overran`: its functions returned after the
    deadline; `thread`: that of the plain function that runs, 0 if there is none. `transactions` has
    the keys of those that this attempt has committed or found committed.
    """

    __slots__ = (
        "_data",
        "_decoder",
        "_log",
        "_log_size",
        "_payload",
        "_sink",
        "_step_keeper",
        "_steps",
        "awaited",
        "broker",
        "cancel_by",
        "cancel_detail",
        "claimed",
        "dao",
        "deadline_ms",
        "effects",
        "event_ordinal",
        "expires_ms",
        "gov",
        "interrupted",
        "lease_until",
        "loop",
        "overran",
        "pending_commits",
        "recalled",
        "recorded",
        "revoked",
        "thread",
        "timed_out",
        "trace",
        "transactions",
        "unanswered",
        "uncertain",
        "validating",
        "verdict",
        "vetted",
    )

    def __init__(
        self,
        claimed: ClaimedJob,
        *,
        dao: Dao,
        gov: Gate,
        broker: Producer,
        deadline_ms: int,
        expires_ms: int,
        sink: ProgressSink,
        loop: asyncio.AbstractEventLoop,
        effects: tuple[StoredEffect, ...] = (),
        trace: AttemptSpan | None = None,
        step_keeper: StepKeeper = NO_STEPS,
    ) -> None:
        self.claimed = claimed
        self.dao = dao
        self.gov = gov
        self.broker = broker
        self.trace = trace
        self.deadline_ms = deadline_ms
        self.expires_ms = expires_ms
        self.lease_until = claimed.lease_until
        self.effects = effects
        self.recalled = bool(effects)
        self.recorded: tuple[Permission, ...] = ()
        self.vetted: dict[tuple[str, str], Permission] = {}
        if effects and DENIED not in claimed.approvals:
            self.recorded = tuple(yes for each in effects for yes in each.vetted)
            self.vetted = {(yes.action, yes.digest): yes for yes in self.recorded}
        self.unanswered: dict[tuple[str, str], Exception] = {}
        self._payload: Any = None
        self.verdict: ActionDenied | ActionHeld | None = None
        self.revoked = False
        self.timed_out = False
        self.overran = False
        self.thread = 0
        self.interrupted = False
        self.awaited: Future[Any] | None = None
        self.validating = False
        self.uncertain: Outage | None = None
        self.pending_commits = 0
        self.transactions: tuple[str, ...] = ()
        self.loop = loop
        self.event_ordinal = 0
        self.cancel_by = ""
        self.cancel_detail = ""
        self._data: JsonValue = None
        self._sink = sink
        self._step_keeper = step_keeper
        self._steps: JobSteps | None = None
        self._decoder: codecs.IncrementalDecoder | None = None
        self._log: list[str] = []
        self._log_size = 0

    @property
    def id(self) -> str:
        """The job's id."""
        return self.claimed.job.id

    @property
    def type(self) -> str:
        """The job's type."""
        return self.claimed.job.type

    @property
    def data(self) -> Any:
        """The payload as it was submitted, decoded once."""
        if self._data is None:
            self._data = decode(self.claimed.job.data)
        return self._data

    @property
    def payload(self) -> PayloadT_co:
        """The payload as the instance of its model; the plain data if no model is declared."""
        payload: PayloadT_co = self.data if self._payload is None else self._payload
        return payload

    @payload.setter
    def payload(self, instance: Any) -> None:
        self._payload = instance

    @property
    def attempt(self) -> int:
        """The number of this attempt within its run, from 1."""
        return self.claimed.attempt

    @property
    def log_fields(self) -> dict[str, str | int]:
        """Return what a log record about this attempt carries, as its `extra`."""
        return log_fields(self.id, self.type, self.attempt)

    @property
    def max_attempts(self) -> int:
        """The number of attempts after which the job is dead."""
        return self.claimed.max_attempts

    @property
    def enqueued_at(self) -> str:
        """When the job was accepted, RFC 3339."""
        return to_rfc3339(self.claimed.job.enqueued_at)

    @property
    def deadline(self) -> str:
        """When the job times out, RFC 3339."""
        return to_rfc3339(self.deadline_ms)

    @property
    def meta(self) -> dict[str, Any]:
        """The producer's own object, empty if none was given."""
        raw = self.claimed.job.meta
        return decode(raw) if raw else {}

    @property
    def batch(self) -> str | None:
        """The id of the batch that the job belongs to, if it belongs to one."""
        return self.claimed.job.batch

    @property
    def lost_commit(self) -> Outage | None:
        """Why the database may hold an effect of this run that is not among `effects`, if it may."""
        if self.uncertain is None and self.pending_commits:
            return DatabaseUnavailable(f"job {self.id} ended while a commit of it was under way")
        return self.uncertain

    @property
    def cancel_requested(self) -> bool:
        """Whether cancellation of this job was requested, or its lease is gone."""
        return self.revoked or bool(self.cancel_by)

    def transaction(
        self, write: Callable[[Transaction], Coroutine[Any, Any, ValueT]], key: str = ""
    ) -> Coroutine[Any, Any, ValueT]:
        """Run `write` in one transaction of the database, once per (job id, key), and return its value.

        The statements of `write`, the jobs and events that it adds, its value (JSON, at most 1 MiB)
        and the effect (job id, key) commit together, under the job's fence. If an earlier claim of the
        job has committed them, `write` is not called, and the stored value is returned. It is
        called again after a deadlock or a lost connection.

        An error of `write` rolls back and is raised. Raises LeaseLost, TransactionError for what is not
        possible inside, EffectConflict if this attempt has used the key, and as `insert_case` does.
        """
        return self.dao.transaction(self, write, key)

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Open a span of this attempt's trace, if there is one."""
        return UNTRACED if self.trace is None else self.trace.stage(name)

    def carry_trace(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Return jobs that are submitted from here with this one's trace, unless they have their own."""
        given = self.trace_context()
        return jobs if given is None else [with_context(job, given) for job in jobs]

    def trace_context(self) -> TraceContext | None:
        """Return the current trace context, for jobs and requests that leave from here."""
        return context_of(self.claimed.job) if self.trace is None else self.trace.context

    def step(
        self, name: str, function: Callable[P, Any], /, *given: P.args, **named: P.kwargs
    ) -> Coroutine[Any, Any, Any]:
        """Call a function once, and return its result; a later attempt gets the kept result without a call.

        The function is plain (it runs on a thread) or `async`. Its result is kept as JSON, at most
        1 MiB, before this returns, and removed with the job; a job has at most 1,000 steps. If the
        worker dies before that, the next attempt calls the function again. Raises LeaseLost, and
        BadInput for a result that cannot be kept.
        """
        return self._own_steps().run(name, function, *given, **named)

    def step_blocking(
        self, name: str, function: Callable[P, Any], /, *given: P.args, **named: P.kwargs
    ) -> Any:
        """Call a plain function as `step` does, from a plain handler."""
        return self._own_steps().run_blocking(name, function, *given, **named)

    @property
    def cursor(self) -> Any:
        """Where this attempt begins and how far it is: what an earlier one or this one has set, at first None.

        Set it to any JSON value of at most 64 KiB. It is kept within a fraction of a second, and at
        the latest when the attempt ends.
        """
        return self._own_steps().cursor

    @cursor.setter
    def cursor(self, value: Any) -> None:
        self._own_steps().cursor = value

    def _own_steps(self) -> JobSteps:
        if self._steps is None:
            self._steps = JobSteps(self.claimed, self.loop, self._step_keeper)
        return self._steps

    def progress(self, share: float | None, message: str = "") -> None:
        """Report how far the work is: a share from 0 to 1 (or None), and a message."""
        if share is not None and not 0.0 <= share <= 1.0:
            raise ValueError(f"progress share {share!r} is not between 0 and 1")
        self._sink(self, None if share is None else float(share), message[:1000], False)

    def log(self, line: str) -> None:
        """Keep a line with the job (64 KiB an attempt; the rest is dropped, and the log says so).

        Clients that follow the job see it at once, up to 1,000 characters of it.
        """
        if self._log_size < MAX_LOG_CHARACTERS:
            self._sink(self, None, line[:1000], True)
        self.capture(line + "\n")

    def capture(self, text: str) -> None:
        """Keep printed text with the job."""
        if self._log_size >= MAX_LOG_CHARACTERS:
            return
        if len(text) > (free := MAX_LOG_CHARACTERS - self._log_size):
            text = text[:free] + "\n… the rest was dropped: over 64 KiB\n"
        self._log.append(text)
        self._log_size += len(text)

    def capture_bytes(self, given: bytes, encoding: str) -> None:
        """Keep printed bytes with the job, as text; a character may come in several calls."""
        if self._decoder is None:
            self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        self.capture(self._decoder.decode(given))

    def log_text(self) -> str:
        """Return all that was kept."""
        if self._decoder is not None:
            self.capture(self._decoder.decode(b"", final=True))
        return "".join(self._log)


_current: ContextVar[RunningJob | None] = ContextVar("hms_svc_job", default=None)
enter_job = _current.set
find_job = _current.get


_workers = 0
forked = False
"""Whether this process was forked from one with a worker: a variable, since each job checks it."""


def is_worker_here() -> bool:
    """Return whether a worker runs in this process, or ran in the one that forked it."""
    return _workers > 0


def leave_worker() -> RunningJob | None:
    """Forget, in a forked child, the job that runs in the parent, and return it."""
    global forked
    forked = True
    job = _current.get()
    _current.set(None)
    return job


@contextmanager
def worker_running() -> Iterator[None]:
    """While the block runs, reject calls of the public API without a job in this process."""
    global _workers
    _workers += 1
    try:
        yield
    finally:
        _workers -= 1


def require_job(name: str) -> None:
    """Raise NoActiveJob for a call without a job in a process that runs a worker."""
    if forked:
        raise NoActiveJob(
            f"{name}: this process was forked by a handler, and the job belongs to its parent: return the "
            "result to the parent, and call it there. To call it without a job on purpose: "
            f"{outside_name(name)}"
        )
    if _workers:
        raise NoActiveJob(
            f"{name}: no job is running on this thread, and this process runs a worker: call it "
            "inside a handler; a thread that a handler starts has its job if it runs in "
            f"contextvars.copy_context(). To call it without a job on purpose: {outside_name(name)}"
        )


def outside_name(name: str) -> str:
    """Return the name of the call that needs no job: `dao.outside.insert_case` for `dao.insert_case`."""
    module, _, call = name.rpartition(".")
    return f"{module}.outside.{call}"


def current_job() -> RunningJob:
    """Return the job whose handler or validator is running; raises NoActiveJob outside of one."""
    job = _current.get()
    if job is None:
        raise NoActiveJob("no job is running here: call this inside a handler or validator")
    return job
