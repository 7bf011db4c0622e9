"""One job or one case, whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.widget import Widget

from hms_svc.domain.case import Case
from hms_svc.domain.event import Event
from hms_svc.domain.views import AuditRecord
from tui.commands import Target
from tui.hints import States
from tui.looks import AuditRowLook, CaseLook, StoryLook
from tui.picture import Look, Picture, StoryOf
from tui.screens.room import Room, one_line
from tui.story import tell_audit, tell_case, tell_event, tell_story
from tui.widgets.page import Page


class Inspect(Room):
    """Payload, result, every attempt with its error, history, case and audit of one job."""

    title_words: ClassVar[str] = "Job"

    def __init__(self, job_id: str) -> None:
        super().__init__()
        self.job_id = job_id

    def body(self) -> Iterable[Widget]:
        """Give the page."""
        yield Page(id="page")

    def look(self) -> Look:
        """Ask for the job."""
        return StoryLook(self.job_id)

    def show(self, picture: Picture) -> None:
        """Tell the story."""
        found = picture.answer_to(self.look())
        page = self.query_one("#page", Page)
        if isinstance(found, StoryOf):
            told = tell_story(found, picture.at)
            page.show(told.lines, told.links)
        elif picture.seen is not None and picture.seen.look == self.look():
            page.show([one_line(f"job {self.job_id} not found", "warn")])

    def target(self) -> Target | None:
        """Give the job."""
        return Target(kind="job", ids=(self.job_id,))

    def states(self) -> States:
        """Give the state of the job, or of the case."""
        found = self.console.store.picture.answer_to(self.look())
        if isinstance(found, StoryOf):
            return {found.story.detail.view.state}
        return {found.status} if isinstance(found, Case) else None

    def on_page_followed(self, message: Page.Followed) -> None:
        """Go where the link leads."""
        message.stop()
        self.console.navigation.follow(message.target)


class InspectCase(Inspect):
    """One case."""

    title_words: ClassVar[str] = "Case"

    def look(self) -> Look:
        """Ask for the case."""
        return CaseLook(self.job_id)

    def show(self, picture: Picture) -> None:
        """Tell of it."""
        found = picture.answer_to(self.look())
        if isinstance(found, Case):
            told = tell_case(found, picture.at)
            self.query_one("#page", Page).show(told.lines, told.links)

    def target(self) -> Target | None:
        """Give the case."""
        return Target(kind="case", ids=(self.job_id,))


class InspectAudit(Inspect):
    """One audit row."""

    title_words: ClassVar[str] = "Audit row"

    def look(self) -> Look:
        """Ask for the row."""
        return AuditRowLook(int(self.job_id))

    def show(self, picture: Picture) -> None:
        """Tell of it."""
        found = picture.answer_to(self.look())
        if isinstance(found, AuditRecord):
            told = tell_audit(found, picture.at)
            self.query_one("#page", Page).show(told.lines, told.links)
        elif picture.seen is not None and picture.seen.look == self.look():
            self.query_one("#page", Page).show(
                [one_line(f"audit row {self.job_id} not found", "warn")]
            )

    def target(self) -> Target | None:
        """Give the row."""
        return Target(kind="audit", ids=(self.job_id,))


class InspectEvent(Room):
    """One event that is not about a job. It is told as it was read: events do not change."""

    title_words: ClassVar[str] = "Event"

    def __init__(self, event: Event) -> None:
        super().__init__()
        self._event = event

    def body(self) -> Iterable[Widget]:
        """Give the page."""
        yield Page(id="page")

    def show(self, picture: Picture) -> None:
        """Tell of it."""
        told = tell_event(self._event, picture.at)
        self.query_one("#page", Page).show(told.lines, told.links)
