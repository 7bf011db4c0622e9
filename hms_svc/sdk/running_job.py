"""The running job, as its handler and validators see it."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, cast

from hms_svc.domain.errors import NoActiveJob
from hms_svc.domain.job import ClaimedJob, log_fields
from hms_svc.domain.strict_json import JsonValue, decode
from hms_svc.domain.timestamps import to_rfc3339
from hms_svc.ports.broker import Producer
from hms_svc.ports.stores import StoredEffect
from hms_svc.ports.tracing import AttemptSpan
from hms_svc.sdk.attempt import Attempt
from hms_svc.sdk.job_context import running
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


class RunningJob(Attempt, Generic[PayloadT_co]):
    """One attempt in progress. Handlers read it, report through it, and use DAO and gate with it.

    `RunningJob[Application]` is one whose type declares `payload=Application`.

    `deadline_ms` is for people, on the wall clock; `expires_ms` is the same moment on the lease clock.
    `interrupted`: the runtime has cancelled the run, and `awaited` too if a plain function waits for
    that. `overran`: its functions returned after the deadline; `thread`: that of the plain function
    that runs, 0 if there is none.
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
        "dao",
        "deadline_ms",
        "gov",
        "interrupted",
        "loop",
        "overran",
        "recalled",
        "thread",
        "timed_out",
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
        super().__init__(claimed, expires_ms=expires_ms, effects=effects, trace=trace)
        self.dao = dao
        self.gov = gov
        self.broker = broker
        self.deadline_ms = deadline_ms
        self.recalled = bool(effects)
        self._payload: Any = None
        self.timed_out = False
        self.overran = False
        self.thread = 0
        self.interrupted = False
        self.awaited: Future[Any] | None = None
        self.loop = loop
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


enter_job: Callable[[RunningJob | None], object] = running.set
find_job = cast("Callable[[], RunningJob | None]", running.get)  # `enter_job` takes nothing else


def current_job() -> RunningJob:
    """Return the job whose handler or validator is running; raises NoActiveJob outside of one."""
    job = find_job()
    if job is None:
        raise NoActiveJob("no job is running here: call this inside a handler or validator")
    return job
