"""Convert views to table rows, with texts and roles. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from hms_svc.domain.event import JOB_DEAD, JOB_FAILED
from hms_svc.domain.lifecycle import REASON_GOVERNANCE, State
from hms_svc.domain.strict_json import JsonValue
from hms_svc.domain.views import FailureGroup, JobView, QueueView
from hms_svc.tui import formats as f
from hms_svc.tui.payload_summary import common_entries, differing_summary, payload_summary
from hms_svc.tui.snapshot import Result
from hms_svc.tui.text import Cell, Role, Row, cell
from hms_svc.tui.trend import QueueTrend

if TYPE_CHECKING:
    from hms_svc.operations.schedules import ScheduleView

SIGNS: Final[Mapping[State, tuple[str, Role]]] = {
    State.SCHEDULED: ("○", "dim"),
    State.QUEUED: ("·", ""),
    State.HELD: ("?", "warn"),
    State.PROCESSING: ("▸", "accent"),
    State.RETRYING: ("↻", "warn"),
    State.COMPLETED: ("✓", "good"),
    State.REJECTED: ("✗", "warn"),
    State.DEAD: ("†", "bad"),
    State.CANCELLED: ("⊘", "dim"),
}
"""A sign and a role for each state, so that states are readable without colour."""

MANY: Final = 1_000_000
STUCK, TROUBLED, BUSY, IDLE = range(4)
IDLE_KEY: Final = "+idle"
"""Not a type: types begin with a letter or a digit."""
_FAILED: Final = frozenset({JOB_DEAD, JOB_FAILED})


def queue_rows(
    queues: Iterable[QueueView], trends: Mapping[str, QueueTrend], now: int, most: int = MANY
) -> list[Row]:
    """Return rows of queues: those with problems first, then busy ones, then idle ones, each kind by name.

    If there are more than `most`, the idle ones are one row, with the key `IDLE_KEY`.
    """
    ranked = sorted(
        queues, key=lambda each: (_rank(each, trends.get(each.type, QueueTrend())), each.type)
    )
    shown = [_queue_row(each, trends.get(each.type, QueueTrend()), now) for each in ranked]
    ranks = [_rank(each, trends.get(each.type, QueueTrend())) for each in ranked]
    idle = ranks.count(IDLE)
    if len(shown) > most and 1 < idle < len(shown):
        shown[-idle:] = [Row(key=IDLE_KEY, cells=(cell(f" {idle} idle types", "dim"),))]
    return shown


def trouble_below(rows: Sequence[Row], available: int) -> str:
    """Return how many rows do not fit, and how many of them have a warning; empty if all fit."""
    left = rows[available:]
    troubled = sum(row.cells[0].role in {"bad", "warn"} for row in left)
    if troubled:
        return f" +{len(left)} ({troubled} !)"
    return f" +{len(left)} below" if left else ""


def _rank(queue: QueueView, trend: QueueTrend) -> int:
    counts = queue.counts
    if queue.faults or _is_unserved(queue):
        return STUCK
    if queue.paused or counts.dead:
        return TROUBLED
    waits = counts.queued + counts.intake + counts.processing + counts.retrying + counts.held
    return BUSY if waits or counts.scheduled or sum(trend.ended) else IDLE


def _queue_row(queue: QueueView, trend: QueueTrend, now: int) -> Row:
    counts = queue.counts
    role: Role = "warn" if queue.paused else ("bad" if _is_unserved(queue) else "strong")
    sign = "‖" if queue.paused else ("!" if _is_unserved(queue) else " ")
    drain = "" if trend.drain_ms is None else "~" + f.age(trend.drain_ms)
    return Row(
        key=queue.type,
        cells=(
            cell(f"{sign}{queue.type}", role),
            _count(counts.queued + counts.intake),
            _count(counts.processing, "accent"),
            _count(counts.retrying, "warn"),
            _count(counts.held, "warn"),
            _count(counts.rejected),
            _count(counts.dead, "bad"),
            age_cell(queue.oldest_queued_at, now),
            cell(f.rate(trend.arrivals), rank=trend.arrivals),
            cell(f.rate(trend.departures), rank=trend.departures),
            cell(drain, rank=trend.drain_ms),
            cell(
                f.share(trend.failed_share),
                "bad" if (trend.failed_share or 0) > 0.1 else "",
                rank=trend.failed_share,
            ),
            cell(f.sparkline(trend.ended, 20), "accent", rank=sum(trend.ended)),
            cell(_queue_note(queue), role),
        ),
    )


def _is_unserved(queue: QueueView) -> bool:
    return not queue.served and queue.counts.queued + queue.counts.intake > 0


def _queue_note(queue: QueueView) -> str:
    if queue.faults:
        return queue.faults[0]
    if queue.paused:
        why = f": {queue.pause_reason}" if queue.pause_reason else ""
        intake = " including its intake" if queue.intake_paused else ""
        return f"paused{intake} by {queue.paused_by or 'somebody'}{why}"
    if _is_unserved(queue):
        return "quiet" if queue.quiet_workers else "no live worker serves it"
    limited = [f"{f.count(queue.limited)} wait for a limit"] if queue.limited else []
    scheduled = queue.counts.scheduled
    return ", ".join([*limited, *([f"{f.count(scheduled)} scheduled"] if scheduled else [])])


def _count(number: int, role: Role = "") -> Cell:
    return Cell(f.count(number), role if number else "dim", number)


def age_cell(at: int | None, now: int) -> Cell:
    """Return the age of a time (Unix ms); older ones rank higher."""
    return Cell("") if at is None else cell(f.age(now - at), rank=-at)


def result_rows(results: Iterable[Result]) -> list[Row]:
    """Return rows of finished jobs, each job once."""
    return [
        Row(
            key=result.job_id,
            cells=(
                cell(f.clock(result.at), "dim", rank=result.at),
                _state_cell(result.state),
                cell(result.type),
                cell(f.duration(result.duration_ms), rank=result.duration_ms),
                _result_text(result),
                cell(result.job_id, "dim"),
            ),
        )
        for result in _without_duplicates(results)
    ]


def _without_duplicates(results: Iterable[Result]) -> Iterable[Result]:
    known: set[str] = set()
    for result in results:
        if result.job_id not in known:
            known.add(result.job_id)
            yield result


def _result_text(result: Result) -> Cell:
    if result.state is State.COMPLETED:
        return cell(result.case_id or "", "good")
    described = f"{result.reason}: {result.detail}" if result.detail else result.reason
    return cell(described)


def _state_cell(state: State) -> Cell:
    sign, role = SIGNS[state]
    return Cell(f"{sign} {state.value}", role)


def validation_rows(groups: Iterable[FailureGroup], now: int) -> list[Row]:
    """Return rows of rejected jobs by the validator or rule that rejected them."""
    return [
        Row(
            key=group.id,
            cells=(
                cell(_who(group), "warn"),
                _count(group.count),
                cell(f.sparkline(group.recent, 12), "accent", rank=sum(group.recent)),
                age_cell(group.last_at, now),
                cell(group.newest_detail),
                cell(group.type),
            ),
        )
        for group in groups
        if group.state is State.REJECTED
    ]


def _who(group: FailureGroup) -> str:
    if group.reason == REASON_GOVERNANCE and group.by:
        return f"governance {group.by}"
    return group.reason


def failing_rows(groups: Iterable[FailureGroup], now: int) -> list[Row]:
    """Return rows of retrying and dead jobs by cause."""
    return [
        Row(
            key=group.id,
            cells=(
                cell(f"{SIGNS[group.state][0]} {group.type}", SIGNS[group.state][1]),
                _count(group.count, SIGNS[group.state][1]),
                cell(cause_text(group)),
                age_cell(group.first_at, now),
                age_cell(group.last_at, now),
                cell(f.sparkline(group.recent, 12), "accent", rank=sum(group.recent)),
                cell(group.reason, "dim"),
            ),
        )
        for group in trouble_first(groups)
        if group.state is not State.REJECTED
    ]


def trouble_first(groups: Iterable[FailureGroup]) -> list[FailureGroup]:
    """Sort groups: retrying before dead before rejected, each by the newest failure first."""
    ranks = {State.RETRYING: 0, State.DEAD: 1}
    return sorted(groups, key=lambda each: (ranks.get(each.state, 2), -each.last_at))


def failure_rows(groups: Iterable[FailureGroup], now: int) -> list[Row]:
    """Return a row for every group, retrying ones first, then dead ones."""
    return [
        Row(
            key=group.id,
            cells=(
                _state_cell(group.state),
                _count(group.count),
                cell(group.type),
                cell(_who(group)),
                cell(cause_text(group)),
                age_cell(group.last_at, now),
                cell(_next_text(group, now), rank=group.next_at),
                age_cell(group.first_at, now),
                cell(f.sparkline(group.recent, 12), "accent", rank=sum(group.recent)),
                cell(group.newest_detail, "dim"),
            ),
        )
        for group in trouble_first(groups)
    ]


def _next_text(group: FailureGroup, now: int) -> str:
    if group.next_at is None:
        return ""
    return f.age(group.next_at - now) if group.next_at > now else "due"


def cause_text(group: FailureGroup) -> str:
    """Return the cause of a group in one line."""
    if group.error:
        return f"{group.error}: {group.pattern}" if group.pattern else group.error
    return group.pattern or group.newest_detail or group.reason


def job_rows(
    jobs: Sequence[JobView], now: int, live: Collection[str] | None = None, cause: str = ""
) -> list[Row]:
    """Return rows of jobs. `live` names the live workers, None if they are not known.

    Jobs with the `cause` of the list show their payload as detail; so do all jobs if none has a detail.
    """
    shared = common_entries([job for job in jobs if job.cause == cause]) if cause else {}
    texts = [_job_text(job, now, live) for job in jobs]
    return [
        Row(
            key=job.id,
            cells=(
                cell(job.id),
                _state_cell(job.state),
                cell(job.type),
                cell(f.attempt(job.attempt, job.max_attempts), rank=job.attempt),
                age_cell(job.enqueued_at, now),
                *(
                    (_difference_cell(job, now, shared), Cell(""))
                    if (cause and job.cause == cause) or not any(texts)
                    else (
                        cell(described, "good" if job.case_id else ""),
                        cell(payload_summary(job.data), "dim"),
                    )
                ),
                cell(job.worker, "dim"),
                cell(job.priority or "", "dim", rank=job.priority or None),
            ),
        )
        for job, described in zip(jobs, texts, strict=True)
    ]


def _difference_cell(job: JobView, now: int, shared: Mapping[str, JsonValue]) -> Cell:
    due = _due_text(job.due_at, now) if job.state is State.RETRYING else ""
    return cell("; ".join(part for part in (due, differing_summary(job.data, shared)) if part))


def _job_text(job: JobView, now: int, live: Collection[str] | None) -> str:
    if job.state is State.COMPLETED:
        return job.case_id or "no case"
    if job.state in (State.SCHEDULED, State.RETRYING):
        why = job.failure or job.detail
        return "; ".join(part for part in (_due_text(job.due_at, now), why) if part)
    if job.state is State.PROCESSING:
        if live is not None and job.worker not in live:
            return "its worker is silent"
        return "" if job.started_at is None else f"running for {f.age(now - job.started_at)}"
    if job.state is State.QUEUED:
        return "runs alone next (suspect)" if job.suspect else ""
    described = job.detail or job.failure
    return f"{job.reason}: {described}" if job.reason and described else job.reason or described


def _due_text(due_at: int | None, now: int) -> str:
    if due_at is None:
        return ""
    return f"due in {f.age(due_at - now)}" if due_at > now else f"was due {f.age(now - due_at)} ago"


def schedule_rows(schedules: Iterable[ScheduleView], now: int) -> list[Row]:
    """Return rows of schedules."""
    return [
        Row(
            key=schedule.type,
            cells=(
                cell(schedule.type, "strong"),
                cell(schedule.description),
                cell(
                    "paused" if schedule.is_paused else f.age(schedule.next_at - now),
                    "warn" if schedule.is_paused else "",
                    rank=schedule.next_at,
                ),
                cell(f.moment(schedule.next_at)),
                Cell("") if schedule.last_state is None else _state_cell(schedule.last_state),
                cell(f.count(schedule.skipped) if schedule.skipped else "", rank=schedule.skipped),
                cell(schedule.cron, "dim"),
            ),
        )
        for schedule in schedules
    ]


def held_rows(jobs: Iterable[JobView], now: int) -> list[Row]:
    """Return rows of held jobs."""
    return [
        Row(
            key=job.id,
            cells=(
                cell(job.id),
                cell(job.type),
                age_cell(job.started_at or job.enqueued_at, now),
                cell(f"{job.by}: {job.detail}" if job.by else job.detail, "warn"),
                cell(payload_summary(job.data), "dim"),
            ),
        )
        for job in jobs
    ]
