"""The broker as the runtime sees it: who owns which job, and what becomes of it.

Every method that takes many is one atomic step for each job and one round
trip for all. Every method raises BrokerUnavailable where the engine cannot be
reached; then nothing is known to have happened, and calling again is safe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol

import msgspec

from hms_svc.domain.job import ClaimedJob, Job, Lane, LeaseToken, log_fields
from hms_svc.domain.lifecycle import State
from hms_svc.domain.outcome import Disposition
from hms_svc.domain.views import WorkerState


class Acceptance(StrEnum):
    """How an enqueue was answered."""

    ACCEPTED = "accepted"
    EXISTS = "exists"
    CONFLICT = "conflict"


class Enqueued(msgspec.Struct, frozen=True):
    """The answer for one job: `state` is what its record says after the call."""

    job_id: str
    acceptance: Acceptance
    state: State


def conflicts(answers: Iterable[Enqueued]) -> list[str]:
    """Return the ids of jobs that were not taken in, as another job has their id."""
    return [answer.job_id for answer in answers if answer.acceptance is Acceptance.CONFLICT]


class ServedType(msgspec.Struct, frozen=True):
    """A type this worker has a handler for, with the attempts its policy allows.

    `room` is how many jobs of it are claimed at most; None is as many as the limit of the claim.
    With 0 nothing is claimed, and nothing of the type ends a wait for work.
    """

    type: str
    max_attempts: int
    capacity: int | None = None


class ClaimRequest(msgspec.Struct, frozen=True):
    """What a worker asks for: at most `limit` jobs of these types, leased for `lease_ms`."""

    worker: str
    types: tuple[ServedType, ...]
    limit: int
    lease_ms: int
    lane: Lane = Lane.NORMAL


class KeyClaim(msgspec.Struct, frozen=True):
    """A claimed job that was accepted without a unique key, and the key that its type gives it."""

    claimed: ClaimedJob
    unique_key: str


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """One finished claim and what becomes of the job; times are Unix milliseconds.

    `traceparent` is the job's, for the events that tell of it.
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
        """Return what a log record about it carries, as its `extra`."""
        return log_fields(self.token.job_id, self.type, self.attempt)


class CancelRequest(msgspec.Struct, frozen=True):
    """Somebody asks the worker that holds the job to cancel it."""

    job_id: str
    by: str
    detail: str


class Signals(msgspec.Struct, frozen=True):
    """What a worker must hear between claims: cancellations, and whether suspects wait.

    `wanted` is the state that an operator wants it to be in, None where nobody has asked for one.
    """

    cancel: tuple[CancelRequest, ...]
    suspects_wait: bool
    wanted: WorkerState | None = None


class ReapReport(msgspec.Struct, frozen=True):
    """What one round of the reaper found: jobs rescued as suspects, now dead, or cancelled.

    `undecided` are (id, fence) of those that somebody has asked to cancel, and of
    which it was not said whether they have a case: they were not changed.
    """

    rescued: int = 0
    dead: int = 0
    cancelled: int = 0
    undecided: tuple[tuple[str, int], ...] = ()


class KnownEffects(msgspec.Struct, frozen=True):
    """Whether a job has a case after the claim of this fence, which can commit nothing any more."""

    fence: int
    has_case: bool


NOTHING_KNOWN: Final[Mapping[str, KnownEffects]] = MappingProxyType({})


class ProgressReport(msgspec.Struct, frozen=True):
    """One progress line of a running job; a share is from 0 to 1. `log`: a line of its log, no share."""

    token: LeaseToken
    at: int
    share: float | None
    message: str
    log: bool = False


