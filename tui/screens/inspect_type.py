"""The page of one job type."""

from __future__ import annotations

from typing import ClassVar

from hms_svc.operations.type_detail import TypeDetail
from hms_svc.tui.commands import Target
from hms_svc.tui.page_lines import PageText
from hms_svc.tui.queries import TypeQuery
from hms_svc.tui.screens.page_screens import PageScreen
from hms_svc.tui.snapshot import ScreenQuery
from hms_svc.tui.trend import QueueTrend
from hms_svc.tui.type_page import type_page


class InspectType(PageScreen):
    """The rates, workers, failures, newest results, settings and limits of one job type."""

    heading: ClassVar[str] = "Type"
    kind: ClassVar[str] = "queue"

    def data_query(self) -> ScreenQuery:
        """Query the type."""
        return TypeQuery(self.subject_id)

    def build_page(self, found: object, now: int) -> PageText | None:
        """Return the page of the type."""
        if not isinstance(found, TypeDetail):
            return None
        trends = self.console.store.snapshot.trends
        return type_page(found, trends.get(self.subject_id, QueueTrend()), now)

    def target(self) -> Target | None:
        """Return the queue."""
        return Target(kind="queue", ids=(self.subject_id,))
