"""One job told as lines: what it is, why it is so, what it tried, what came of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from hms_svc.domain.case import Case
from hms_svc.domain.event import Event
from hms_svc.domain.lifecycle import State
from hms_svc.domain.plain_text import plain, plural
from hms_svc.domain.strict_json import encode
from hms_svc.domain.timestamps import to_rfc3339
from hms_svc.domain.views import AttemptView, AuditRecord, JobDetail, JobView, ProgressView
from hms_svc.operations.shapes import sender_facts, sent_shape
from tui import formatting as f
from tui.audit_rows import BATCH, Folded, counts_of, detail_of
from tui.picture import StoryOf
from tui.rows import SIGNS
from tui.telling import Teller, Told
from tui.text import cell, line

LOG: Final = "Log"
"""The section that a running job writes to."""
SHOWN_REPORTS: Final = 20
_ENDED: Final[Mapping[State, str]] = {
    State.COMPLETED: "completed", State.REJECTED: "rejected", State.DEAD: "died",
    State.CANCELLED: "cancelled",
}  # fmt: skip


def tell_story(found: StoryOf, now: int) -> Told:
    """Describe all that is known of a job, each fact once. `now` is Unix ms."""
    story, detail = found.story, found.story.detail
    teller = Teller()
    _tell_view(teller, detail, found.why, now, archived=story.archived)
    for name, value in sender_facts(sent_shape(detail)):
        teller.fact(name, value)
    teller.fact("not known", found.unread and f"case and audit trail: {found.unread}", "warn")
    _tell_case(teller, story.case)
    _tell_attempts(teller, detail, found.why)
    teller.head("Payload")
    teller.json(detail.view.data)
    _tell_further(teller, detail)
    _tell_raw(teller, detail)
    if detail.result:
        teller.head("Result")
        teller.json(detail.result)
    _tell_history(teller, detail, found.why)
    _tell_audit(teller, story.audit)
    _tell_progress(teller, detail)
    return teller.told()


def short_why(view: JobView, why: str) -> str:
    """Return the sentence without what stands beside it: the job, and when it ended."""
    told = why.removeprefix(f"Job {view.id} ({view.type}) ").removesuffix(".")
    return told.replace(f" at {to_rfc3339(view.finished_at)}", "", 1) if view.finished_at else told


def is_told(text: str, *told: str) -> bool:
    """Return whether one of the others already has the text, whatever follows it in brackets."""
    bare = text.partition(" (attempt ")[0].strip()
    return any(bare in each for each in told)


def _tell_view(teller: Teller, detail: JobDetail, why: str, now: int, *, archived: bool) -> None:
    view = detail.view
    sign, role = SIGNS[view.state]
    told = short_why(view, why)
    of = f" of {view.max_attempts}" if view.max_attempts else ""
    teller.fact("job", view.id, "strong")
    teller.fact("type", view.type)
    teller.fact("state", f"{sign} {view.state}{', in the archive' if archived else ''}", role)
    teller.fact("why", told, "accent")
    teller.fact("reason", view.reason)
    teller.fact(
        "rejected by" if view.state is State.REJECTED else "raised by",
        "" if view.by == view.reason else view.by,
    )
    teller.fact("detail", "" if is_told(view.detail, told) else view.detail)
    teller.fact("failure", "" if is_told(view.failure, told, view.detail) else view.failure, "bad")
    teller.fact("attempt", f"{view.attempt}{of}")
    teller.fact("enqueued", _when(view.enqueued_at, now))
    teller.fact("started", f.moment(view.started_at))
    if view.finished_at:
        teller.fact(_ENDED.get(view.state, "finished"), _when(view.finished_at, now))
    teller.fact("due", f.moment(view.due_at))
    teller.fact("worker", view.worker)
    teller.fact("priority", view.priority or "")
    teller.fact("unique key", view.unique_key)
    teller.fact("suspect", "yes: its worker died" if view.suspect else "")
    teller.fact("cause", view.cause)
    if detail.hold:
        action, rule, _ = detail.hold
        teller.fact("held for", f"{action}, by rule {rule}", "warn")
    if detail.retried_from:
        teller.fact("created from", detail.retried_from, link=f"job:{detail.retried_from}")


def _when(at: int, now: int) -> str:
    return f"{f.moment(at)}, {f.age(now - at)} ago"


def _tell_further(teller: Teller, detail: JobDetail) -> None:
    sent = sent_shape(detail)
    for head, name in (("Meta", "meta"), ("Unknown fields", "unknown_fields")):
        if sent[name]:
            teller.head(head)
            teller.json(encode(sent[name]))


def _tell_case(teller: Teller, case: Case | None) -> None:
    if case is None:
        return
    teller.head("Case")
    teller.fact("case", case.id, "good", link=f"case:{case.id}")
    teller.fact("status", case.status.value)
    teller.fact("urgency", case.urgency)
    teller.fact("where", _place(case))


def _place(case: Case) -> str:
    return "" if case.lat is None else f"{case.lat:.6f}, {case.lon:.6f}"


def _tell_raw(teller: Teller, detail: JobDetail) -> None:
    if detail.raw is not None:
        teller.head(f"Submitted bytes ({f.number(detail.raw_length)})")
        teller.fact("digest" if ":" in detail.raw_digest else "sha-256", detail.raw_digest)
        teller.text(detail.raw[:8192].decode(errors="replace"))


def _tell_progress(teller: Teller, detail: JobDetail) -> None:
    """Describe what a job reported; of one that runs every line that this attempt wrote, the newest last."""
    view, reports = detail.view, detail.progress
    if view.state is State.PROCESSING:
        began = view.started_at or 0
        shown: Sequence[ProgressView] = [each for each in reports if each.at >= began]
        name = LOG
    else:
        shown = [each for each in reports if not each.log][-SHOWN_REPORTS:]
        name = "Progress"
    if shown or name == LOG:
        teller.head(name, "live; F follows it" if name == LOG else "")
    for each in shown:
        share = "" if each.share is None else f"{f.bar(each.share, 12)} {each.share:4.0%} "
        teller.lines.append(
            line(cell(f"  {f.clock(each.at)} ", "dim"), cell(share, "accent"), cell(each.message))
        )


def _tell_attempts(teller: Teller, detail: JobDetail, why: str) -> None:
    """Describe every attempt, the newest first: a traceback that is another's, too, once."""
    of = f" of {detail.view.max_attempts}" if detail.view.max_attempts else ""
    told: dict[str, int] = {}
    for each in reversed(detail.attempts):
        took = "running" if each.ended_at is None else f.duration(each.ended_at - each.started_at)
        teller.head(
            f"Attempt {each.attempt}{of}", f"{f.moment(each.started_at)}  {took}  {each.worker}"
        )
        same = told.setdefault(each.traceback or each.error, each.attempt)
        if (each.traceback or each.error) and same != each.attempt:
            teller.lines.append(line(cell(f"  failed as attempt {same} did", "bad")))
        else:
            tell_error(teller, each, why)
        if each.log:
            teller.lines.append(line(cell("  printed:", "dim")))
            teller.text("\n".join(f"  {part}" for part in each.log.rstrip("\n").split("\n")))