class WorkerRegistration(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker shows itself; renewed by its heartbeat.

    `hung` of its busy slots are held by functions that run on past the end of their job.
    `schedules` are types with cron texts, `priorities` the served types that declare a
    priority other than 0, with it, `type_slots` those that may take less than all slots, with how many.
    One that says nothing of its `state` is of a version that knows no other.
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
    state: WorkerState = WorkerState.WORKING


class LeaseKeeper(Protocol):
    """The blocking side of a lease: used from one thread, which no event loop can hold up."""

    def extend(self, tokens: Sequence[LeaseToken], lease_ms: int) -> list[LeaseToken]:
        """Renew leases from now, and give back the tokens that no longer own their job."""
        ...

    def register(self, worker: WorkerRegistration) -> None:
        """Show or renew a worker in the register; a stale entry vanishes by itself.

        From then on jobs that name no priority are accepted with the one that their
        type declares here, whoever submits them; a served type that declares none
        has 0 again. It stays declared when the worker is gone.
        """
        ...

    def close(self) -> None:
        """Release the connection."""
        ...


class Producer(Protocol):
    """Accepts jobs: what a running job needs of the broker."""

    async def enqueue(self, jobs: Sequence[Job]) -> list[Enqueued]:
        """Accept the jobs; see `Broker.enqueue`."""
        ...


class Broker(Producer, Protocol):
    """Accepts jobs, leases them out, and records what became of them."""

    async def open(self) -> None:
        """Connect, and prepare what the engine needs. Called once, before anything else."""
        ...

    async def close(self) -> None:
        """Release every connection, thread and file. Leases are left to expire."""
        ...

    async def enqueue(self, jobs: Sequence[Job]) -> list[Enqueued]:
        """Accept the jobs, durably; answers stand in the order of `jobs`.

        Up to 500 jobs, and 4 MiB of them, are accepted all or none. More are accepted in
        several such steps, between which others are served: after an outage the first
        may be accepted, and calling again with the same jobs answers EXISTS for those.
        A job with `not_before` in the future is `scheduled`, else `queued`. An id
        that is known with the same type and data is answered EXISTS and with
        other data CONFLICT; neither is written. A `unique_key` that a job of the
        type holds which is not terminal makes the new record `rejected`,
        `unique`, naming the older. A job that names no priority has the one that
        its type declares, by `Heart.register`, else 0; its record says which.
        Workers of every process are woken.
        """
        ...

    async def enqueue_raw(self, type: str, items: Sequence[bytes]) -> list[Enqueued]:
        """Take foreign bytes unread, as a front end's push does.

        An item that is no job of this type becomes a dead letter, `malformed`,
        with its bytes kept (beyond 4 MiB its digest, length and first 64 KiB);
        an id in use with other data one with a new id, `id_conflict`.
        """
        ...

    async def claim(self, request: ClaimRequest) -> list[ClaimedJob]:
        """Lease ready jobs: by priority, then by the time they became ready; types take turns.

        Gives fewer than there are where they are large, one at least: the next claim gives more.
        Each claim has a new fence and counts the attempt, in the same step.
        Paused types are passed over. A job whose `expires_at` has passed before
        its first claim becomes dead, `expired`, instead, and is no reason to
        give fewer: a thousand of them hide no live job behind them. Suspects are
        given only to the suspect lane, which gets nothing else.
        """
        ...

    async def take_keys(self, claims: Sequence[KeyClaim]) -> list[str | None]:
        """Assign claimed jobs their unique keys, where no other job of the type holds them.

        For each, in this order, gives the id of the job that holds the key: its own
        where the key now stands in its record (or stood there already), to be freed when
        it ends; that of another which has not ended, and then nothing was written; None
        where the token no longer owns its job. Calling again after a lost reply gives
        the same.
        """
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> list[LeaseToken]:
        """Record what became of claimed jobs: record, counters, events and lease in one step each.

        Gives back the tokens that no longer own their job; for those nothing
        was written. Terminal states keep `reason`, `by`, `detail`, `result`;
        `retrying` and `scheduled` wait for `delay_ms` by the broker's clock. A job without a case that
        would go on, and that an operator has asked to cancel during this claim,
        is `cancelled` instead, in the operator's words, unless the disposition is
        uncertain. A no of governance forgets the approvals of the job.
        """
        ...

    async def raise_fences(self, above: int) -> None:
        """Issue only fences above this one from now on: the database has seen it.

        A broker restored from an older copy would hand out fences again that
        the database has kept, and its workers could write nothing.
        """
        ...

    async def abandon(self, worker: str) -> int:
        """End the leases of a worker process that is known to be gone (its parent saw it die).

        The jobs are the reaper's at its next round. Gives their number.
        """
        ...

    async def promote(self, limit: int) -> int:
        """Make scheduled and retrying jobs ready whose time has come; gives their number."""
        ...

    async def reap(
        self, limit: int, known: Mapping[str, KnownEffects] = NOTHING_KNOWN
    ) -> ReapReport:
        """Take jobs from workers whose lease has run out, in one conditional step each.

        The attempt is given back and the job becomes a suspect; one that died
        in the suspect lane keeps its count, and after 5 such deaths, or at its
        last attempt, is dead, `crashed`. One that an operator has asked to cancel
        is `cancelled` instead of rescued where `known` says that it has no case;
        where neither that nor its record says so, it is left and reported.
        """
        ...

    async def signals(self, worker: str, types: Sequence[str]) -> Signals:
        """Return what this worker must hear between claims. Cheap where nothing happened."""
        ...

    async def record_progress(self, reports: Sequence[ProgressReport]) -> None:
        """Append to the streams of running jobs; lost leases are ignored.

        A stream keeps the last 200 lines of its job, progress and log together.
        """
        ...

    def lease_keeper(self) -> LeaseKeeper:
        """Return a connection of its own for a heartbeat thread; open it on that thread by use."""
        ...

    async def unregister(self, worker: str) -> None:
        """Take a worker out of the register."""
        ...

    async def wait_for_work(self, timeout_seconds: float) -> bool:
        """Sleep until something may have happened, or the timeout; True where it may have.

        Never takes anything: a wait that is cancelled loses nothing.
        """
        ...
