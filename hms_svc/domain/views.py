"""Read models for operators: what console, CLI and HTTP API show. Times are Unix milliseconds."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from hms_svc.domain.job import Lane
from hms_svc.domain.job_limits import Limit
from hms_svc.domain.lifecycle import State


class WorkerState(StrEnum):
    """The state of a worker: it claims jobs; finishes its running jobs and claims no more; or does that and exits."""

    WORKING = "working"
    QUIET = "quiet"
    STOPPING = "stopping"


class WorkerRequest(msgspec.Struct, frozen=True):
    """The state that an operator requested of a worker, with the requester, the reason and the time (Unix ms)."""

    state: WorkerState
    by: str
    reason: str
    at: int


class QueueCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many jobs of one type are in each state; `intake` are foreign pushes not yet processed."""

    queued: int = 0
    scheduled: int = 0
    held: int = 0
    processing: int = 0
    retrying: int = 0
    rejected: int = 0
    dead: int = 0
    cancelled: int = 0
    completed: int = 0
    intake: int = 0


class QueueView(msgspec.Struct, frozen=True, kw_only=True):
    """One queue. `oldest_queued_at` is when the longest-waiting ready job was enqueued.

    `next_due_at` is when its next scheduled job becomes ready. `counters` are the running totals of `stats:{type}`: accepted, claimed,
    completed, failed, retried, rejected, dead, cancelled, discarded.
    `intake_paused` implies `paused`: the HTTP servers accept no new jobs either.
    `overdue` counts the jobs in processing whose lease has run out, the first of them at `overdue_since`.
    `served` is whether a live worker claims from it; `quiet_workers` have its handler, but claim nothing.
    `faults` has a sentence for each key of the queue that other programs write to and that has the wrong Redis type.
    `limits` are those of the whole type, `keyed_limits` those with a key; `limited` queued jobs wait for one of
    these. `suspects` queued jobs are repeated alone, by the suspect lane.
    """

    type: str
    counts: QueueCounts
    counters: dict[str, int]
    oldest_queued_at: int | None
    next_due_at: int | None
    paused: bool
    paused_by: str
    pause_reason: str
    served: bool
    intake_paused: bool = False
    faults: tuple[str, ...] = ()
    quiet_workers: int = 0
    overdue: int = 0
    overdue_since: int | None = None
    limits: tuple[Limit, ...] = ()
    keyed_limits: tuple[Limit, ...] = ()
    limited: int = 0
    suspects: int = 0


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """One job in a list. `cause` names the failure group of a dead, rejected or retrying job.

    `fence` is that of its last claim, 0 before the first; `approvals` is the number
    of its holds that humans have approved.
    """

    id: str
    type: str
    state: State
    attempt: int
    enqueued_at: int
    reason: str
    by: str
    detail: str
    data: bytes
    priority: int = 0
    max_attempts: int | None = None
    due_at: int | None = None
    finished_at: int | None = None
    started_at: int | None = None
    worker: str = ""
    fence: int = 0
    suspect: bool = False
    case_id: str | None = None
    failure: str = ""
    unique_key: str | None = None
    cause: str = ""
    approvals: int = 0
    batch: str | None = None


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One claim of a job. `error` is the class and message, `traceback` the rest."""

    attempt: int
    started_at: int
    ended_at: int | None
    worker: str
    fence: int
    error: str = ""
    traceback: str = ""
    log: str = ""


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """One step in the history of a job. Archived jobs hold the trigger as `cause`, its older name."""

    at: int
    source: State | None
    target: State
    trigger: str = msgspec.field(name="cause")
    detail: str = ""


class ProgressView(msgspec.Struct, frozen=True, kw_only=True):
    """One progress report of a handler: a share from 0 to 1 if it gave one, and its text.

    With `log` it is a line of the handler's log.
    """

    number: int
    at: int
    share: float | None
    message: str
    log: bool = False


class JobDetail(msgspec.Struct, frozen=True, kw_only=True):
    """All that the broker knows about one job. `envelope` is its wire form, `raw` the foreign bytes as received."""

    view: JobView
    result: bytes | None
    attempts: tuple[AttemptView, ...]
    history: tuple[Transition, ...]
    progress: tuple[ProgressView, ...]
    envelope: bytes
    hold: tuple[str, str, str] | None = None
    retried_from: str | None = None
    raw: bytes | None = None
    raw_length: int = 0
    raw_digest: str = ""

    @property
    def last_progress(self) -> ProgressView | None:
        """The newest report that is not a log line."""
        return next((line for line in reversed(self.progress) if not line.log), None)


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """One worker process: `busy` of its `slots` run the jobs `jobs`, or are `hung`.

    A hung slot is occupied by a function that runs on past the end of its job.

    `lease_ends` (Unix ms) has for each of the jobs when its lease ends or ended.
    `schedules` are the types it submits by cron, with the texts of their schedules; `type_slots` the
    types that are limited to fewer than all slots, with the limit. `state` is the worker's last
    report; `request` is what an operator has requested of it, None if nothing.
    """

    id: str
    host: str
    pid: int
    slots: int
    busy: int
    jobs: tuple[str, ...]
    types: tuple[str, ...]
    started_at: int
    last_seen_at: int
    lane: str
    schedules: tuple[tuple[str, str], ...] = ()
    hung: int = 0
    type_slots: tuple[tuple[str, int], ...] = ()
    lease_ends: tuple[int, ...] = ()
    state: WorkerState = WorkerState.WORKING
    request: WorkerRequest | None = None

    @property
    def claims(self) -> bool:
        """Whether it takes new jobs, according to its last report; a suspect lane takes none."""
        return self.state is WorkerState.WORKING and self.lane == Lane.NORMAL

    @property
    def pending_request(self) -> WorkerRequest | None:
        """The request of an operator that it has not applied yet."""
        is_pending = self.request is not None and self.request.state is not self.state
        return self.request if is_pending and self.state is not WorkerState.STOPPING else None

    def slots_of(self, type: str) -> int:
        """Return how many of its slots jobs of a type may use; 0 if it does not serve it."""
        return dict(self.type_slots).get(type, self.slots) if type in self.types else 0


class JobPage(msgspec.Struct, frozen=True):
    """One page of a list; `cursor` continues it, None at the end.

    `looked` counts records read, `work` the characters that the filter examined in them.
    """

    jobs: tuple[JobView, ...]
    cursor: str | None
    examined: int = 0
    work: int = 0


RECENT_SLOT_MS: Final = 300_000
"""The interval that each number of `FailureGroup.recent` counts; intervals begin at multiples of it."""


class FailureGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs that are dead or rejected for one cause, or retrying after failures with it.

    `id` is what the filter's `cause:` takes. `pattern` is the message with its
    variables taken out, `error` the error's class. `recent` counts the jobs that
    arrived in each five minutes of the last hour, oldest first, the current ones last.

    For retrying jobs it counts their failures, and `first_at` is the first since the
    group was last empty for an hour. `next_at` is when the first of them is due, None in other states.
    """

    id: str
    state: State
    type: str
    reason: str
    by: str
    error: str
    pattern: str
    count: int
    first_at: int
    last_at: int
    newest_detail: str
    newest_id: str
    recent: tuple[int, ...]
    next_at: int | None = None


class ActOutcome(msgspec.Struct, frozen=True):
    """What an action did to one job: done, or why not."""

    job_id: str
    done: bool
    why: str = ""


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One audit row: actor, action and subject, and the link of the hash chain once sealed."""

    number: int = 0
    at: int
    actor: str
    action: str
    subject: str
    detail: bytes = b"{}"
    link: int | None = None
    digest: str = ""


class AuditFault(msgspec.Struct, frozen=True):
    """One fault of the audit chain: its link, its kind, and a sentence."""

    link: int
    fault: str
    text: str = ""
