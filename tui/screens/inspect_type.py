"""One job type, whole."""

from __future__ import annotations

from typing import ClassVar

from hms_svc.operations.type_detail import TypeDetail
from hms_svc.tui.commands import Target
from hms_svc.tui.page_lines import PageText
from hms_svc.tui.queries import TypeQuery
from hms_svc.tui.screens.inspect import Reading
from hms_svc.tui.snapshot import ScreenQuery
from hms_svc.tui.trend import QueueTrend
from hms_svc.tui.type_page import type_page


class InspectType(Reading):
    """How a type moves, who works on it, what fails, its newest results, what bounds it."""

    heading: ClassVar[str] = "Type"
    kind: ClassVar[str] = "queue"

    def data_query(self) -> ScreenQuery:
        """Ask for the type."""
        return TypeQuery(self.id_of_it)

    def tell(self, found: object, now: int) -> PageText | None:
        """Describe it."""
        if not isinstance(found, TypeDetail):
            return None
        trends = self.console.store.snapshot.trends
        return type_page(found, trends.get(self.id_of_it, QueueTrend()), now)

    def target(self) -> Target | None:
        """Return the queue."""
        return Target(kind="queue", ids=(self.id_of_it,))
