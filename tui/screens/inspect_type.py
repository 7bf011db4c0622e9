"""One job type, whole."""

from __future__ import annotations

from typing import ClassVar

from hms_svc.operations.type_story import TypeStory
from tui.commands import Target
from tui.looks import TypeLook
from tui.picture import Look
from tui.screens.inspect import Reading
from tui.telling import Told
from tui.trend import QueueTrend
from tui.type_story import tell_type


class InspectType(Reading):
    """How a type moves, who works on it, what fails, its newest results, what bounds it."""

    title_words: ClassVar[str] = "Type"
    kind: ClassVar[str] = "queue"

    def look(self) -> Look:
        """Ask for the type."""
        return TypeLook(self.id_of_it)

    def tell(self, found: object, now: int) -> Told | None:
        """Describe it."""
        if not isinstance(found, TypeStory):
            return None
        trends = self.console.store.picture.trends
        return tell_type(found, trends.get(self.id_of_it, QueueTrend()), now)

    def target(self) -> Target | None:
        """Return the queue."""
        return Target(kind="queue", ids=(self.id_of_it,))
