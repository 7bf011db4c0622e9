"""The broker interface that the runtime uses: accept, claim, settle and recover jobs.

A method that takes several jobs is one atomic step for each job and one round
trip for all. Every method raises BrokerUnavailable if the engine cannot be
reached; whether anything happened is then unknown, and calling again is safe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol

import msgspec

from hms_svc.domain.batches import NewBatch
from hms_svc.domain.job import ClaimedJob, Job, Lane, LeaseToken, log_fields
from hms_svc.domain.job_limits import Limit
from hms_svc.domain.lifecycle import State
from hms_svc.domain.outcome import Disposition
from hms_svc.domain.views import WorkerState
from hms_svc.ports.key_claims import KeyClaim, PlaceClaim
from hms_svc.ports.schedules import ScheduleKeeper
from hms_svc.ports.step_results import Kept, StepRecord


class Acceptance(StrEnum):
    """The result of an enqueue."""

    ACCEPTED = "accepted"
    EXISTS = "exists"
    CONFLICT = "conflict"


class Enqueued(msgspec.Struct, frozen=True):
    """The result for one job: `state` is that of its record after the call.

    `held_by` is the job that holds its unique key, if this one was rejected for that; `replaced` is
    the waiting job that was cancelled for this one.
    """

    job_id: str
    acceptance: Acceptance
    state: State
    held_by: str | None = None
    replaced: str | None = None


def conflicts(answers: Iterable[Enqueued]) -> list[str]:
    """Return the ids of jobs that were not accepted because another job has their id."""
    return [answer.job_id for answer in answers if answer.acceptance is Acceptance.CONFLICT]


class EnqueuedBatch(msgspec.Struct, frozen=True):
    """The result of submitting a batch.

    With CONFLICT either the id `taken` belongs to a job that is not of this batch, or, if it is
    empty, a batch with other jobs has the batch's id. With EXISTS the operator `closed_by` may have closed
    the batch before `left_out` of its members, more than 0 then, were accepted.
    """

    acceptance: Acceptance
    taken: str = ""
    left_out: int = 0
    closed_by: str = ""


class ServedType(msgspec.Struct, frozen=True):
    """A type that this worker has a handler for, with the attempts that its policy allows.

    `capacity` is how many jobs of it are claimed at most; None is as many as the limit of the
    claim.
    With 0 no job of the type is claimed, and none ends a wait for work. Of types that all have jobs ready, one
    with twice the `weight` gets twice as many claimed.
    """

    type: str
    max_attempts: int
    capacity: int | None = None
    weight: int = 1


class ClaimRequest(msgspec.Struct, frozen=True):
    """A worker's claim: at most `limit` jobs of these types, leased for `lease_ms`."""

    worker: str
    types: tuple[ServedType, ...]
    limit: int
    lease_ms: int
    lane: Lane = Lane.NORMAL


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """One finished claim and what becomes of the job; times are Unix milliseconds.

    `traceparent` is the job's, for the events about it.
    """

    token: LeaseToken
    type: str
    disposition: Disposition
    worker: str
    attempt: int
    started_at: int
    ended_at: int
    traceparent: str | None = None

    @property
    def log_fields(self) -> dict[str, str | int]:
        """Return the `extra` of a log record about it."""
        return log_fields(self.token.job_id, self.type, self.attempt)


class CancelRequest(msgspec.Struct, frozen=True):
    """A request to the worker that runs the job to cancel it."""

    job_id: str
    by: str
    detail: str


class Signals(msgspec.Struct, frozen=True):
    """What a worker polls for between claims: cancel requests, and whether suspects wait.

    `wanted` is the state that an operator has requested for it, None if there is no request.
    """

    cancel: tuple[CancelRequest, ...]
    suspects_wait: bool
    wanted: WorkerState | None = None


class ReapReport(msgspec.Struct, frozen=True):
    """The result of one round of the reaper: jobs rescued as suspects, now dead, or cancelled.

    `undecided` are (id, fence) of those that have a cancel request and of which it is not
    known whether they have a case: they were not changed.
    """

    rescued: int = 0
    dead: int = 0
    cancelled: int = 0
    undecided: tuple[tuple[str, int], ...] = ()


class KnownEffects(msgspec.Struct, frozen=True):
    """Whether a job has a case after the claim with this fence, which can no longer commit anything."""

    fence: int
    has_case: bool


NOTHING_KNOWN: Final[Mapping[str, KnownEffects]] = MappingProxyType({})


class ProgressReport(msgspec.Struct, frozen=True):
    """One progress line of a running job, with a share from 0 to 1, or with `log` a line of its log."""

    token: LeaseToken
    at: int
    share: float | None
    message: str
    log: bool = False