def tell_error(teller: Teller, attempt: AttemptView, why: str = "") -> None:
    """Describe the error of an attempt with its traceback, which ends with it."""
    if attempt.traceback:
        teller.traceback(attempt.traceback)
    if attempt.error and not is_told(attempt.error, attempt.traceback, why):
        teller.text(attempt.error, "bad")


def _tell_history(teller: Teller, detail: JobDetail, why: str) -> None:
    teller.head("History")
    told = (why, *(each.error for each in detail.attempts))
    for move in detail.history:
        sign, role = SIGNS[move.target]
        words = f": {move.detail}" if move.detail and not is_told(move.detail, *told) else ""
        teller.lines.append(
            line(
                cell(f"  {f.moment(move.at)}  ", "dim"),
                cell(f"{sign} {move.target.value.ljust(11)}", role),
                cell(f"{move.cause}{words}"),
            )
        )


def _tell_audit(teller: Teller, records: Sequence[AuditRecord]) -> None:
    if records:
        teller.head("Audit")
    for record in records:
        words = record.detail[:300].decode(errors="replace")
        teller.lines.append(
            line(
                cell(f"  {f.moment(record.at)}  ", "dim"),
                cell(f"{record.actor} {record.action} ", "strong"),
                cell(plain(words), "dim"),
            )
        )


