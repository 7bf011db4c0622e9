"""The preview of the row at the cursor: cause or reason in full, error, payload. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hms_svc.domain.lifecycle import State
from hms_svc.domain.plain_text import plural
from hms_svc.domain.views import FailureGroup, JobView
from hms_svc.tui import formats as f
from hms_svc.tui.job_page import describe_error, is_shown, short_why
from hms_svc.tui.page_lines import PageBuilder, PageText
from hms_svc.tui.queries import ExplainedJob
from hms_svc.tui.rows import SIGNS, cause_text
from hms_svc.tui.text import cell, line

if TYPE_CHECKING:
    from hms_svc.operations.schedules import ScheduleView

MOST_RAW = 8192
Read = ExplainedJob | str | None
"""The job that was read, the reason why it could not be read, or None before that."""


def preview_job(view: JobView, read: Read, now: int) -> PageText:
    """Describe a job: the explanation of its state, its newest error with traceback, and its payload."""
    page = PageBuilder()
    if isinstance(read, ExplainedJob):
        view = read.detail.view
    sign, role = SIGNS[view.state]
    page.fact("job", view.id, "strong")
    page.fact("state", f"{sign} {view.state}, {view.type}", role)
    why = short_why(view, read.why) if isinstance(read, ExplainedJob) else ""
    described = why or view.reason
    page.fact("why", described, "accent")
    page.fact(
        "rejected by" if view.state is State.REJECTED else "raised by",
        "" if view.by == view.reason else view.by,
    )
    page.fact("detail", "" if is_shown(view.detail, described) else view.detail)
    page.fact(
        "failure", "" if is_shown(view.failure, described, view.detail) else view.failure, "bad"
    )
    page.fact("case", view.case_id, "good")
    page.fact("enqueued", f"{f.moment(view.enqueued_at)}, {f.age(now - view.enqueued_at)} ago")
    _describe_read(page, read, described)
    _describe_payload(page, view, read)
    return page.build()


def preview_group(group: FailureGroup, read: Read, now: int) -> PageText:
    """Describe a group: its cause in full, its first and last times, and its newest job with error and payload."""
    page = PageBuilder()
    sign, role = SIGNS[group.state]
    page.fact("state", f"{sign} {f.number(group.count)} {group.state}, {group.type}", role)
    cause = cause_text(group)
    page.fact("cause", cause, "accent")
    page.fact("reason", group.reason)
    page.fact(
        "rejected by" if group.state is State.REJECTED else "raised by",
        "" if group.by == group.reason else group.by,
    )
    page.fact("first", f"{f.moment(group.first_at)}, {f.age(now - group.first_at)} ago")
    page.fact("last", f"{f.moment(group.last_at)}, {f.age(now - group.last_at)} ago")
    newest = group.newest_detail
    page.fact("detail", "" if is_shown(newest, cause) else newest)
    _describe_read(page, read, newest)
    if isinstance(read, ExplainedJob):
        _describe_payload(page, read.detail.view, read, f"of {read.detail.view.id}")
    return page.build()


def preview_schedule(schedule: ScheduleView, now: int) -> PageText:
    """Describe when a schedule runs, and the state of its last run."""
    page = PageBuilder()
    page.fact("type", schedule.type, "strong")
    page.fact("runs", schedule.description, "accent")
    page.fact("cron", schedule.cron)
    page.fact("overlap", schedule.overlap)
    page.fact("catch up", f"{plural(schedule.catch_up, 'missed run')}")
    if schedule.paused_at is not None:
        since = f"{f.age(now - schedule.paused_at)} ago"
        page.fact("paused", f"by {schedule.paused_by}, {since}", "warn")
        page.fact("reason", schedule.pause_reason)
    else:
        page.fact("next run", f"{f.moment(schedule.next_at)}, in {f.age(schedule.next_at - now)}")
        page.fact("its job", schedule.next_job)
    if schedule.last_at is not None:
        page.fact("last run", f.moment(schedule.last_at))
        page.fact("its job", schedule.last_job or "")
    if schedule.last_state is not None:
        sign, role = SIGNS[schedule.last_state]
        page.fact("it", f"{sign} {schedule.last_state}", role)
    if schedule.skipped_at is not None:
        page.fact("skipped", plural(schedule.skipped, "run"))
        page.fact("the last", f"{f.moment(schedule.skipped_at)}: {schedule.skip_reason}")
    return page.build()


def _describe_payload(page: PageBuilder, view: JobView, read: Read, more: str = "") -> None:
    """Describe the payload; the submitted bytes if they could not be parsed."""
    if isinstance(read, ExplainedJob) and read.detail.raw is not None:
        page.head("Submitted bytes", more)
        page.text(read.detail.raw[:MOST_RAW].decode(errors="replace"))
    else:
        page.head("Payload", more)
        page.json(view.data, most=MOST_RAW)


def _describe_read(page: PageBuilder, read: Read, described: str) -> None:
    """Describe the newest error of a job, or why the job could not be read."""
    if isinstance(read, str):
        page.fact("not known", read, "warn")
    if not isinstance(read, ExplainedJob):
        return
    failed = [each for each in read.detail.attempts if each.error or each.traceback]
    for attempt in failed[-1:]:
        if attempt.traceback or not is_shown(attempt.error, described):
            page.head(f"Error of attempt {attempt.attempt}", f.moment(attempt.started_at))
            describe_error(page, attempt, described)
    report = read.detail.last_progress
    if report is not None and not failed:
        share = "" if report.share is None else f"{f.bar(report.share, 12)} {report.share:.0%} "
        page.lines.append(line(cell("progress".ljust(14), "dim"), cell(share + report.message)))
