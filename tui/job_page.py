"""The pages of a job, case, audit record and event as lines. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from hms_svc.domain.case import Case
from hms_svc.domain.event import Event
from hms_svc.domain.job import FIRST_VERSION
from hms_svc.domain.lifecycle import State
from hms_svc.domain.plain_text import plain, plural
from hms_svc.domain.strict_json import encode
from hms_svc.domain.timestamps import to_rfc3339
from hms_svc.domain.views import AttemptView, AuditRecord, JobDetail, JobView, ProgressView
from hms_svc.operations.producer_fields import producer_fields, sender_facts
from hms_svc.tui import formats as f
from hms_svc.tui.audit_rows import BATCH, Folded, counts_of, detail_of
from hms_svc.tui.batch_section import describe_batch
from hms_svc.tui.page_lines import PageBuilder, PageText
from hms_svc.tui.rows import SIGNS
from hms_svc.tui.snapshot import FullJobSeen
from hms_svc.tui.text import cell, line

LOG: Final = "Log"
"""The section that a running job writes to."""
SHOWN_REPORTS: Final = 20
RETURNED: Final = frozenset({State.SCHEDULED, State.QUEUED, State.HELD})
"""The states that a job returns to if its attempt is not counted."""
_ENDED: Final[Mapping[State, str]] = {
    State.COMPLETED: "completed",
    State.REJECTED: "rejected",
    State.DEAD: "died",
    State.CANCELLED: "cancelled",
}


def job_page(found: FullJobSeen, now: int) -> PageText:
    """Return the page of a job, with each fact once. `now` is Unix ms."""
    full_job, detail = found.full_job, found.full_job.detail
    page = PageBuilder()
    _describe_view(page, detail, found.why, now, archived=full_job.archived)
    for name, value in sender_facts(producer_fields(detail)):
        page.fact(name, value)
    page.fact("not known", found.unread and f"case and audit log: {found.unread}", "warn")
    _describe_case(page, full_job.case)
    describe_batch(page, full_job.batch, detail.view.id)
    _describe_attempts(page, detail, found.why)
    page.head("Payload")
    page.json(detail.view.data)
    _describe_meta(page, detail)
    _describe_raw(page, detail)
    if detail.result:
        page.head("Result")
        page.json(detail.result)
    _describe_history(page, detail, found.why)
    _describe_audit(page, full_job.audit)
    _describe_progress(page, detail)
    return page.build()


def short_why(view: JobView, why: str) -> str:
    """Return the explanation without the facts that are shown beside it: the job, and when it ended."""
    described = why.removeprefix(f"Job {view.id} ({view.type}) ").removesuffix(".")
    return (
        described.replace(f" at {to_rfc3339(view.finished_at)}", "", 1)
        if view.finished_at
        else described
    )


def is_shown(text: str, *described: str) -> bool:
    """Return whether one of the other texts already contains this one, apart from its ` (attempt …)`."""
    bare = text.partition(" (attempt ")[0].strip()
    return any(bare in each for each in described)


def _describe_view(
    page: PageBuilder, detail: JobDetail, why: str, now: int, *, archived: bool
) -> None:
    view = detail.view
    sign, role = SIGNS[view.state]
    described = short_why(view, why)
    page.fact("job", view.id, "strong")
    page.fact("type", view.type)
    page.fact("state", f"{sign} {view.state}{', in the archive' if archived else ''}", role)
    page.fact("why", described, "accent")
    page.fact("reason", view.reason)
    page.fact(
        "rejected by" if view.state is State.REJECTED else "raised by",
        "" if view.by == view.reason else view.by,
    )
    page.fact("detail", "" if is_shown(view.detail, described) else view.detail)
    page.fact(
        "failure", "" if is_shown(view.failure, described, view.detail) else view.failure, "bad"
    )
    of = f" of {view.max_attempts}" if view.max_attempts else ""
    is_running = view.state is State.PROCESSING
    page.fact(
        "attempt" if is_running else "attempts",
        f"{view.attempt}{of}{'' if is_running else ' used'}",
    )
    page.fact("enqueued", _when(view.enqueued_at, now))
    page.fact("started", f.moment(view.started_at))
    if view.finished_at:
        page.fact(_ENDED.get(view.state, "finished"), _when(view.finished_at, now))
    page.fact("due", f.moment(view.due_at))
    page.fact("worker", view.worker)
    page.fact("priority", view.priority or "")
    page.fact("unique key", view.unique_key)
    version = producer_fields(detail).version
    page.fact("payload version", version if version != FIRST_VERSION else "")
    page.fact("suspect", "yes: its worker died" if view.suspect else "")
    page.fact("cause", view.cause)
    if detail.hold:
        action, rule, _ = detail.hold
        page.fact("held for", f"{action}, by rule {rule}", "warn")
    if detail.retried_from:
        page.fact("created from", detail.retried_from, link=f"job:{detail.retried_from}")


def _when(at: int, now: int) -> str:
    return f"{f.moment(at)}, {f.age(now - at)} ago"


def _describe_meta(page: PageBuilder, detail: JobDetail) -> None:
    sent = producer_fields(detail)
    for head, value in (("Meta", sent.meta), ("Unknown fields", sent.unknown_fields)):
        if value:
            page.head(head)
            page.json(encode(value))


def _describe_case(page: PageBuilder, case: Case | None) -> None:
    if case is None:
        return
    page.head("Case")
    page.fact("case", case.id, "good", link=f"case:{case.id}")
    page.fact("status", case.status.value)
    page.fact("urgency", case.urgency)
    page.fact("where", _place(case))


def _place(case: Case) -> str:
    return "" if case.lat is None else f"{case.lat:.6f}, {case.lon:.6f}"


def _describe_raw(page: PageBuilder, detail: JobDetail) -> None:
    if detail.raw is not None:
        page.head(f"Submitted bytes ({f.number(detail.raw_length)})")
        page.fact("digest" if ":" in detail.raw_digest else "sha-256", detail.raw_digest)
        page.text(detail.raw[:8192].decode(errors="replace"))


def _describe_progress(page: PageBuilder, detail: JobDetail) -> None:
    """Describe the newest progress reports; of a running job every log line of this attempt."""
    view, reports = detail.view, detail.progress
    if view.state is State.PROCESSING:
        began = view.started_at or 0
        shown: Sequence[ProgressView] = [each for each in reports if each.at >= began]
        name = LOG
    else:
        shown = [each for each in reports if not each.log][-SHOWN_REPORTS:]
        name = "Progress"
    if shown or name == LOG:
        page.head(name, "live; F follows it" if name == LOG else "")
    for each in shown:
        share = "" if each.share is None else f"{f.bar(each.share, 12)} {each.share:4.0%} "
        page.lines.append(
            line(cell(f"  {f.clock(each.at)} ", "dim"), cell(share, "accent"), cell(each.message))
        )


def _describe_attempts(page: PageBuilder, detail: JobDetail, why: str) -> None:
    """Describe every attempt, the newest first; a traceback that repeats is shown once."""
    of = f" of {detail.view.max_attempts}" if detail.view.max_attempts else ""
    described: dict[str, int] = {}
    for each in reversed(detail.attempts):
        took = "running" if each.ended_at is None else f.duration(each.ended_at - each.started_at)
        why_not = uncounted_reason(detail, each)
        page.head(
            f"Attempt {each.attempt}{of}",
            f"{f.moment(each.started_at)}  {took}  {each.worker}{f'  {why_not}' if why_not else ''}",
        )
        same = described.setdefault(each.traceback or each.error, each.attempt)
        if (each.traceback or each.error) and same != each.attempt:
            page.lines.append(line(cell(f"  failed as attempt {same} did", "bad")))
        else:
            describe_error(page, each, why)
        if each.log:
            page.lines.append(line(cell("  printed:", "dim")))
            page.text("\n".join(f"  {part}" for part in each.log.rstrip("\n").split("\n")))


def uncounted_reason(detail: JobDetail, attempt: AttemptView) -> str:
    """Return why an attempt is not counted; empty if it is."""
    later = [each.attempt for each in detail.attempts if each.fence > attempt.fence]
    if attempt.ended_at is None or attempt.attempt < min((*later, detail.view.attempt + 1)):
        return ""
    left = (
        m for m in detail.history if m.source is State.PROCESSING and m.at >= attempt.started_at
    )
    move = next(left, None)
    if move is not None and move.target in RETURNED:
        return f"not counted: {'held' if move.target is State.HELD else move.trigger}"
    return "not counted: the job was retried by hand since"


def describe_error(page: PageBuilder, attempt: AttemptView, why: str = "") -> None:
    """Describe the error of an attempt; without the message if the traceback ends with it."""
    if attempt.traceback:
        page.traceback(attempt.traceback)
    if attempt.error and not is_shown(attempt.error, attempt.traceback, why):
        page.text(attempt.error, "bad")


def _describe_history(page: PageBuilder, detail: JobDetail, why: str) -> None:
    page.head("History")
    described = (why, *(each.error for each in detail.attempts))
    for move in detail.history:
        sign, role = SIGNS[move.target]
        text = f": {move.detail}" if move.detail and not is_shown(move.detail, *described) else ""
        page.lines.append(
            line(
                cell(f"  {f.moment(move.at)}  ", "dim"),
                cell(f"{sign} {move.target.value.ljust(11)}", role),
                cell(f"{move.trigger}{text}"),
            )
        )


def _describe_audit(page: PageBuilder, records: Sequence[AuditRecord]) -> None:
    if records:
        page.head("Audit")
    for record in records:
        text = record.detail[:300].decode(errors="replace")
        page.lines.append(
            line(
                cell(f"  {f.moment(record.at)}  ", "dim"),
                cell(f"{record.actor} {record.action} ", "strong"),
                cell(plain(text), "dim"),
            )
        )


def case_page(case: Case, now: int) -> PageText:
    """Return the page of a case."""
    page = PageBuilder()
    page.fact("case", case.id, "strong")
    page.fact("status", case.status.value, "good")
    page.fact("kind", case.kind)
    page.fact("urgency", case.urgency)
    page.fact("where", _place(case))
    page.fact("reported by", case.user_id)
    page.fact("opened", _when(case.opened_at, now))
    page.fact("closed", f.moment(case.closed_at))
    page.fact("job", case.job_id, link=f"job:{case.job_id}")
    page.head("Data")
    page.json(case.data)
    return page.build()


def audit_page(record: AuditRecord, now: int) -> PageText:
    """Return the page of an audit record, with its link in the chain."""
    page = PageBuilder()
    is_job = record.action.startswith("job.") and not record.subject.startswith("batch:")
    is_case = record.action.startswith("case.") and record.subject.startswith("case-")
    link = f"job:{record.subject}" if is_job else f"case:{record.subject}" if is_case else ""
    page.fact("row", record.number, "strong")
    page.fact("when", _when(record.at, now))
    page.fact("actor", record.actor, "strong")
    page.fact("action", record.action, "accent")
    page.fact("subject", record.subject, link=link)
    page.fact("link", "not sealed yet" if record.link is None else record.link)
    page.fact("digest", record.digest)
    page.head("Detail")
    page.json(record.detail)
    return page.build()


def folded_audit_page(folded: Folded, now: int) -> PageText:
    """Return the page of an audit row; for a bulk action with its counts and its jobs."""
    if not folded.is_batch:
        return audit_page(folded.newest, now)
    first, newest = folded.records[-1], folded.newest
    page = PageBuilder()
    done, failed = counts_of(folded.records)
    detail = detail_of(first)
    page.fact("action", newest.action, "accent")
    page.fact("actor", newest.actor, "strong")
    page.fact("batch", newest.subject.removeprefix(BATCH), "strong")
    page.fact("began", _when(first.at, now))
    page.fact("newest row", _when(newest.at, now))
    page.fact("done", plural(done, "job") if done or failed else "outcome not recorded yet", "good")
    page.fact("not done", plural(failed, "job") if failed else "", "warn")
    page.fact("note", detail.get("note", ""))
    page.fact("query", detail.get("where", ""))
    for record in reversed(folded.records):
        jobs = detail_of(record).get("jobs")
        if isinstance(jobs, list):
            page.head(f"Row {record.number}", f"{plural(len(jobs), 'job')}, {f.moment(record.at)}")
            for job_id in jobs:
                page.fact("", job_id, link=f"job:{job_id}")
    return page.build()


def event_page(event: Event, now: int) -> PageText:
    """Return the page of an event."""
    page = PageBuilder()
    page.fact("event", event.type, "strong")
    page.fact("when", _when(event.at, now))
    page.fact("position", event.position)
    page.fact("subject", event.subject)
    page.fact("id", event.id)
    page.head("Data")
    page.json(event.data)
    return page.build()
