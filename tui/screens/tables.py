"""Failures, Cases, Events and Audit: one table each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

from textual.widget import Widget

from hms_svc.domain.event import AUDIT_SEALED, EVENTS_GAP, Event
from tui import columns, rows
from tui.commands import Target
from tui.hints import States
from tui.looks import AuditLook, CasePage, CasesLook, EventsLook
from tui.order import KeptOrder
from tui.picture import Look, Picture
from tui.screens.room import Room
from tui.text import Column, Line, Row, line
from tui.widgets.grid import Grid

ROWS = 100
_OF_NO_JOB: Final = frozenset({AUDIT_SEALED, EVENTS_GAP})


class TableRoom(Room):
    """A room of one grid."""

    shown_columns: ClassVar[Sequence[Column]] = ()
    empty: ClassVar[Sequence[Line]] = ()
    follows: ClassVar[bool] = False

    def body(self) -> Iterable[Widget]:
        """Give the grid."""
        yield Grid(self.shown_columns, id="table", empty=self.empty, follows=self.follows)

    @property
    def grid(self) -> Grid:
        """The table."""
        return self.query_one("#table", Grid)

    def rows_of(self, picture: Picture) -> list[Row] | None:
        """Give the rows, None where they are not known yet."""
        raise NotImplementedError

    def show(self, picture: Picture) -> None:
        """Fill the table."""
        found = self.rows_of(picture)
        if found is not None:
            self.grid.show(found)


class Failures(TableRoom):
    """Retrying, dead and rejected jobs by cause, what is failing now first, then by the newest failure.

    That order is taken when the screen is opened, and kept while it is; groups that come
    then stand at the end, and are counted in the head.
    """

    title_words: ClassVar[str] = "Failures"
    shown_columns: ClassVar[Sequence[Column]] = columns.FAILURES
    empty: ClassVar[Sequence[Line]] = (
        line("Nothing is failing, nothing is dead, nothing was rejected."),
    )

    def wants(self) -> dict[str, bool]:
        """Give the groups."""
        return {"failures": True}

    def __init__(self) -> None:
        super().__init__()
        self._order = KeptOrder()

    def on_screen_resume(self) -> None:
        """Take the order anew."""
        self._order.forget()
        super().on_screen_resume()

    def show(self, picture: Picture) -> None:
        """Fill the table in the order that it has."""
        kept, new = self._order.keep(rows.failure_rows(picture.failures, picture.at))
        self.grid.show(kept, title=f"+{new} new" if new else "Failures")

    def target(self) -> Target | None:
        """Give the group at the cursor."""
        cursor = self.grid.chosen
        if cursor is None:
            return None
        return Target(kind="group", ids=(cursor,), where=f"cause:{cursor}")

    def states(self) -> States:
        """Give the state of the group at the cursor."""
        groups = self.console.store.picture.failures
        return {group.state for group in groups if group.id == self.grid.cursor} or None


class Cases(TableRoom):
    """The rows that jobs made."""

    title_words: ClassVar[str] = "Cases"
    shown_columns: ClassVar[Sequence[Column]] = columns.CASES
    empty: ClassVar[Sequence[Line]] = (line("No case has been opened."),)

    def look(self) -> Look:
        """Ask for the newest."""
        return CasesLook(None, ROWS)

    def rows_of(self, picture: Picture) -> list[Row] | None:
        """Give every case of the page."""
        page = picture.answer_to(self.look())
        now = self.console.now_ms()
        return rows.case_rows(page.cases, now) if isinstance(page, CasePage) else None

    def target(self) -> Target | None:
        """Give the case at the cursor."""
        cursor = self.grid.chosen
        return None if cursor is None else Target(kind="case", ids=(cursor,))

    def states(self) -> States:
        """Give whether the case at the cursor is open or closed."""
        page = self.console.store.picture.answer_to(self.look())
        cases = page.cases if isinstance(page, CasePage) else ()
        return {case.status for case in cases if case.id == self.grid.cursor} or None


class Events(TableRoom):
    """The result bus, newest first."""

    title_words: ClassVar[str] = "Events"
    shown_columns: ClassVar[Sequence[Column]] = columns.EVENTS
    empty: ClassVar[Sequence[Line]] = (line("Nothing was announced yet."),)
    follows: ClassVar[bool] = True

    def look(self) -> Look:
        """Ask for the newest."""
        return EventsLook(ROWS)

    def rows_of(self, picture: Picture) -> list[Row] | None:
        """Give every event."""
        found = picture.answer_to(self.look())
        return rows.event_rows(found) if isinstance(found, tuple) else None

    def target(self) -> Target | None:
        """Give the job that the event at the cursor tells of."""
        cursor = self.grid.chosen
        return None if cursor is None else Target(kind="event", ids=(cursor.partition(":")[2],))

    def event_of_no_job(self) -> Event | None:
        """Give the event at the cursor where it is about no job."""
        position = (self.grid.cursor or "").partition(":")[0]
        found = self.console.store.picture.answer_to(self.look())
        for event in found if isinstance(found, tuple) else ():
            if not isinstance(event, Event) or str(event.position) != position:
                continue
            return event if event.type in _OF_NO_JOB else None
        return None


class Audit(TableRoom):
    """Who did what, and why."""

    title_words: ClassVar[str] = "Audit"
    shown_columns: ClassVar[Sequence[Column]] = columns.AUDIT
    empty: ClassVar[Sequence[Line]] = (line("Nobody has done anything yet."),)

    def look(self) -> Look:
        """Ask for the newest."""
        return AuditLook(ROWS)

    def rows_of(self, picture: Picture) -> list[Row] | None:
        """Give every record."""
        found = picture.answer_to(self.look())
        return rows.audit_rows(found) if isinstance(found, tuple) else None

    def target(self) -> Target | None:
        """Give the record at the cursor."""
        cursor = self.grid.chosen
        return None if cursor is None else Target(kind="audit", ids=(cursor,))
