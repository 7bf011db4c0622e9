"""Why a queue makes no progress, and what fails in a group: one plain sentence from recorded facts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hms_svc.domain.errors import UnknownId
from hms_svc.domain.plain_text import duration_text, plural
from hms_svc.domain.timestamps import to_rfc3339
from hms_svc.domain.views import RECENT_SLOT_MS, FailureGroup, QueueView, WorkerView
from hms_svc.operations.explanation import limits_text, reached_limit, unserved_text
from hms_svc.ports.clock import Clock
from hms_svc.ports.inspection import Inspection


class QueueWhys:
    """The part of the operator service that explains queues; `_inspection` and `_clock` come from the whole."""

    _inspection: Inspection
    _clock: Clock

    async def why_queue(self, type: str) -> str:
        """Return one plain sentence on why the queue of a type makes no progress; UnknownId for an unknown one."""
        queues, workers = await asyncio.gather(
            self._inspection.queues([type]), self._inspection.workers()
        )
        if not queues:
            raise UnknownId(f"no queue {type!r}")
        return explain_queue(queues[0], workers, self._clock.now_ms())

    async def why_group(self, cause: str) -> str:
        """Return one plain sentence on what fails in a group, and since when; UnknownId for an unknown one."""
        for group in await self._inspection.failures():
            if group.id == cause:
                queues, workers = await asyncio.gather(
                    self._inspection.queues([group.type]), self._inspection.workers()
                )
                queue = queues[0] if queues else None
                return explain_group(group, self._clock.now_ms(), queue, workers)
        raise UnknownId(
            f"no job is in failure group {cause} now: those that failed may be running again"
        )


def explain_queue(queue: QueueView, workers: Sequence[WorkerView], now_ms: int) -> str:
    """Return the sentence for a queue. `workers` are all live ones."""
    waiting = queue.counts.queued + queue.counts.intake
    if queue.faults:
        text = queue.faults[0]
    elif queue.paused:
        text = _paused(queue)
    elif waiting == 0:
        text = "has no ready job"
    elif not queue.served:
        text = _unserved(queue, workers, now_ms)
    else:
        text = _served(queue, workers, now_ms)
    return f"Queue {queue.type} {text}{_further_counts(queue, now_ms)}."


def explain_group(
    group: FailureGroup,
    now_ms: int,
    queue: QueueView | None = None,
    workers: Sequence[WorkerView] = (),
) -> str:
    """Return the sentence for a failure group; `queue` is that of its type, `workers` all live ones."""
    cause = group.pattern or group.newest_detail
    failure = f"{group.error}: {cause}" if group.error and cause else group.error or cause
    by = f" by {group.by}" if group.by and group.by != group.reason else ""
    are = "is" if group.count == 1 else "are"
    is_failing = group.next_at is not None
    state = "failing and will be retried" if is_failing else group.state.value
    text = (
        f"{plural(group.count, 'job')} of {group.type} {are} "
        f"{state} ({group.reason}{by}){f': {failure}' if failure else ''}; the first "
        f"{'failed' if is_failing else 'since'} "
        f"{to_rfc3339(group.first_at)}, {duration_text(now_ms - group.first_at)} ago, the newest "
        f"{duration_text(now_ms - group.last_at)} ago{_next_attempt(group, now_ms, queue, workers)}"
    )
    hour, newest = sum(group.recent), group.recent[-1] if group.recent else 0
    came = plural(hour, "attempt") + " failed" if is_failing else f"{hour:,} came"
    lately = duration_text(max(now_ms % RECENT_SLOT_MS, 1000))
    return f"{text}; {came} in the last hour, {newest:,} of them in the last {lately}."


def _next_attempt(
    group: FailureGroup, now_ms: int, queue: QueueView | None, workers: Sequence[WorkerView]
) -> str:
    """Describe when the first of retrying jobs is due, and what keeps it from running then."""
    if group.next_at is None:
        return ""
    ahead = group.next_at - now_ms
    due = (
        f"is due in {duration_text(ahead)}" if ahead > 0 else f"was due {duration_text(-ahead)} ago"
    )
    if queue is not None and queue.paused:
        due += f", but the queue is paused by {queue.paused_by or 'an unknown operator'}"
    elif queue is not None and not queue.served:
        due += f", but {unserved_text(queue, workers)}"
    return f", the next attempt {due}"


def _paused(queue: QueueView) -> str:
    why = f" ({queue.pause_reason})" if queue.pause_reason else ""
    intake = ", and new jobs are rejected over HTTP" if queue.intake_paused else ""
    total = queue.counts.queued + queue.counts.intake
    waiting = f"{_parts(queue)} {'waits' if total == 1 else 'wait'}{_limits_waited_for(queue)}"
    return f"was paused by {queue.paused_by or 'an unknown operator'}{why}{intake}; {waiting}"


def _ready(queue: QueueView) -> int:
    """Count the jobs that the next free slot could take."""
    counts = queue.counts
    return max(0, counts.queued + counts.intake - queue.limited - queue.suspects)


def _parts(queue: QueueView) -> str:
    """Return how many jobs are ready, wait for a limit with a key, and are repeated alone."""
    ready = _ready(queue)
    parts = [plural(ready, "ready job") if ready or not (queue.limited or queue.suspects) else ""]
    parts += (
        [f"{plural(queue.limited, 'job')} waiting for a limit with a key"] if queue.limited else []
    )
    if queue.suspects:
        parts.append(
            f"{plural(queue.suspects, 'job')} to be repeated alone, after a worker died or lost its lease"
        )
    *first, last = filter(None, parts)
    return f"{', '.join(first)} and {last}" if first else last


def _limits_waited_for(queue: QueueView) -> str:
    return limits_text(queue) if queue.limited else ""


def _waiting(queue: QueueView, now_ms: int) -> str:
    text = _parts(queue)
    if queue.oldest_queued_at is None:
        return text
    return f"{text}, the oldest for {duration_text(now_ms - queue.oldest_queued_at)}"


def _unserved(queue: QueueView, workers: Sequence[WorkerView], now_ms: int) -> str:
    if queue.quiet_workers:
        return f"has {_waiting(queue, now_ms)}, and {unserved_text(queue, workers)}{_limits_waited_for(queue)}"
    others = f"the live workers ({plural(len(workers), 'worker')}) serve other types"
    text = others if workers else "no worker is alive"
    if any(queue.type in each.types for each in workers):
        text = "only a suspect lane is left, and it takes no new jobs"
    return f"has {_waiting(queue, now_ms)}, and no live worker serves it: {text}{_limits_waited_for(queue)}"


def _served(queue: QueueView, workers: Sequence[WorkerView], now_ms: int) -> str:
    serving = [each for each in workers if each.claims and queue.type in each.types]
    slots = sum(worker.slots for worker in serving)
    busy = sum(worker.busy for worker in serving)
    hung = sum(worker.hung for worker in serving)
    most = sum(worker.slots_of(queue.type) for worker in serving)
    running = queue.counts.processing
    past = f", {hung} of them with functions that run on past their timeout" if hung else ""
    waiting, limits = _waiting(queue, now_ms), limits_text(queue)
    if not _ready(queue):
        return f"has no ready job, but {waiting}; {running} of its jobs run{limits}"
    if (limit := reached_limit(queue)) is not None:
        return f"has {waiting}: its type lets {plural(limit, 'job')} run at the same time, and {running} run"
    if running >= most:
        return f"has {waiting}: it may use {plural(most, 'slot')}, and all of them are busy{past}"
    if busy >= slots:
        return (
            f"has {waiting}: all {plural(slots, 'slot')} that serve it "
            f"({plural(len(serving), 'worker')}) are busy{past}, {running} of them with its jobs"
        )
    return (
        f"is moving: {waiting}; {running} of its jobs run (it may use {plural(most, 'slot')}), and {busy} of the "
        f"{plural(slots, 'slot')} that serve it are busy{past}{limits}"
    )


def _further_counts(queue: QueueView, now_ms: int) -> str:
    counts = queue.counts
    parts = []
    if counts.scheduled:
        due = queue.next_due_at
        when = "" if due is None else f", the next in {duration_text(due - now_ms)}"
        if due is not None and due <= now_ms:
            when = f", the next overdue for {duration_text(now_ms - due)}"
        parts.append(f"{counts.scheduled:,} scheduled{when}")
    parts += [f"{counts.retrying:,} waiting to be retried"] if counts.retrying else []
    parts += [f"{counts.held:,} held for approval"] if counts.held else []
    parts += [f"{counts.processing:,} running"] if counts.processing and queue.paused else []
    return f"; it also has {', '.join(parts)}" if parts else ""
