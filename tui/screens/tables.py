"""The screens Failures, Cases, Events and Audit: one table each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

from textual.widget import Widget

from hms_svc.domain.case import Case
from hms_svc.domain.event import AUDIT_SEALED, EVENTS_GAP, Event
from hms_svc.domain.views import FailureGroup
from hms_svc.tui import columns, record_rows, rows
from hms_svc.tui.audit_rows import Folded, audit_rows, read_audit_query
from hms_svc.tui.case_query import read_case_query
from hms_svc.tui.commands import Target
from hms_svc.tui.hints import States
from hms_svc.tui.job_page import case_page, event_page, folded_audit_page
from hms_svc.tui.page_lines import PageText
from hms_svc.tui.preview import Read, preview_group
from hms_svc.tui.queries import (
    AuditRows,
    AuditRowsQuery,
    CaseRows,
    CasesQuery,
    EventsQuery,
    PreviewQuery,
)
from hms_svc.tui.screens.previewed import PreviewedScreen
from hms_svc.tui.snapshot import ScreenQuery, Snapshot
from hms_svc.tui.text import Column, Line, Row, line
from hms_svc.tui.widgets.grid import Grid

ROWS = 100
_OF_NO_JOB: Final = frozenset({AUDIT_SEALED, EVENTS_GAP})


class TableScreen(PreviewedScreen):
    """A screen with one table."""

    shown_columns: ClassVar[Sequence[Column]] = ()
    empty: ClassVar[Sequence[Line]] = ()
    follows: ClassVar[bool] = False
    keeps_order: ClassVar[bool] = False
    most: ClassVar[int | None] = None
    """How many rows are queried; None for all."""

    def list_body(self) -> Iterable[Widget]:
        """Return the table."""
        yield Grid(
            self.shown_columns,
            id="table",
            empty=self.empty,
            follows=self.follows,
            keeps_order=self.keeps_order,
        )

    @property
    def grid(self) -> Grid:
        """The table."""
        return self.query_one("#table", Grid)

    def rows_of(self, snapshot: Snapshot) -> list[Row] | None:
        """Return the rows, None if they are not known yet."""
        raise NotImplementedError

    def show(self, snapshot: Snapshot) -> None:
        """Fill the table."""
        found = self.rows_of(snapshot)
        if found is not None:
            self.grid.is_whole = self.most is None or len(found) < self.most
            self.grid.show(found)


class QueriedTable(TableScreen):
    """A table of the database: some terms of its filter go to the server, the others filter rows here."""

    first_query: ClassVar[ScreenQuery]

    def __init__(self) -> None:
        super().__init__()
        self._typed_filter = ""
        self._server_query = self.first_query

    def data_query(self) -> ScreenQuery:
        """Query the newest matching rows."""
        return self._server_query

    def read_query(self, text: str) -> tuple[ScreenQuery, str]:
        """Parse a filter into a query for the server and the rest; raise BadInput if it is invalid."""
        raise NotImplementedError

    @property
    def filter_text(self) -> str:
        """The filter as it was typed."""
        return self._typed_filter

    def take_text(self, text: str) -> None:
        """Apply a filter: some terms on the server, the others on its rows."""
        question, row_filter = self.read_query(text)
        if question != self._server_query:
            self._server_query = question
            self.grid.wait()
        self._typed_filter = text
        self.grid.rearrange(row_filter=row_filter)
        self.ask()

    def filter_texts(self) -> list[tuple[str, Grid]]:
        """Return the whole filter, including the terms for the server."""
        return [(self._typed_filter, self.grid)] if self._typed_filter else []

    def clear_text(self) -> None:
        """Clear the filter."""
        self.take_text("")


class Failures(TableScreen):
    """Retrying, dead and rejected jobs by cause, retrying ones first, then by the newest failure.

    The order is kept while the screen is open; new groups are appended, and counted in the
    heading.
    """

    heading: ClassVar[str] = "Failures"
    shown_columns: ClassVar[Sequence[Column]] = columns.FAILURES
    empty: ClassVar[Sequence[Line]] = (
        line("Nothing is failing, nothing is dead, nothing was rejected."),
    )
    keeps_order: ClassVar[bool] = True

    def wants(self) -> dict[str, bool]:
        """Return that failures are needed."""
        return {"failures": True}

    def rows_of(self, snapshot: Snapshot) -> list[Row] | None:
        """Return every group."""
        return rows.failure_rows(snapshot.failures, snapshot.at)

    def target(self) -> Target | None:
        """Return the group at the cursor."""
        cursor = self.grid.chosen
        if cursor is None:
            return None
        return Target(kind="group", ids=(cursor,), where=f"cause:{cursor}")

    def _group(self, key: str | None) -> FailureGroup | None:
        groups = self.console.store.snapshot.failures
        return next((group for group in groups if group.id == key), None)

    def states(self) -> States:
        """Return the state of the group at the cursor."""
        group = self._group(self.grid.cursor)
        return None if group is None else {group.state}

    def preview_query_of(self, key: str) -> PreviewQuery | None:
        """Return the query for the newest job of the group."""
        group = self._group(key)
        return None if group is None or not group.newest_id else PreviewQuery(group.newest_id)

    def preview(self, key: str, read: Read, snapshot: Snapshot) -> PageText | None:
        """Return the preview of the cause, with its newest job."""
        group = self._group(key)
        return None if group is None else preview_group(group, read, snapshot.at)


class Cases(QueriedTable):
    """The cases that jobs opened."""

    heading: ClassVar[str] = "Cases"
    shown_columns: ClassVar[Sequence[Column]] = columns.CASES
    empty: ClassVar[Sequence[Line]] = (line("No case has been opened."),)
    most: ClassVar[int | None] = ROWS

    first_query: ClassVar[ScreenQuery] = CasesQuery(None, ROWS)

    def read_query(self, text: str) -> tuple[ScreenQuery, str]:
        """Parse a filter by state and kind."""
        status, kind, row_filter = read_case_query(text)
        return CasesQuery(status, ROWS, kind), row_filter

    def rows_of(self, snapshot: Snapshot) -> list[Row] | None:
        """Return every case of the page."""
        page = snapshot.answer_to(self.data_query())
        now = self.console.now_ms()
        return record_rows.case_rows(page.cases, now) if isinstance(page, CaseRows) else None

    def _case(self, key: str | None) -> Case | None:
        page = self.console.store.snapshot.answer_to(self.data_query())
        cases = page.cases if isinstance(page, CaseRows) else ()
        return next((case for case in cases if case.id == key), None)

    def preview(self, key: str, read: Read, snapshot: Snapshot) -> PageText | None:
        """Return the page of the case."""
        case = self._case(key)
        return None if case is None else case_page(case, self.console.now_ms())

    def target(self) -> Target | None:
        """Return the case at the cursor."""
        cursor = self.grid.chosen
        return None if cursor is None else Target(kind="case", ids=(cursor,))

    def states(self) -> States:
        """Return whether the case at the cursor is open or closed."""
        case = self._case(self.grid.cursor)
        return None if case is None else {case.status}


class Events(TableScreen):
    """The event stream, newest first."""

    heading: ClassVar[str] = "Events"
    shown_columns: ClassVar[Sequence[Column]] = columns.EVENTS
    empty: ClassVar[Sequence[Line]] = (line("No events yet."),)
    most: ClassVar[int | None] = ROWS
    follows: ClassVar[bool] = True

    def data_query(self) -> ScreenQuery:
        """Query the newest events."""
        return EventsQuery(ROWS)

    def rows_of(self, snapshot: Snapshot) -> list[Row] | None:
        """Return every event."""
        found = snapshot.answer_to(self.data_query())
        return record_rows.event_rows(found) if isinstance(found, tuple) else None

    def target(self) -> Target | None:
        """Return the event at the cursor."""
        cursor = self.grid.chosen
        return None if cursor is None else Target(kind="event", ids=(cursor.partition(":")[2],))

    def _event(self, key: str | None) -> Event | None:
        position = (key or "").partition(":")[0]
        found = self.console.store.snapshot.answer_to(self.data_query())
        events = found if isinstance(found, tuple) else ()
        return next((event for event in events if str(event.position) == position), None)

    def preview(self, key: str, read: Read, snapshot: Snapshot) -> PageText | None:
        """Return the page of the event."""
        event = self._event(key)
        return None if event is None else event_page(event, snapshot.at)

    def event_of_no_job(self) -> Event | None:
        """Return the event at the cursor if it is not about a job."""
        event = self._event(self.grid.cursor)
        return event if event is not None and event.type in _OF_NO_JOB else None


class Audit(QueriedTable):
    """Who did what, and why; a bulk action is one row."""

    heading: ClassVar[str] = "Audit"
    shown_columns: ClassVar[Sequence[Column]] = columns.AUDIT
    empty: ClassVar[Sequence[Line]] = (line("No audit records match."),)
    most: ClassVar[int | None] = ROWS

    first_query: ClassVar[ScreenQuery] = AuditRowsQuery(ROWS)

    def read_query(self, text: str) -> tuple[ScreenQuery, str]:
        """Parse a filter by actor, action and subject."""
        query, row_filter = read_audit_query(text)
        return AuditRowsQuery(ROWS, query), row_filter

    def _seen(self) -> AuditRows | None:
        found = self.console.store.snapshot.answer_to(self.data_query())
        return found if isinstance(found, AuditRows) else None

    def rows_of(self, snapshot: Snapshot) -> list[Row] | None:
        """Return a row for each record or batch."""
        seen = self._seen()
        return None if seen is None else audit_rows(seen.folded)

    def _folded(self, key: str | None) -> Folded | None:
        seen = self._seen()
        found = seen.folded if seen is not None else ()
        return next((each for each in found if each.key == key), None)

    def preview(self, key: str, read: Read, snapshot: Snapshot) -> PageText | None:
        """Return the page of the record or batch."""
        folded = self._folded(key)
        return None if folded is None else folded_audit_page(folded, self.console.now_ms())

    def target(self) -> Target | None:
        """Return the record at the cursor, or the batch."""
        folded = self._folded(self.grid.chosen)
        return None if folded is None else Target(kind="audit", ids=(folded.key,))
