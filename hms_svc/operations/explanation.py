"""Why a job waits, was rejected, or died: one plain sentence from recorded facts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from hms_svc.domain.batches import BatchView
from hms_svc.domain.ids import TRANSACTION_PREFIX
from hms_svc.domain.job import Lane
from hms_svc.domain.lifecycle import (
    REASON_CRASHED,
    REASON_ERROR,
    REASON_EXPIRED,
    REASON_GIVEN_UP,
    REASON_GOVERNANCE,
    REASON_ID_CONFLICT,
    REASON_LOST,
    REASON_MALFORMED,
    REASON_NO_HANDLER,
    REASON_PAYLOAD,
    REASON_REPLACED,
    REASON_TIMEOUT,
    REASON_UNIQUE,
    REASON_UPGRADE,
    State,
)
from hms_svc.domain.plain_text import duration_text, plural
from hms_svc.domain.timestamps import to_rfc3339
from hms_svc.domain.views import JobDetail, JobView, QueueView, WorkerState, WorkerView
from hms_svc.operations.batch_explanation import job_clause

POSITION_LIMIT: Final = 10_000
SILENT_SHARE: Final = 0.5
_NOBODY: Final = ": no worker is alive"


class JobFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of an explanation. `position` counts the ready jobs before this one.

    `workers` are live; `silent` are registered but not live. `lease_end` (Unix ms) is that of a
    job in processing; `lease_ms` is how long a lease lasts. `limit` is, in words, the limit with a
    key for which the job waits.
    """

    detail: JobDetail
    now_ms: int
    queue: QueueView | None = None
    workers: tuple[WorkerView, ...] = ()
    silent: tuple[WorkerView, ...] = ()
    lease_end: int | None = None
    lease_ms: int = 30_000
    position: int | None = None
    limit: str = ""
    archived: bool = False
    batch: BatchView | None = None
    unserved_days: float = 7.0

    @property
    def has_lane(self) -> bool:
        """Whether a live suspect lane serves the type."""
        type = self.detail.view.type
        return any(each.lane == Lane.SUSPECT and type in each.types for each in self.workers)


def explain(facts: JobFacts) -> str:
    """Return the sentence."""
    view = facts.detail.view
    match view.state:
        case State.SCHEDULED:
            why = f" ({view.detail})" if view.detail else ""
            text = f"waits for its time{why}: it {_due(facts)}"
        case State.QUEUED:
            text = _queued(facts)
        case State.HELD:
            text = _held(facts)
        case State.PROCESSING:
            text = _processing(facts)
        case State.RETRYING:
            text = (
                f"failed in attempt {view.attempt}{_of(view.max_attempts)} "
                f"({_failure(facts)}); its next attempt {_due(facts)}"
            )
        case State.COMPLETED:
            text = f"completed in attempt {view.attempt}{_effect(view)}{_ended(facts)}"
        case State.REJECTED:
            text = f"was rejected{_ended(facts)}: {_rejected(facts)}"
        case State.DEAD:
            text = f"died{_ended(facts)}: {_dead(facts)}"
        case State.CANCELLED:
            text = _cancelled(facts)
    where = "; its record is in the archive" if facts.archived else ""
    return f"Job {view.id} ({view.type}) {text}{where}{job_clause(view, facts.batch)}."


def _cancelled(facts: JobFacts) -> str:
    view = facts.detail.view
    if view.reason == REASON_REPLACED:
        return f"was replaced{_ended(facts)} {view.detail}, which then had its unique key, before it was claimed"
    detail = f": {view.detail}" if view.detail else ""
    return f"was cancelled by {view.by or 'an unknown operator'}{_ended(facts)}{detail}"


def _effect(view: JobView) -> str:
    if view.case_id is None:
        return ""
    verb = "committed" if view.case_id.startswith(TRANSACTION_PREFIX) else "made"
    return f" and {verb} {view.case_id}"


