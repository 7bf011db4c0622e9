"""One job, one case, one audit row or one event, whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from hms_svc.domain.case import Case
from hms_svc.domain.event import Event
from hms_svc.domain.views import AuditRecord
from tui import formatting as f
from tui.audit_rows import Folded
from tui.commands import Target
from tui.hints import States
from tui.looks import AuditRowLook, BatchLook, CaseLook, StoryLook
from tui.picture import Look, Picture, StoryOf
from tui.screens.room import Room
from tui.story import tell_audit, tell_case, tell_event, tell_folded, tell_story
from tui.telling import Told, pretty
from tui.text import Cell, cell, line
from tui.widgets.bar import Bar
from tui.widgets.page import Page
from tui.widgets.prompt import Mode

Copies = list[tuple[str, str, str]]
"""What can be copied: a key, what it is, and the text."""


class Reading(Room):
    """A page to read, about one thing."""

    kind: ClassVar[str] = "job"
    without: ClassVar[frozenset[str]] = frozenset({"preview", "sort", "inspect", "filter"})
    own_keys: ClassVar[tuple[tuple[str, str], ...]] = (
        ("/", "search"), ("y", "copy"), ("z", "fold"), ("tab", "links"), ("W", "wrap"),
    )  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "stop(1)", "Next link or section", show=False),
        Binding("shift+tab", "stop(-1)", "Link or section before", show=False),
    ]

    def __init__(self, id: str) -> None:
        super().__init__()
        self.id_of_it = id

    def body(self) -> Iterable[Widget]:
        """Give the page."""
        yield Page(id="page")

    @property
    def page(self) -> Page:
        """The page."""
        return self.query_one("#page", Page)

    def tell(self, found: object, now: int) -> Told | None:
        """Describe what was found; None where it is not there."""
        raise NotImplementedError

    def show(self, picture: Picture) -> None:
        """Describe it."""
        told = self.tell(picture.answer_to(self.look()), picture.at)
        if told is not None:
            self.page.show(told.lines, told.links, told.heads)
        elif picture.seen is not None and picture.seen.look == self.look():
            self.page.show([line(cell(f"{self.kind} {self.id_of_it} not found", "warn"))])

    def copies(self) -> Copies:
        """Return what can be copied from here."""
        text = self.page.text
        return [("i", "id", self.id_of_it), ("a", "the whole page", text)]

    @property
    def filter_mode(self) -> Mode:
        """What is typed after `/` here: words to look for in the page."""
        return "search"

    @property
    def filter_text(self) -> str:
        """What was looked for last."""
        return self.page.words

    def complete_words(self, text: str) -> list[str]:
        """Return nothing: any words can be looked for."""
        return []

    def take_words(self, text: str) -> None:
        """Look for words in the page."""
        self.page.search(text)

    def draw_words(self) -> None:
        """Say what is looked for, and how lines are shown, where that is not as usual."""
        page, parts = self.page, [Cell(" ")]
        if page.words:
            at, of = page.hit
            parts += [cell(page.words, "accent"), cell(f"  match {f.number(at)} of {f.number(of)}  " if of else "  not found  ", "dim" if of else "warn")]  # fmt: skip
        parts += [] if page.wraps else [cell("lines are not wrapped: ← → scroll, W wraps  ", "dim")]
        parts += [cell("following", "accent")] if page.is_following else []
        bar = self.query_one("#words", Bar)
        bar.display = len(parts) > 1
        bar.show(
            tuple(parts), line(cell("n N next, previous  esc clear ", "dim")) if page.words else ()
        )

    def on_page_changed(self, message: Page.Changed) -> None:
        """Say how the page is shown now."""
        message.stop()
        self.draw_words()

    def on_page_followed(self, message: Page.Followed) -> None:
        """Go where the link leads."""
        message.stop()
        self.console.navigation.follow(message.target)

    def action_stop(self, step: int) -> None:
        """Go to the next or the former link or section."""
        self.page.action_next_stop(step)

    def action_escape(self) -> None:
        """Take back what is looked for, then the page."""
        if self.page.words:
            self.page.search("")
        else:
            super().action_escape()


class Inspect(Reading):
    """Payload, result, every attempt with its error, history, case and audit of one job."""

    title_words: ClassVar[str] = "Job"

    def look(self) -> Look:
        """Ask for the job."""
        return StoryLook(self.id_of_it)

    def _found(self) -> StoryOf | None:
        found = self.console.store.picture.answer_to(self.look())
        return found if isinstance(found, StoryOf) else None

    def tell(self, found: object, now: int) -> Told | None:
        """Describe the story."""
        return tell_story(found, now) if isinstance(found, StoryOf) else None

    def target(self) -> Target | None:
        """Return the job."""
        return Target(kind="job", ids=(self.id_of_it,))

    def states(self) -> States:
        """Return the state of the job."""
        found = self._found()
        return None if found is None else {found.story.detail.view.state}

    def copies(self) -> Copies:
        """Return what can be copied of the job, as far as it has it."""
        copies, found = super().copies(), self._found()
        if found is None:
            return copies
        detail = found.story.detail
        errors = [each.traceback or each.error for each in detail.attempts if each.error]
        more = (
            ("p", "payload", pretty(detail.view.data)),
            ("r", "result", pretty(detail.result) if detail.result else ""),
            ("t", "latest error, with its traceback", errors[-1] if errors else ""),
            ("w", "why", found.why),
            ("c", "command line", f"hms-svc jobs show {self.id_of_it}"),
        )
        return [copies[0], *(each for each in more if each[2]), *copies[1:]]


class InspectCase(Reading):
    """One case."""

    title_words: ClassVar[str] = "Case"
    kind: ClassVar[str] = "case"

    def look(self) -> Look:
        """Ask for the case."""
        return CaseLook(self.id_of_it)

    def tell(self, found: object, now: int) -> Told | None:
        """Describe it."""
        return tell_case(found, now) if isinstance(found, Case) else None

    def target(self) -> Target | None:
        """Give the case."""
        return Target(kind="case", ids=(self.id_of_it,))

    def states(self) -> States:
        """Return whether it is open or closed."""
        found = self.console.store.picture.answer_to(self.look())
        return {found.status} if isinstance(found, Case) else None


class InspectAudit(Reading):
    """One audit row."""

    title_words: ClassVar[str] = "Audit row"
    kind: ClassVar[str] = "audit row"

    def look(self) -> Look:
        """Ask for the row."""
        return AuditRowLook(int(self.id_of_it))

    def tell(self, found: object, now: int) -> Told | None:
        """Describe it."""
        return tell_audit(found, now) if isinstance(found, AuditRecord) else None

    def target(self) -> Target | None:
        """Give the row."""
        return Target(kind="audit", ids=(self.id_of_it,))


class InspectBatch(Reading):
    """The audit rows of one act on many jobs; the id is the action, a blank, and the batch."""

    title_words: ClassVar[str] = "Batch"
    kind: ClassVar[str] = "batch"

    def look(self) -> Look:
        """Ask for its rows."""
        action, _, batch = self.id_of_it.partition(" ")
        return BatchLook(batch, action)

    def tell(self, found: object, now: int) -> Told | None:
        """Describe it."""
        return tell_folded(found, now) if isinstance(found, Folded) else None

    def target(self) -> Target | None:
        """Return the batch."""
        return Target(kind="audit", ids=(self.id_of_it,))


class InspectEvent(Reading):
    """One event that is not about a job. It is told as it was read: events do not change."""

    title_words: ClassVar[str] = "Event"
    kind: ClassVar[str] = "event"

    def __init__(self, event: Event) -> None:
        super().__init__(event.id)
        self._event = event

    def show(self, picture: Picture) -> None:
        """Describe it."""
        told = tell_event(self._event, picture.at)
        self.page.show(told.lines, told.links, told.heads)
