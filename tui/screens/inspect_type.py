"""One job type, whole."""

from __future__ import annotations

from typing import ClassVar

from hms_svc.operations.type_story import TypeStory
from tui.commands import Target
from tui.hints import States
from tui.looks import TypeLook
from tui.picture import Look, Picture
from tui.screens.inspect import Inspect
from tui.screens.room import one_line
from tui.trend import QueueTrend
from tui.type_story import tell_type
from tui.widgets.page import Page


class InspectType(Inspect):
    """How a type moves, who works on it, what fails, its newest results, what bounds it."""

    title_words: ClassVar[str] = "Type"

    def look(self) -> Look:
        """Ask for the type."""
        return TypeLook(self.job_id)

    def show(self, picture: Picture) -> None:
        """Tell of it."""
        found = picture.answer_to(self.look())
        page = self.query_one("#page", Page)
        if isinstance(found, TypeStory):
            told = tell_type(found, picture.trends.get(self.job_id, QueueTrend()), picture.at)
            page.show(told.lines, told.links)
        elif picture.seen is not None and picture.seen.look == self.look():
            page.show([one_line(f"queue {self.job_id} not found", "warn")])

    def target(self) -> Target | None:
        """Give the queue."""
        return Target(kind="queue", ids=(self.job_id,))

    def states(self) -> States:
        """Queues have none."""
        return None