def _queued(facts: JobFacts) -> str:
    view, queue = facts.detail.view, facts.queue
    waited = duration_text(facts.now_ms - view.enqueued_at)
    if queue is not None and queue.paused:
        why = f" ({queue.pause_reason})" if queue.pause_reason else ""
        detail = unserved_text(queue, facts.workers).removesuffix(_NOBODY)
        nobody = "" if queue.served else f"; {detail} either"
        return (
            f"waits because queue {queue.type} was paused by {queue.paused_by or 'an unknown operator'}{why}"
            f"{nobody}"
        )
    if view.suspect and (facts.has_lane or queue is None or queue.served):
        return (
            "waits for the suspect lane, where suspect jobs run one at a time: "
            "the last worker that ran it died or lost its lease"
        )
    if queue is not None and not queue.served and queue.quiet_workers:
        return f"has waited {waited} because {unserved_text(queue, facts.workers)}"
    if queue is not None and not queue.served:
        return (
            f"has waited {waited} because {unserved_text(queue, facts.workers)}; "
            f"after {facts.unserved_days:g} days it ends as dead with the reason no_handler"
        )
    if facts.limit:
        return f"has waited {waited} for a limit that its type declares: {facts.limit}"
    if queue is not None and (limit := reached_limit(queue)) is not None:
        return (
            f"has waited {waited} for a limit that its type declares: at most "
            f"{plural(limit, 'job')} at the same time, and {queue.counts.processing} run"
        )
    if facts.position is None:
        return f"is ready and has waited {waited}"
    before = (
        plural(facts.position, "ready job")
        if facts.position < POSITION_LIMIT
        else "10,000 or more ready jobs"
    )
    serving = [each for each in facts.workers if each.claims and view.type in each.types]
    slots = sum(worker.slots for worker in serving)
    busy = sum(worker.busy for worker in serving)
    hung = sum(worker.hung for worker in serving)
    past = f", {hung} of them with functions that run on past their timeout" if hung else ""
    most = sum(worker.slots_of(view.type) for worker in serving)
    running = facts.queue.counts.processing if facts.queue is not None else 0
    limits = "" if facts.queue is None else limits_text(facts.queue)
    return (
        f"is ready and has waited {waited}, behind {before} of its type; {running} of its type "
        f"run (it may use {plural(most, 'slot')}), and {busy} of the {slots} slots that serve it are busy{past}{limits}"
    )


def reached_limit(queue: QueueView) -> int | None:
    """Return how many jobs of a type may run at the same time, if as many run; None otherwise."""
    limit = min((each.most for each in queue.limits if not each.window_ms), default=None)
    return limit if limit is not None and queue.counts.processing >= limit else None


def limits_text(queue: QueueView) -> str:
    """Return the limits that a type declares as a clause, empty if it declares none."""
    declared = [
        *map(str, queue.limits),
        *(f"{limit} for each value of a key" for limit in queue.keyed_limits),
    ]
    return f"; the type declares {' and '.join(declared)}, in the whole fleet" if declared else ""


def unserved_text(queue: QueueView, workers: Sequence[WorkerView]) -> str:
    """Return why no worker claims jobs of a queue: none is alive, none has its handler, or those that have it are quiet.

    For quiet ones among the live `workers`, the text names the operator and the reason.
    """
    if not queue.quiet_workers:
        return f"no live worker serves {queue.type}{'' if workers else _NOBODY}"
    resting = [each for each in workers if queue.type in each.types and not each.claims]
    text = "; ".join(dict.fromkeys(map(_resting_text, resting))) or "quiet or stopping"
    if queue.quiet_workers == 1:
        return f"the only live worker that serves {queue.type} claims no more jobs ({text})"
    serving = f"all {queue.quiet_workers} live workers that serve {queue.type}"
    return f"{serving} claim no more jobs ({text})"


def _resting_text(worker: WorkerView) -> str:
    """Return the state in which a worker claims nothing, with the requester and the reason."""
    state = f"{worker.lane} lane" if worker.state is WorkerState.WORKING else worker.state.value
    request = worker.request
    if request is None or request.state is not worker.state:
        return state
    return f"{state} by {request.by}{f': {request.reason}' if request.reason else ''}"


def _held(facts: JobFacts) -> str:
    view, hold = facts.detail.view, facts.detail.hold
    detail = f" ({view.detail})" if view.detail else ""
    if hold is None:
        return f"is held for a person to approve or deny{detail}"
    action, rule, _ = hold
    return (
        f"is held because governance rule {rule} requires a person to approve {action}{detail}; "
        f"hms-svc jobs approve {view.id} --hold {view.fence}, or deny"
    )


def _processing(facts: JobFacts) -> str:
    view = facts.detail.view
    since = facts.now_ms - view.started_at if view.started_at else 0
    if left := _left_behind(facts):
        return (
            f"is in processing, attempt {view.attempt}{_of(view.max_attempts)}, and its worker "
            f"{view.worker or 'of an unrecorded name'} {left}"
        )
    text = (
        f"has been processed by {view.worker or 'a worker'} for {duration_text(since)}, "
        f"attempt {view.attempt}{_of(view.max_attempts)}"
    )
    if (last := facts.detail.last_progress) is not None:
        share = "" if last.share is None else f" {last.share:.0%}"
        text += f"; its last progress is{share} {last.message!r}"
    return text


def _left_behind(facts: JobFacts) -> str:
    """Describe the worker of a job in processing if it is silent or the lease ran out; else empty."""
    view = facts.detail.view
    known = [each for each in (*facts.workers, *facts.silent) if each.id == view.worker]
    seen_at = known[0].last_seen_at if known else None
    has_lease = facts.lease_end is not None and facts.lease_end > facts.now_ms
    if has_lease and seen_at is not None and not is_silent(known[0], facts.now_ms, facts.lease_ms):
        return ""
    return silence_text(
        now_ms=facts.now_ms,
        last_seen_at=seen_at,
        lease_end=facts.lease_end,
        has_rescuer=has_rescuer(facts.workers, facts.now_ms, facts.lease_ms),
    )


