"""One job told as lines: what it is, why it is so, what it tried, what came of it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from hms_svc.domain.case import Case
from hms_svc.domain.event import Event
from hms_svc.domain.plain_text import plain, plain_lines
from hms_svc.domain.strict_json import decode, encode
from hms_svc.domain.views import AttemptView, AuditRecord, JobDetail, Move, ProgressView
from hms_svc.operations.shapes import sender_facts, sent_shape
from tui import formatting as f
from tui.picture import StoryOf
from tui.rows import SIGNS
from tui.text import Cell, Line, Role, cell, line

MOST_LINES: Final = 2000
MOST_CHARACTERS: Final = 100_000
NAME_WIDTH: Final = 14


class Told(msgspec.Struct, frozen=True):
    """Lines, and what the numbers of some of them lead to (`job:ID`, `case:ID`)."""

    lines: tuple[Line, ...]
    links: dict[int, str]


class _Teller:
    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.links: dict[int, str] = {}

    def head(self, words: str) -> None:
        if self.lines:
            self.lines.append(())
        self.lines.append(line(Cell(words, "head")))

    def fact(self, name: str, value: object, role: Role = "", *, link: str = "") -> None:
        if value in ("", None):
            return
        if link:
            self.links[len(self.lines)] = link
        self.lines.append(line(cell(name.ljust(NAME_WIDTH), "dim"), cell(value, role)))

    def text(self, text: str, role: Role = "") -> None:
        shown = plain_lines(text[:MOST_CHARACTERS]).split("\n")
        self.lines += [(Cell("  "), Cell(each, role)) for each in shown[:MOST_LINES]]
        if len(text) > MOST_CHARACTERS or len(shown) > MOST_LINES:
            told = f"  … cut: {f.number(len(text))} characters in all; hms-svc jobs show tells them"
            self.lines.append(line(cell(told, "warn")))


def tell_story(found: StoryOf, now: int) -> Told:
    """Tell all that is known of a job. `now` is Unix ms."""
    story = found.story
    teller = _Teller()
    _tell_view(teller, story.detail, found.why, now, archived=story.archived)
    _tell_sender(teller, story.detail)
    teller.fact("not known", found.unread and f"case and audit trail: {found.unread}", "warn")
    _tell_case(teller, story.case)
    _tell_json(teller, "Payload", story.detail.view.data)
    _tell_further(teller, story.detail)
    _tell_raw(teller, story.detail)
    if story.detail.result:
        _tell_json(teller, "Result", story.detail.result)
    _tell_progress(teller, story.detail.progress)
    _tell_attempts(teller, story.detail.attempts)
    _tell_history(teller, story.detail.history)
    _tell_audit(teller, story.audit)
    return Told(tuple(teller.lines), teller.links)


def _tell_view(teller: _Teller, detail: JobDetail, why: str, now: int, *, archived: bool) -> None:
    view = detail.view
    sign, role = SIGNS[view.state]
    of = f" of {view.max_attempts}" if view.max_attempts else ""
    teller.fact("job", view.id, "strong")
    teller.fact("type", view.type)
    teller.fact("state", f"{sign} {view.state}{', in the archive' if archived else ''}", role)
    teller.fact("why", why, "accent")
    teller.fact("reason", view.reason)
    teller.fact("raised by", view.by)
    teller.fact("detail", view.detail)
    teller.fact("failure", view.failure, "bad")
    teller.fact("attempt", f"{view.attempt}{of}")
    teller.fact("enqueued", f"{f.moment(view.enqueued_at)}, {f.age(now - view.enqueued_at)} ago")
    teller.fact("started", f.moment(view.started_at))
    teller.fact("finished", f.moment(view.finished_at))
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
        teller.fact("made from", detail.retried_from, link=f"job:{detail.retried_from}")


def _tell_sender(teller: _Teller, detail: JobDetail) -> None:
    for name, value in sender_facts(sent_shape(detail)):
        teller.fact(name, value)


def _tell_further(teller: _Teller, detail: JobDetail) -> None:
    sent = sent_shape(detail)
    for head, name in (("Meta", "meta"), ("Fields that nobody here knows", "unknown_fields")):
        if sent[name]:
            _tell_json(teller, head, encode(sent[name]))


def _tell_case(teller: _Teller, case: Case | None) -> None:
    if case is None:
        return
    teller.head("Case")
    teller.fact("case", case.id, "good", link=f"case:{case.id}")
    teller.fact("status", case.status.value)
    teller.fact("urgency", case.urgency)
    teller.fact("where", "" if case.lat is None else f"{case.lat:.6f}, {case.lon:.6f}")


def _tell_json(teller: _Teller, head: str, raw: bytes) -> None:
    teller.head(head)
    teller.text(pretty(raw))


def pretty(raw: bytes) -> str:
    """Write JSON over several lines; bytes that are none as they are, replaced where unreadable."""
    try:
        return json.dumps(decode(raw), indent=2, ensure_ascii=False)
    except (msgspec.DecodeError, RecursionError):
        return raw.decode(errors="replace")


def _tell_raw(teller: _Teller, detail: JobDetail) -> None:
    if detail.raw is not None:
        teller.head(f"Bytes that were handed in ({f.number(detail.raw_length)})")
        teller.fact("digest" if ":" in detail.raw_digest else "sha-256", detail.raw_digest)
        teller.text(detail.raw[:8192].decode(errors="replace"))


def _tell_progress(teller: _Teller, progress: Sequence[ProgressView]) -> None:
    if progress:
        teller.head("Progress")
    earlier = [each for each in progress[:-20] if not each.log]
    is_hidden = all(each.log for each in progress[-20:])
    for each in [*(earlier[-1:] if is_hidden else []), *progress[-20:]]:
        share = "" if each.share is None else f"{f.bar(each.share, 12)} {each.share:4.0%} "
        teller.lines.append(
            line(cell(f"  {f.clock(each.at)} ", "dim"), cell(share, "accent"), cell(each.message))
        )


def _tell_attempts(teller: _Teller, attempts: Sequence[AttemptView]) -> None:
    if attempts:
        teller.head("Attempts")
    for each in attempts:
        took = "running" if each.ended_at is None else f.duration(each.ended_at - each.started_at)
        teller.lines.append(
            line(
                cell(f"  {each.attempt}. ", "strong"),
                cell(f"{f.moment(each.started_at)}  {took}  {each.worker}", "dim"),
            )
        )
        if each.error:
            teller.text("   " + each.error, "bad")
        if each.traceback:
            teller.text("\n".join("   " + part for part in each.traceback.split("\n")), "dim")
        if each.log:
            teller.lines.append(line(Cell("     printed:", "dim")))
            teller.text("\n".join("   " + part for part in each.log.rstrip("\n").split("\n")))


def _tell_history(teller: _Teller, history: Iterable[Move]) -> None:
    teller.head("History")
    for move in history:
        sign, role = SIGNS[move.target]
        words = f": {move.detail}" if move.detail else ""
        teller.lines.append(
            line(
                cell(f"  {f.moment(move.at)}  ", "dim"),
                cell(f"{sign} {move.target.value.ljust(11)}", role),
                cell(f"{move.cause}{words}"),
            )
        )


def _tell_audit(teller: _Teller, records: Sequence[AuditRecord]) -> None:
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
    teller = _Teller()
    teller.fact("case", case.id, "strong")
    teller.fact("status", case.status.value, "good")
    teller.fact("kind", case.kind)
    teller.fact("urgency", case.urgency)
    teller.fact("where", "" if case.lat is None else f"{case.lat:.6f}, {case.lon:.6f}")
    teller.fact("reported by", case.user_id)
    teller.fact("opened", f"{f.moment(case.opened_at)}, {f.age(now - case.opened_at)} ago")
    teller.fact("closed", f.moment(case.closed_at))
    teller.fact("job", case.job_id, link=f"job:{case.job_id}")
    _tell_json(teller, "Data", case.data)
    return Told(tuple(teller.lines), teller.links)


def tell_audit(record: AuditRecord, now: int) -> Told:
    """Tell all of an audit row, with its place in the chain."""
    teller = _Teller()
    is_job = record.action.startswith("job.") and not record.subject.startswith("batch:")
    is_case = record.action.startswith("case.") and record.subject.startswith("case-")
    link = f"job:{record.subject}" if is_job else f"case:{record.subject}" if is_case else ""
    teller.fact("row", record.number, "strong")
    teller.fact("when", f"{f.moment(record.at)}, {f.age(now - record.at)} ago")
    teller.fact("who", record.actor, "strong")
    teller.fact("did", record.action, "accent")
    teller.fact("to", record.subject, link=link)
    teller.fact("link", "not sealed yet" if record.link is None else record.link)
    teller.fact("digest", record.digest)
    _tell_json(teller, "Detail", record.detail)
    return Told(tuple(teller.lines), teller.links)


def tell_event(event: Event, now: int) -> Told:
    """Tell all of an event that is not about a job."""
    teller = _Teller()
    teller.fact("event", event.type, "strong")
    teller.fact("when", f"{f.moment(event.at)}, {f.age(now - event.at)} ago")
    teller.fact("position", event.position)
    teller.fact("subject", event.subject)
    teller.fact("id", event.id)
    _tell_json(teller, "Data", event.data)
    return Told(tuple(teller.lines), teller.links)
