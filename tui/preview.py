"""What stands beside a list of the row at the cursor: cause or reason whole, error, payload. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import FailureGroup, JobView
from tui import formatting as f
from tui.looks import Glance
from tui.rows import SIGNS, cause_words
from tui.story import is_told, short_why, tell_error
from tui.telling import Teller, Told
from tui.text import cell, line

if TYPE_CHECKING:
    from hms_svc.operations.schedules import ScheduleView

MOST_RAW = 8192
Read = Glance | str | None
"""What was read of a job, why it could not be, or None before that."""


def preview_job(view: JobView, read: Read, now: int) -> Told:
    """Describe why a job is as it is, its newest error with its traceback, and its payload."""
    teller = Teller()
    if isinstance(read, Glance):
        view = read.detail.view
    sign, role = SIGNS[view.state]
    teller.fact("job", view.id, "strong")
    teller.fact("state", f"{sign} {view.state}, {view.type}", role)
    why = short_why(view, read.why) if isinstance(read, Glance) else ""
    told = why or view.reason
    teller.fact("why", told, "accent")
    teller.fact(
        "rejected by" if view.state is State.REJECTED else "raised by",
        "" if view.by == view.reason else view.by,
    )
    teller.fact("detail", "" if is_told(view.detail, told) else view.detail)
    teller.fact("failure", "" if is_told(view.failure, told, view.detail) else view.failure, "bad")
    teller.fact("case", view.case_id, "good")
    teller.fact("enqueued", f"{f.moment(view.enqueued_at)}, {f.age(now - view.enqueued_at)} ago")
    _tell_read(teller, read, told)
    _tell_payload(teller, view, read)
    return teller.told()


def preview_group(group: FailureGroup, read: Read, now: int) -> Told:
    """Describe the cause of a group whole, since when, and the newest of its jobs with error and payload."""
    teller = Teller()
    sign, role = SIGNS[group.state]
    teller.fact("state", f"{sign} {f.number(group.count)} {group.state}, {group.type}", role)
    cause = cause_words(group)
    teller.fact("cause", cause, "accent")
    teller.fact("reason", group.reason)
    teller.fact(
        "rejected by" if group.state is State.REJECTED else "raised by",
        "" if group.by == group.reason else group.by,
    )
    teller.fact("first", f"{f.moment(group.first_at)}, {f.age(now - group.first_at)} ago")
    teller.fact("last", f"{f.moment(group.last_at)}, {f.age(now - group.last_at)} ago")
    newest = group.newest_detail
    teller.fact("detail", "" if is_told(newest, cause) else newest)
    _tell_read(teller, read, newest)
    if isinstance(read, Glance):
        _tell_payload(teller, read.detail.view, read, f"of {read.detail.view.id}")
    return teller.told()


def preview_schedule(schedule: ScheduleView, now: int) -> Told:
    """Describe when a schedule runs, and what became of its last run."""
    teller = Teller()
    teller.fact("type", schedule.type, "strong")
    teller.fact("runs", schedule.words, "accent")
    teller.fact("cron", schedule.cron)
    teller.fact("next run", f"{f.moment(schedule.next_at)}, in {f.age(schedule.next_at - now)}")
    teller.fact("its job", schedule.next_job)
    teller.fact("last run", f.moment(schedule.last_at))
    if schedule.last_state is not None:
        sign, role = SIGNS[schedule.last_state]
        teller.fact("it", f"{sign} {schedule.last_state}", role)
        teller.fact("its job", schedule.last_job)
    return teller.told()


def _tell_payload(teller: Teller, view: JobView, read: Read, more: str = "") -> None:
    """Describe the payload; of bytes that are none, what was handed in."""
    if isinstance(read, Glance) and read.detail.raw is not None:
        teller.head("Submitted bytes", more)
        teller.text(read.detail.raw[:MOST_RAW].decode(errors="replace"))
    else:
        teller.head("Payload", more)
        teller.json(view.data, most=MOST_RAW)


def _tell_read(teller: Teller, read: Read, told: str) -> None:
    """Describe the newest error of a job that was read, or why it was not."""
    if isinstance(read, str):
        teller.fact("not known", read, "warn")
    if not isinstance(read, Glance):
        return
    failed = [each for each in read.detail.attempts if each.error or each.traceback]
    for attempt in failed[-1:]:
        if attempt.traceback or not is_told(attempt.error, told):
            teller.head(f"Error of attempt {attempt.attempt}", f.moment(attempt.started_at))
            tell_error(teller, attempt, told)
    report = read.detail.last_progress
    if report is not None and not failed:
        share = "" if report.share is None else f"{f.bar(report.share, 12)} {report.share:.0%} "
        teller.lines.append(line(cell("progress".ljust(14), "dim"), cell(share + report.message)))