def request_text(worker: WorkerView, now_ms: int) -> str:
    """Return who requested that a worker is quiet or stops, or what it has not done yet; empty otherwise."""
    request = worker.request
    if request is None or (worker.claims and worker.pending_request is None):
        return ""
    who = f"by {request.by}{f' ({request.reason})' if request.reason else ''}"
    if request.state is worker.state:
        return who
    if worker.pending_request is None:
        return ""
    return f"not yet {request.state}: requested {duration_text(now_ms - request.at)} ago {who}"


def is_silent(worker: WorkerView, now_ms: int, lease_ms: int) -> bool:
    """Return whether a worker has been silent for half a lease, two of its heartbeats."""
    return now_ms - worker.last_seen_at > lease_ms * SILENT_SHARE


def has_rescuer(workers: Iterable[WorkerView], now_ms: int, lease_ms: int) -> bool:
    """Return whether any worker is live: each one requeues jobs whose lease ran out."""
    return any(not is_silent(each, now_ms, lease_ms) for each in workers)


def silence_text(
    *, now_ms: int, last_seen_at: int | None, lease_end: int | None, has_rescuer: bool
) -> str:
    """Describe a worker that fell silent with a job in progress, from what is recorded.

    `last_seen_at` and `lease_end` (Unix ms) are None if nothing is known of them.
    """
    text = ["is no longer registered"]
    if last_seen_at is not None:
        text = [f"was last seen {duration_text(now_ms - last_seen_at)} ago"]
    if lease_end is not None and lease_end > now_ms:
        text.append(f"its lease ends in {duration_text(lease_end - now_ms)}")
    elif lease_end is not None:
        text.append(f"its lease ran out {duration_text(now_ms - lease_end)} ago")
    if not has_rescuer:
        text.append("there is no live worker to requeue it")
    elif lease_end is not None and lease_end <= now_ms:
        text.append("a live worker will requeue it")
    return "; ".join(text)


def _rejected(facts: JobFacts) -> str:
    view = facts.detail.view
    detail = view.detail or "no further detail"
    text = {
        REASON_PAYLOAD: f"its data does not match the payload model: {detail}",
        REASON_GOVERNANCE: f"governance ({view.by}) denied it: {detail}",
        REASON_UNIQUE: f"another job holds its unique key: {detail}",
    }
    return text.get(view.reason, f"validator {view.reason} rejected it: {detail}")


def _dead(facts: JobFacts) -> str:
    view = facts.detail.view
    detail = f": {view.detail}" if view.detail else ""
    tried = f"after {view.attempt}{_of(view.max_attempts)} attempts"
    text = {
        REASON_ERROR: f"its handler failed {tried} with {_failure(facts)}",
        REASON_GIVEN_UP: f"its retry policy gave up on it{detail}",
        REASON_UPGRADE: f"its payload could not be upgraded{detail}",
        REASON_TIMEOUT: f"it ran out of time {tried}{detail}",
        REASON_CRASHED: f"the process that ran it died repeatedly ({tried}){detail}",
        REASON_MALFORMED: f"the submitted bytes are not a job{detail}",
        REASON_NO_HANDLER: f"no worker serves {view.type}{detail}",
        REASON_EXPIRED: f"it expired before its first claim{detail}",
        REASON_ID_CONFLICT: f"its id was in use with other data{detail}",
        REASON_LOST: f"its record was lost{detail}",
    }
    return text.get(view.reason, f"{view.reason}{detail}")


def _failure(facts: JobFacts) -> str:
    view = facts.detail.view
    return view.failure or view.detail or "an unrecorded error"


def _due(facts: JobFacts) -> str:
    due = facts.detail.view.due_at
    if due is None:
        return "is due at a time that is not recorded"
    is_attended = has_rescuer(facts.workers, facts.now_ms, facts.lease_ms)
    if due <= facts.now_ms:
        text = f"was due at {to_rfc3339(due)}, {duration_text(facts.now_ms - due)} ago"
        then = "is about to become ready" if is_attended else "there is no live worker to run it"
        return f"{text}{' and ' if is_attended else '; '}{then}"
    nobody = "" if is_attended else "; there is no live worker now"
    return f"is due at {to_rfc3339(due)}, in {duration_text(due - facts.now_ms)}{nobody}"


def _ended(facts: JobFacts) -> str:
    finished = facts.detail.view.finished_at
    return f" at {to_rfc3339(finished)}" if finished else ""


def _of(max_attempts: int | None) -> str:
    return f" of {max_attempts}" if max_attempts else ""
