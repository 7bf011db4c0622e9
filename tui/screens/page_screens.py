"""Pages with all details of one job, case, audit row, batch or event."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from hms_svc.domain.case import Case
from hms_svc.domain.event import Event
from hms_svc.domain.views import AuditRecord
from hms_svc.tui import formats as f
from hms_svc.tui.audit_rows import Folded
from hms_svc.tui.commands import Target
from hms_svc.tui.hints import States
from hms_svc.tui.job_page import audit_page, case_page, event_page, folded_audit_page, job_page
from hms_svc.tui.page_lines import PageText, pretty
from hms_svc.tui.queries import AuditRowQuery, BatchQuery, CaseQuery, JobQuery
from hms_svc.tui.screens.base import ConsoleScreen
from hms_svc.tui.snapshot import FullJobSeen, ScreenQuery, Snapshot
from hms_svc.tui.text import Cell, cell, line
from hms_svc.tui.widgets.bar import Bar
from hms_svc.tui.widgets.page import Page
from hms_svc.tui.widgets.prompt import Mode

Copies = list[tuple[str, str, str]]
"""What can be copied: a key, what it is, and the text."""


class PageScreen(ConsoleScreen):
    """A screen with one page of text about one subject."""

    kind: ClassVar[str] = "job"
    without: ClassVar[frozenset[str]] = frozenset({"preview", "sort", "inspect", "filter"})
    own_keys: ClassVar[tuple[tuple[str, str], ...]] = (
        ("/", "search"),
        ("y", "copy"),
        ("z", "fold"),
        ("tab", "links"),
        ("W", "wrap"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "stop(1)", "Next link or section", show=False),
        Binding("shift+tab", "stop(-1)", "Link or section before", show=False),
    ]

    def __init__(self, id: str) -> None:
        super().__init__()
        self.subject_id = id

    def body(self) -> Iterable[Widget]:
        """Return the page."""
        yield Page(id="page")

    @property
    def page(self) -> Page:
        """The page."""
        return self.query_one("#page", Page)

    def build_page(self, found: object, now: int) -> PageText | None:
        """Return the page of the answer; None if the subject was not found."""
        raise NotImplementedError

    def show(self, snapshot: Snapshot) -> None:
        """Show the page."""
        described = self.build_page(snapshot.answer_to(self.data_query()), snapshot.at)
        if described is not None:
            self.page.show(described.lines, described.links, described.heads)
        elif snapshot.seen is not None and snapshot.seen.data_query == self.data_query():
            self.page.show([line(cell(f"{self.kind} {self.subject_id} not found", "warn"))])

    def copies(self) -> Copies:
        """Return what can be copied from the page."""
        text = self.page.text
        return [("i", "id", self.subject_id), ("a", "the whole page", text)]

    @property
    def filter_mode(self) -> Mode:
        """The mode of the prompt that `/` opens here: a search in the page."""
        return "search"

    @property
    def filter_text(self) -> str:
        """The text that was searched for last."""
        return self.page.search_text

    def complete_text(self, text: str) -> list[str]:
        """Return nothing: a search has no completions."""
        return []

    def take_text(self, text: str) -> None:
        """Search for a text in the page."""
        self.page.search(text)

    def draw_text(self) -> None:
        """Show the search, and whether lines are unwrapped or followed."""
        page, parts = self.page, [Cell(" ")]
        if page.search_text:
            at, of = page.hit
            parts += [
                cell(page.search_text, "accent"),
                cell(
                    f"  match {f.number(at)} of {f.number(of)}  " if of else "  not found  ",
                    "dim" if of else "warn",
                ),
            ]
        parts += [] if page.wraps else [cell("lines are not wrapped: ← → scroll, W wraps  ", "dim")]
        parts += [cell("following", "accent")] if page.is_following else []
        bar = self.query_one("#narrowing", Bar)
        bar.display = len(parts) > 1
        bar.show(
            tuple(parts),
            line(cell("n N next, previous  esc clear ", "dim")) if page.search_text else (),
        )

    def on_page_changed(self, message: Page.Changed) -> None:
        """Show the new state of the page."""
        message.stop()
        self.draw_text()

    def on_page_followed(self, message: Page.Followed) -> None:
        """Follow the link."""
        message.stop()
        self.console.follow(message.target)

    def action_stop(self, step: int) -> None:
        """Go to the next or previous link or section."""
        self.page.action_next_stop(step)

    def action_escape(self) -> None:
        """Clear the search, else close the page."""
        if self.page.search_text:
            self.page.search("")
        else:
            super().action_escape()


class Inspect(PageScreen):
    """Payload, result, every attempt with its error, history, case and audit of one job."""

    heading: ClassVar[str] = "Job"

    def data_query(self) -> ScreenQuery:
        """Query the job."""
        return JobQuery(self.subject_id)

    def _found(self) -> FullJobSeen | None:
        found = self.console.store.snapshot.answer_to(self.data_query())
        return found if isinstance(found, FullJobSeen) else None

    def build_page(self, found: object, now: int) -> PageText | None:
        """Return the page of the job."""
        return job_page(found, now) if isinstance(found, FullJobSeen) else None

    def target(self) -> Target | None:
        """Return the job."""
        return Target(kind="job", ids=(self.subject_id,))

    def states(self) -> States:
        """Return the state of the job."""
        found = self._found()
        return None if found is None else {found.full_job.detail.view.state}

    def copies(self) -> Copies:
        """Return what can be copied of the job."""
        copies, found = super().copies(), self._found()
        if found is None:
            return copies
        detail = found.full_job.detail
        errors = [each.traceback or each.error for each in detail.attempts if each.error]
        more = (
            ("p", "payload", pretty(detail.view.data)),
            ("r", "result", pretty(detail.result) if detail.result else ""),
            ("t", "latest error, with its traceback", errors[-1] if errors else ""),
            ("w", "why", found.why),
            ("c", "command line", f"hms-svc jobs show {self.subject_id}"),
        )
        return [copies[0], *(each for each in more if each[2]), *copies[1:]]


class InspectCase(PageScreen):
    """One case."""

    heading: ClassVar[str] = "Case"
    kind: ClassVar[str] = "case"

    def data_query(self) -> ScreenQuery:
        """Query the case."""
        return CaseQuery(self.subject_id)

    def build_page(self, found: object, now: int) -> PageText | None:
        """Show the page."""
        return case_page(found, now) if isinstance(found, Case) else None

    def target(self) -> Target | None:
        """Return the case."""
        return Target(kind="case", ids=(self.subject_id,))

    def states(self) -> States:
        """Return whether it is open or closed."""
        found = self.console.store.snapshot.answer_to(self.data_query())
        return {found.status} if isinstance(found, Case) else None


class InspectAudit(PageScreen):
    """One audit row."""

    heading: ClassVar[str] = "Audit row"
    kind: ClassVar[str] = "audit row"

    def data_query(self) -> ScreenQuery:
        """Query the row."""
        return AuditRowQuery(int(self.subject_id))

    def build_page(self, found: object, now: int) -> PageText | None:
        """Show the page."""
        return audit_page(found, now) if isinstance(found, AuditRecord) else None

    def target(self) -> Target | None:
        """Return the row."""
        return Target(kind="audit", ids=(self.subject_id,))


class InspectBatch(PageScreen):
    """The audit rows of one bulk action; the id is the action, a space, and the batch."""

    heading: ClassVar[str] = "Batch"
    kind: ClassVar[str] = "batch"

    def data_query(self) -> ScreenQuery:
        """Query the rows of the batch."""
        action, _, batch = self.subject_id.partition(" ")
        return BatchQuery(batch, action)

    def build_page(self, found: object, now: int) -> PageText | None:
        """Show the page."""
        return folded_audit_page(found, now) if isinstance(found, Folded) else None

    def target(self) -> Target | None:
        """Return the batch."""
        return Target(kind="audit", ids=(self.subject_id,))


class InspectEvent(PageScreen):
    """One event that is not about a job. It is not read again: events do not change."""

    heading: ClassVar[str] = "Event"
    kind: ClassVar[str] = "event"

    def __init__(self, event: Event) -> None:
        super().__init__(event.id)
        self._event = event

    def show(self, snapshot: Snapshot) -> None:
        """Show the page."""
        described = event_page(self._event, snapshot.at)
        self.page.show(described.lines, described.links, described.heads)
