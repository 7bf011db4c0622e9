"""The base of Jobs, Held and Schedules: a page of jobs by a filter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.widget import Widget

from hms_svc.domain.filter import parse_filter
from hms_svc.domain.lifecycle import TERMINAL, State
from hms_svc.domain.plain_text import plural
from hms_svc.domain.views import JobPage, JobView
from hms_svc.tui import formats as f
from hms_svc.tui.commands import Target
from hms_svc.tui.hints import States
from hms_svc.tui.page_lines import PageText
from hms_svc.tui.payload_summary import common_cause
from hms_svc.tui.preview import Read, preview_job
from hms_svc.tui.queries import JobsQuery, PreviewQuery
from hms_svc.tui.rows import cause_text
from hms_svc.tui.screens.previewed import PreviewedScreen
from hms_svc.tui.snapshot import ScreenQuery, Snapshot
from hms_svc.tui.text import Cell, Column, Line, Row, cell, line
from hms_svc.tui.widgets.bar import Bar
from hms_svc.tui.widgets.grid import Grid
from hms_svc.tui.widgets.prompt import Mode

MIN_ROWS = 10
LINES_AROUND = 4


class JobList(PreviewedScreen):
    """Shows one page; the next is read when the cursor moves beyond the last row."""

    shown_columns: ClassVar[Sequence[Column]] = ()
    empty: ClassVar[Sequence[Line]] = ()
    order: ClassVar[str] = "by state, newest first"
    where: str = ""

    def __init__(self) -> None:
        super().__init__()
        self._cursors: list[str | None] = [None]
        self._marked: frozenset[str] = frozenset()
        self._all_that_match = False
        self._turned = 0
        self._states: dict[str, State] = {}
        self._jobs: dict[str, JobView] = {}
        self.cause = ""
        """The cause in the filter, or that all jobs of the page share; shown above the list."""

    def list_body(self) -> Iterable[Widget]:
        """Return the line with the filter, and the table."""
        yield Bar(id="filter")
        yield Grid(self.shown_columns, id="jobs", empty=self.empty)

    @property
    def grid(self) -> Grid:
        """The table of jobs."""
        return self.query_one("#jobs", Grid)

    @property
    def filter_mode(self) -> Mode:
        """A filter of jobs on the server if the table of jobs is focused, else a row filter."""
        return "filter" if self.table is self.grid else "rows"

    @property
    def filter_text(self) -> str:
        """The filter of the jobs, or the row filter of another table."""
        return self.where if self.table is self.grid else super().filter_text

    def set_filter(self, where: str) -> None:
        """Show the first page of another filter."""
        if where != self.where:
            self.where, self._cursors, self._states = where, [None], {}
            self._forget_marks()
            self.grid.wait()

    def start_with(self, where: str) -> None:
        """Apply a filter, also before the screen is shown."""
        if self.is_mounted:
            self.set_filter(where)
        else:
            self.where = where

    def data_query(self) -> ScreenQuery:
        """Query a page of jobs."""
        return self.page_query()

    def page_of(self, snapshot: Snapshot) -> JobPage | None:
        """Return the page in the snapshot; None if it belongs to another query."""
        page = snapshot.answer_to(self.data_query())
        return page if isinstance(page, JobPage) else None

    def page_query(self) -> JobsQuery:
        """Return the query for as many jobs as fit on the screen."""
        limit = max(MIN_ROWS, self.size.height - LINES_AROUND - self.preview_lines)
        return JobsQuery(
            self.where, limit, self._cursors[-1], bool(parse_filter(self.where).unserved())
        )

    def rows_of(self, jobs: Sequence[JobView], snapshot: Snapshot) -> list[Row]:
        """Return the rows of jobs."""
        raise NotImplementedError

    def show(self, snapshot: Snapshot) -> None:
        """Show the page, if it is the answer to the current query."""
        page = self.page_of(snapshot)
        if page is not None:
            self._states |= {job.id: job.state for job in page.jobs}
            self._jobs = {job.id: job for job in page.jobs}
            self.cause = common_cause(page.jobs, parse_filter(self.where).causes() or ())
            if not page.jobs and len(self._cursors) > 1 and page.cursor is None:
                self._cursors.pop()
                self.ask()
                return
            if not page.jobs:
                self.grid.empty = (*_why_empty(self.where), *self.empty)
            self.grid.is_whole = page.cursor is None and len(self._cursors) == 1
            self.grid.show(self.rows_of(page.jobs, snapshot))
            if self._turned:
                self.grid.action_edge(-self._turned)
                self._turned = 0
        self._report(snapshot, page)

    def _report(self, snapshot: Snapshot, page: JobPage | None) -> None:
        parts: list[Cell] = [Cell(" ")]
        parts += [cell(self.where, "accent")] if self.where else [Cell("all jobs", "dim")]
        parts += [cell(f"  {text}") for text in self._cause_texts(snapshot)]
        parts.append(cell(f"  page {len(self._cursors)}", "dim"))
        if page is not None and page.cursor is not None:
            parts.append(Cell(", pgdn for more", "dim"))
        unserved = parse_filter(self.where).unserved()
        if unserved and page is not None:
            described = f"  no index serves {' '.join(unserved)}: searched {f.number(page.examined)} records"
            parts.append(cell(described, "warn"))
        self.query_one("#filter", Bar).show(tuple(parts), self._choice(snapshot))

    def _cause_texts(self, snapshot: Snapshot) -> list[str]:
        """Return the texts of the causes in the filter, or of the one that all jobs share."""
        causes = parse_filter(self.where).causes() or (self.cause,)
        described = [cause_text(group) for group in snapshot.failures if group.id in causes]
        if not described and self.cause and self._jobs:
            job = next(iter(self._jobs.values()))
            described = [job.detail or job.failure or job.reason]
        return described

    def _choice(self, snapshot: Snapshot) -> Line:
        if self._all_that_match:
            most = at_most(snapshot, self.where)
            return line(cell(f"all matching jobs selected (up to {f.number(most)}) ", "warn"))
        if self._marked:
            return line(cell(f"{f.number(len(self._marked))} marked ", "warn"))
        page = self.page_of(snapshot)
        if page is not None and page.cursor is None and len(self._cursors) == 1:
            return line(cell(f"{plural(len(page.jobs), 'job')} ", "dim"))
        return line(cell(f"up to {plural(at_most(snapshot, self.where), 'job')} ", "dim"))

    def target(self) -> Target | None:
        """Return all matching jobs if selected, else the marked jobs, else the one at the cursor."""
        if self._all_that_match:
            return Target(kind="job", where=self.where or "id:*")
        if self._marked:
            return Target(kind="job", ids=tuple(sorted(self._marked)))
        cursor = self.grid.chosen
        return None if cursor is None else Target(kind="job", ids=(cursor,))

    def preview_query_of(self, key: str) -> PreviewQuery | None:
        """Return the query for the job, which changes with its state."""
        job = self._jobs.get(key)
        if job is None:
            return None
        return PreviewQuery(key, (job.state, job.attempt, job.due_at), ended=job.state in TERMINAL)

    def preview(self, key: str, read: Read, snapshot: Snapshot) -> PageText | None:
        """Describe the job."""
        job = self._jobs.get(key)
        return None if job is None else preview_job(job, read, snapshot.at)

    def states(self) -> States:
        """Return the last known states of the selected jobs."""
        if self._all_that_match:
            return parse_filter(self.where).states()
        target = self.target()
        if target is None or target.kind != "job":
            return None
        found = [self._states.get(job_id) for job_id in target.ids]
        known = {state for state in found if state is not None}
        return known if len(known) > 0 and None not in found else None

    def toggle_mark(self) -> None:
        """Mark or unmark the job at the cursor, and move to the next one."""
        cursor = self.grid.chosen
        if cursor is not None:
            self._all_that_match = False
            self._marked ^= {cursor}
            self.grid.mark(self._marked)
            self.grid.action_move(1)
            self.draw(self.console.store.snapshot)

    def select_all(self) -> None:
        """Select all matching jobs, or clear that selection."""
        self._all_that_match = not self._all_that_match
        self._marked = frozenset()
        self.grid.mark(
            frozenset(row.key for row in self.grid.rows) if self._all_that_match else self._marked
        )
        self.draw(self.console.store.snapshot)

    def forget_selection(self) -> None:
        """Clear the selection after an action."""
        self._forget_marks()
        self.draw(self.console.store.snapshot)

    def _forget_marks(self) -> None:
        self._marked, self._all_that_match = frozenset(), False
        self.grid.mark(self._marked)

    def action_escape(self) -> None:
        """Clear the marks, else return to the first page, else clear the filter, else go back."""
        if self._marked or self._all_that_match:
            self.forget_selection()
        elif len(self._cursors) > 1:
            self._cursors = [None]
            self.ask()
        elif self.where != type(self).where:
            self.set_filter(type(self).where)
            self.ask()
        else:
            super().action_escape()

    def on_grid_beyond(self, message: Grid.Beyond) -> None:
        """Turn the page."""
        message.stop()
        page = self.page_of(self.console.store.snapshot)
        if message.step > 0 and page is not None and page.cursor is not None:
            self._cursors.append(page.cursor)
        elif message.step < 0 and len(self._cursors) > 1:
            self._cursors.pop()
        else:
            return
        self._turned = message.step
        self.ask()


def _why_empty(where: str) -> list[Line]:
    """Explain an empty list: the jobs of a cause may have ended, or `id:` may need `id~`."""
    found = parse_filter(where)
    if found.causes():
        described = "No job has this cause now: its jobs may be running again, or have ended."
        return [line(described), ()]
    ids = found.ids()
    if not ids:
        return []
    described = f"No matching job has the id {ids[0]}. To search for a part of an id: "
    return [line(cell(described), cell(f"id~{ids[0]}", "key")), ()]


def at_most(snapshot: Snapshot, where: str) -> int:
    """Return an upper bound of the number of matches: the count of the named ids, causes, states and types."""
    given = parse_filter(where)
    ids, causes = given.ids(), given.causes()
    if ids is not None:
        return len(ids)
    if causes is not None:
        return sum(group.count for group in snapshot.failures if group.id in causes)
    states, types = given.states(), given.types()
    return sum(
        getattr(queue.counts, state)
        for queue in snapshot.queues
        if types is None or _may_be(queue.type, types)
        for state in (states if states is not None else _STATES)
    )


def _may_be(type: str, globs: Sequence[str]) -> bool:
    from fnmatch import fnmatchcase

    return any(fnmatchcase(type, glob) for glob in globs)


_STATES = (
    "scheduled",
    "queued",
    "held",
    "processing",
    "retrying",
    "completed",
    "rejected",
    "dead",
    "cancelled",
)
