"""The changes that operators can make in a broker. Permissions and audit belong to operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import ActOutcome, JobDetail, WorkerRequest
from hms_svc.ports.inspection import Capacity


class Act(StrEnum):
    """The acts of an operator on jobs."""

    RETRY = "retry"
    DISCARD = "discard"
    CANCEL = "cancel"
    APPROVE = "approve"
    DENY = "deny"


UNDOABLE: Final = frozenset({Act.RETRY, Act.DISCARD, Act.CANCEL, Act.DENY})
"""Acts that `Control.undo` can revert. An approval is recorded in the database and stays."""


NOT_KNOWN: Final = "is not known"
"""Why nothing was done for an id that no job of the broker has."""


def must_end_first(state: State) -> str:
    """Return why an unfinished job is not erased."""
    return f"a job that is {state} cannot be erased: cancel it first"


def batch_must_end_first(batch_id: str) -> str:
    """Return why a job that is to follow a batch is not erased."""
    return f"a job that is to follow batch {batch_id} cannot be erased: cancel the jobs of the batch first"


BATCH_IS_WHOLE: Final = "is not open: all of its members are accepted"
"""Why a batch is not closed: no more members are to come."""
BATCH_IS_CLOSED: Final = "was closed already, by {by}"
"""Why a batch is not closed: an operator did so before."""
MOVED_ON: Final = "has moved on since it was read"
"""Why nothing was done to a job that was claimed again after the operator saw it."""
NOT_SEEN: Final = "was claimed before: its effects must be checked first"
"""Why a job that was claimed before is not cancelled, denied or approved without `Seen`."""


class SeenClaim(msgspec.Struct, frozen=True):
    """What was known about a job when an act on it was decided.

    `fence` is that of its last claim, 0 before the first. It also identifies a hold,
    because a claim ends in at most one. `case_id` is the job's case in the database;
    `hold` is the `Permission.key` that a held job waits for.
    """

    fence: int
    case_id: str | None = None
    hold: str = ""


class ActRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One act on many jobs. `batch` names it for undo; `by` and `note` go into the job's record.

    A job in `seen` is changed only if it is still as it was seen.
    """

    act: Act
    job_ids: tuple[str, ...]
    by: str
    note: str = ""
    batch: str = ""
    seen: Mapping[str, SeenClaim] = msgspec.field(default_factory=dict)


class ClosedBatch(msgspec.Struct, frozen=True):
    """What became of a batch that was to be closed: if `why` is empty, it is.

    `accepted` members were accepted before, which are all that it has now, and `left_out` were not.
    """

    why: str = ""
    accepted: int = 0
    left_out: int = 0


class ActBatch(msgspec.Struct, frozen=True):
    """Acts that can be undone together: their name, and the time (Unix ms) of the newest.

    `job_id` is one of its `jobs`.
    """

    name: str
    at: int
    job_id: str
    jobs: int


class Eviction(Protocol):
    """Frees memory in an engine that has a limit, by removing finished jobs. All steps are bounded."""

    async def capacity(self) -> Capacity | None:
        """Return how much of the limit is used; None if no limit is set."""
        ...

    async def ended_first(self, *, limit: int) -> list[JobDetail]:
        """Return completed jobs in the order in which they ended; if none is left, cancelled ones.

        At most `limit`, and fewer if they are large.
        """
        ...

    async def trim_handled(self, *, limit: int) -> int:
        """Remove the oldest events, at most `limit`; return how many were removed.

        Events of the last minute stay, and all from the first that a consumer group has
        not handled.
        """
        ...