def tell_case(case: Case, now: int) -> Told:
    """Tell all that is known of a case."""
    teller = Teller()
    teller.fact("case", case.id, "strong")
    teller.fact("status", case.status.value, "good")
    teller.fact("kind", case.kind)
    teller.fact("urgency", case.urgency)
    teller.fact("where", _place(case))
    teller.fact("reported by", case.user_id)
    teller.fact("opened", _when(case.opened_at, now))
    teller.fact("closed", f.moment(case.closed_at))
    teller.fact("job", case.job_id, link=f"job:{case.job_id}")
    teller.head("Data")
    teller.json(case.data)
    return teller.told()


def tell_audit(record: AuditRecord, now: int) -> Told:
    """Tell all of an audit row, with its place in the chain."""
    teller = Teller()
    is_job = record.action.startswith("job.") and not record.subject.startswith("batch:")
    is_case = record.action.startswith("case.") and record.subject.startswith("case-")
    link = f"job:{record.subject}" if is_job else f"case:{record.subject}" if is_case else ""
    teller.fact("row", record.number, "strong")
    teller.fact("when", _when(record.at, now))
    teller.fact("who", record.actor, "strong")
    teller.fact("did", record.action, "accent")
    teller.fact("to", record.subject, link=link)
    teller.fact("link", "not sealed yet" if record.link is None else record.link)
    teller.fact("digest", record.digest)
    teller.head("Detail")
    teller.json(record.detail)
    return teller.told()


def tell_folded(folded: Folded, now: int) -> Told:
    """Describe all of an audit row; of an act on many what it was, to how many it was done, and to which."""
    if not folded.is_batch:
        return tell_audit(folded.newest, now)
    first, newest = folded.records[-1], folded.newest
    teller = Teller()
    done, failed = counts_of(folded.records)
    detail = detail_of(first)
    teller.fact("act", newest.action, "accent")
    teller.fact("actor", newest.actor, "strong")
    teller.fact("batch", newest.subject.removeprefix(BATCH), "strong")
    teller.fact("began", _when(first.at, now))
    teller.fact("newest row", _when(newest.at, now))
    teller.fact(
        "done", plural(done, "job") if done or failed else "outcome not recorded yet", "good"
    )
    teller.fact("not done", plural(failed, "job") if failed else "", "warn")
    teller.fact("note", detail.get("note", ""))
    teller.fact("query", detail.get("where", ""))
    for record in reversed(folded.records):
        jobs = detail_of(record).get("jobs")
        if isinstance(jobs, list):
            teller.head(
                f"Row {record.number}", f"{plural(len(jobs), 'job')}, {f.moment(record.at)}"
            )
            for job_id in jobs:
                teller.fact("", job_id, link=f"job:{job_id}")
    return teller.told()


def tell_event(event: Event, now: int) -> Told:
    """Describe all of an event."""
    teller = Teller()
    teller.fact("event", event.type, "strong")
    teller.fact("when", _when(event.at, now))
    teller.fact("position", event.position)
    teller.fact("subject", event.subject)
    teller.fact("id", event.id)
    teller.head("Data")
    teller.json(event.data)
    return teller.told()