class WorkerRegistration(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's entry in the register; renewed by its heartbeat.

    `hung` is how many of its busy slots are held by functions that still run after their job was
    settled.
    `schedules` are types with their cron texts. `priorities` are the served types that declare a
    priority other than 0. `type_slots` are the types that may take fewer than all slots, with how
    many. `limits` are the served types that declare limits for the whole type, `keyed_limits` those
    that declare limits with a key, each at its place among all limits of the type.
    An entry without `state` was written by a version that knows only the default.
    """

    id: str
    host: str
    pid: int
    slots: int
    busy: int
    types: tuple[str, ...]
    started_at: int
    hung: int = 0
    lane: Lane = Lane.NORMAL
    schedules: tuple[tuple[str, str], ...] = ()
    priorities: tuple[tuple[str, int], ...] = ()
    type_slots: tuple[tuple[str, int], ...] = ()
    limits: tuple[tuple[str, tuple[Limit, ...]], ...] = ()
    keyed_limits: tuple[tuple[str, tuple[Limit | None, ...]], ...] = ()
    state: WorkerState = WorkerState.WORKING


class LeaseKeeper(Protocol):
    """Renews leases with blocking calls from one thread, so that a blocked event loop cannot delay it."""

    def extend(self, tokens: Sequence[LeaseToken], lease_ms: int) -> list[LeaseToken]:
        """Renew leases from now; return the tokens that no longer own their job."""
        ...

    def register(self, worker: WorkerRegistration) -> None:
        """Add or renew a worker in the register; a stale entry expires by itself.

        From then on jobs submitted without a priority get the one that their type declares
        here; a served type that declares none is back at 0. Claims of every worker keep to the
        limits that were registered last, and jobs that wait for a limit with a key are let in by
        them. All stay when the worker is gone.
        """
        ...

    def close(self) -> None:
        """Release the connection."""
        ...


class Producer(Protocol):
    """Accepts jobs: the part of the broker that a running job needs."""

    async def enqueue(self, jobs: Sequence[Job]) -> list[Enqueued]:
        """Accept the jobs; see `Broker.enqueue`."""
        ...

    async def enqueue_batch(self, batch: NewBatch) -> EnqueuedBatch:
        """Accept a batch; see `Broker.enqueue_batch`."""
        ...


class Broker(Producer, ScheduleKeeper, Protocol):
    """Accepts jobs, leases them to workers, and records their outcome."""

    async def open(self) -> None:
        """Connect and prepare the engine. Called once, before anything else."""
        ...

    async def close(self) -> None:
        """Release all connections, threads and files. Leases are left to expire."""
        ...

    async def enqueue(self, jobs: Sequence[Job]) -> list[Enqueued]:
        """Accept the jobs, durably; results are in the order of `jobs`.

        Up to 500 jobs, of at most 4 MiB together, are accepted all or none. More are accepted in
        several such steps, with other calls served between them: after an outage only the first
        jobs may be accepted, and calling again with the same jobs answers EXISTS for those.
        A job with `not_before` in the future is `scheduled`, otherwise `queued`. If the id
        exists with the same type and data, the answer is EXISTS, with other data CONFLICT;
        neither is written. If an unfinished job of the type holds the same `unique_key`, the
        new record is `rejected` with the reason `unique` and names the older job. A job
        without a priority gets the one that its type declares by `LeaseKeeper.register`, or 0,
        and its record contains it. Workers of every process are notified.
        """
        ...

    async def enqueue_batch(self, batch: NewBatch) -> EnqueuedBatch:
        """Accept the members of a batch as `enqueue` does, and keep what is to follow them.

        Up to 500 members, of at most 4 MiB together, are accepted all or none, more in several such
        steps: the batch is open until the last one, or until `Control.close_batch`. A batch that is not
        open answers EXISTS, and nothing is written; one that is continues where the submission broke off. A member whose id
        another job has answers CONFLICT before anything of its step is written.

        From then on each step that ends a job of the batch, whatever ends it, also makes the next
        follow-up if the batch is not open and no other job of it is unfinished, and if all have
        completed where the batch requires that. A follow-up is a job that was submitted then; it
        is made once. Its record is kept as long as that of any of its jobs.
        """
        ...

    async def enqueue_raw(self, type: str, items: Sequence[bytes]) -> list[Enqueued]:
        """Accept foreign bytes without parsing them first, as a front end's push does.

        An item that is not a job of this type becomes a dead letter, `malformed`, with its bytes
        kept (beyond 4 MiB only the digest, the length and the first 64 KiB). One whose id is in
        use with other data becomes a dead letter with a new id, `id_conflict`.
        """
        ...

    async def claim(self, request: ClaimRequest) -> list[ClaimedJob]:
        """Lease ready jobs: by priority, then by the time they became ready; the types take turns by their weights.

        If jobs are large, fewer are returned than there are, but at least one; the next claim
        returns more.
        Each claim gets a new fence and counts the attempt, in the same step.
        The limits of a whole type (`LeaseKeeper.register`) are kept to in that step: a job
        that has to wait for them stays as it is.
        Paused types are skipped. A job whose `expires_at` has passed before
        its first claim becomes dead, `expired`, instead, and does not count towards
        `limit`: a thousand of them do not hide a live job behind them. Only the suspect lane
        gets suspects, and it gets nothing else.
        """
        ...

    async def take_keys(self, claims: Sequence[KeyClaim]) -> list[str | None]:
        """Assign claimed jobs their unique keys if no other job of the type holds them.

        Return for each, in order, the id of the job that holds the key: its own if the key is
        now in its record (or was already), to be freed when it ends; the id of another unfinished
        job, and then nothing was written; None if the token no longer owns its job. Calling
        again after a lost reply returns the same.
        """
        ...

    async def take_places(self, claims: Sequence[PlaceClaim]) -> list[bool]:
        """Let claimed jobs in by limits with a key; return for each, in order, whether it may run.

        A job that may run counts for all of its limits: for one of running jobs until it stops
        running, whatever ends that, for a rate as long as its window. One for which a limit has no
        room is queued as if it had not been claimed, without a trace in its history, and is claimed
        again when the limit has room; False is also the answer for a token that no longer owns its
        job. Calling again after a lost reply returns the same.
        """
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> list[LeaseToken]:
        """Settle claimed jobs: record, counters, events and lease in one step for each.

        Return the tokens that no longer own their job; for those nothing was written.
        Terminal states keep `reason`, `by`, `detail` and `result`; `retrying` and `scheduled`
        wait for `delay_ms` by the broker's clock. If an operator requested a cancel during this
        claim, a job without a case that would otherwise run again becomes `cancelled` with the
        operator's details, unless the disposition is uncertain. A denial by governance clears
        the approvals of the job.
        """
        ...

    async def keep_steps(self, steps: Sequence[StepRecord]) -> list[Kept]:
        """Keep results of steps durably, in place of those of the same name; return for each whether.

        They are removed with the job, and when it is erased.
        """
        ...

    async def steps_of(self, job_ids: Sequence[str]) -> list[dict[str, bytes]]:
        """Return the kept results of each job, by name."""
        ...

    async def raise_fences(self, above: int) -> None:
        """Issue only fences above this one from now on, because the database has seen it.

        A broker restored from an older copy would otherwise issue fences again that the
        database has recorded, and its workers could not write anything.
        """
        ...

    async def abandon(self, worker: str) -> int:
        """End the leases of a worker process that is known to be dead (its parent saw it exit).

        The reaper takes the jobs in its next round. Return their number.
        """
        ...

    async def promote(self, limit: int) -> int:
        """Make due scheduled and retrying jobs ready; return their number."""
        ...

    async def reap(
        self, limit: int, known: Mapping[str, KnownEffects] = NOTHING_KNOWN
    ) -> ReapReport:
        """Recover jobs whose lease has expired, in one conditional step each.

        The attempt is not counted and the job becomes a suspect. One that crashed in the suspect
        lane keeps its count, and after 5 such crashes, or at its last attempt, is dead, `crashed`.
        One with a cancel request becomes `cancelled` if `known` says that it has no case; if
        neither `known` nor its record says, it is left unchanged and reported.
        """
        ...

    async def signals(self, worker: str, types: Sequence[str]) -> Signals:
        """Return the requests for this worker. Cheap if there are none."""
        ...

    async def record_progress(self, reports: Sequence[ProgressReport]) -> None:
        """Append to the streams of running jobs; reports with a lost lease are ignored.

        A stream keeps the last 200 lines of its job, counting progress and log together.
        """
        ...

    def lease_keeper(self) -> LeaseKeeper:
        """Return a lease keeper for a heartbeat thread; its connection is opened there on first use."""
        ...

    async def unregister(self, worker: str) -> None:
        """Remove a worker from the register."""
        ...

    async def wait_for_work(self, timeout_seconds: float) -> bool:
        """Wait until there may be work, or for the timeout; return True if there may be work.

        Never consumes anything: a cancelled wait loses nothing.
        """
        ...