class Control(Protocol):
    """The changes that operators make, each job in one atomic step.

    `eviction` is None if the engine has no memory limit.
    """

    eviction: Eviction | None

    async def act(self, request: ActRequest) -> list[ActOutcome]:
        """Do one act on each job, or return why not; results are in the order of the ids.

        RETRY starts a new run of a terminal job that is not completed or erased, and makes
        a scheduled or retrying one run now. CANCEL ends a waiting job and asks the worker of
        a running one to stop; if that run does not finish the job (it fails, is released or
        snoozed, or its worker dies), the job is cancelled then, unless it has a case. DISCARD
        hides a job that is not running; its batch can be undone for a limited time. APPROVE
        queues a held job and records its hold as approved; DENY rejects it (`governance`) and
        clears all its approvals; both require the hold that was seen. CANCEL of a waiting job
        that was ever claimed also requires what was seen: one that has a case becomes `dead`
        instead of cancelled or rejected, with the same reason.
        """
        ...

    async def undo(
        self, batch: str, *, after: str = "", limit: int = 250, dry: bool = False
    ) -> list[ActOutcome]:
        """Restore up to `limit` jobs of a batch to what they were before it, or return why not.

        They are processed in the order of their ids, from the one after the id `after`: call
        again with the last id until fewer than `limit` are returned. A batch of RETRY, CANCEL,
        DISCARD or DENY, or of a purge, can be undone for a limited time; an approval cannot be
        undone. A job that has not changed since gets back its state, place in the order, times,
        attempts and outcome in one step; its events stay on the bus. A job stays as it is, and
        stays in its batch, if it was claimed or acted on since, was running when its cancel was
        requested, or has a unique key that another job holds now. With `dry` nothing is
        changed, and the result is what would happen.
        """
        ...

    async def undoable(self, batch: str, *, after: str = "") -> int:
        """Count the jobs of a batch after the id `after` that `undo` would return."""
        ...

    async def last_batch(self) -> str | None:
        """Return the newest batch that can still be undone and has not been processed by `undo`."""
        ...

    async def batches(self, *, limit: int, name: str = "") -> list[ActBatch]:
        """Return the batches that `undo` has not processed yet, newest first.

        With a `name` only that one, even if it was processed and some of its jobs
        stayed as they were.
        """
        ...

    async def waiting(self, type: str, *, limit: int) -> list[tuple[str, int]]:
        """Return up to `limit` waiting jobs of a type (queued, scheduled, retrying), next first.

        Each is a job id with the fence of its last claim, 0 before the first.
        """
        ...

    async def erase(self, job_ids: Sequence[str]) -> list[ActOutcome]:
        """Erase the personal data of jobs, or return why not; results are in the order of the ids.

        Data becomes `domain.erasure.ERASED`. Result, foreign bytes, meta, unknown fields, unique
        key, texts, output and progress are removed, and so is what undo kept of the job. Id, type,
        state, reason, who decided it, times, attempts, fence and case stay. Finished jobs are
        erased, and discarded ones, which cannot be restored then; any other must be cancelled
        first. The job is grouped among the failures by its reason alone. Its texts on the bus, and
        services' events about it, are blanked, even for an unknown id, or removed if the engine
        cannot change published events. Erasing again changes nothing.
        """
        ...

    async def pause(self, type: str, *, by: str, reason: str, intake: bool = False) -> None:
        """Stop claiming jobs of a type, known or not. Running jobs continue.

        With `intake` the HTTP API (jobs and envelopes) accepts no new jobs of it either; the
        servers enforce that, `Broker.enqueue` still accepts. Pausing a paused type replaces the
        earlier pause, including its `intake`.
        """
        ...

    async def resume(self, type: str) -> None:
        """Resume claiming and accepting jobs of a paused type, and notify the workers."""
        ...

    async def pause_schedule(self, type: str, *, by: str, reason: str) -> bool:
        """Skip the runs of a schedule from now on; return whether it is known. `by` is not empty."""
        ...

    async def resume_schedule(self, type: str) -> bool:
        """Let the runs of a paused schedule begin that come due from now on; return whether it is known."""
        ...

    async def close_batch(self, batch_id: str, *, by: str) -> ClosedBatch:
        """Declare that an open batch gets no more members than it has: it is like any other then, in one step.

        Its next follow-up is made in the same step if all its members have ended. Without any job, as all
        were removed and none follows, its record is removed. `by` is not empty.
        """
        ...

    async def ask_worker(self, worker: str, request: WorkerRequest) -> bool:
        """Record a request to a worker, replacing an earlier one, and notify the worker.

        Return False if it is not in the register. The request is kept as long as the worker is
        there.
        The worker gets it from `Broker.signals` and reports its resulting state in the register.
        """
        ...

    async def to_archive(self, *, older_than: int, limit: int) -> list[JobDetail]:
        """Return rejected and dead jobs that ended before `older_than` (Unix ms), oldest first.

        An unreadable record is skipped and named in the log; it does not count towards `limit`.
        """
        ...

    async def forget(self, job_ids: Sequence[str]) -> None:
        """Remove the records of terminal jobs that are in the archive."""
        ...

    async def trim(self, *, limit: int) -> int:
        """Remove what is past its retention: completed and cancelled jobs, discarded jobs, old events.

        If there are more completed jobs than are kept, those that ended first go first,
        over all types. Return the number of records removed; call again while it
        equals `limit`.
        """
        ...

    async def bury_unserved(self, *, older_than: int, limit: int) -> int:
        """Dead-letter (`no_handler`) jobs ready since before `older_than` whose type no worker serves."""
        ...

    async def backup(self, path: str) -> None:
        """Write a consistent copy of the engine's data to a new file, if the engine supports it."""
        ...
