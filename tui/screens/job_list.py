"""A page of jobs by a filter: what Jobs, Held and Schedules have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.widget import Widget

from hms_svc.domain.filter import parse_filter
from hms_svc.domain.lifecycle import TERMINAL, State
from hms_svc.domain.plain_text import plural
from hms_svc.domain.views import JobPage, JobView
from hms_svc.tui import formatting as f
from hms_svc.tui.commands import Target
from hms_svc.tui.hints import States
from hms_svc.tui.page_lines import PageText
from hms_svc.tui.payload_words import common_cause
from hms_svc.tui.preview import Read, preview_job
from hms_svc.tui.queries import GlanceQuery, JobsQuery
from hms_svc.tui.rows import cause_text
from hms_svc.tui.screens.previewed import Previewed
from hms_svc.tui.snapshot import ScreenQuery, Snapshot
from hms_svc.tui.text import Cell, Column, Line, Row, cell, line
from hms_svc.tui.widgets.bar import Bar
from hms_svc.tui.widgets.grid import Grid
from hms_svc.tui.widgets.prompt import Mode

LEAST_ROWS = 10
LINES_AROUND = 4


class JobList(Previewed):
    """Shows one page; the next is read when the cursor goes beyond the last row."""

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
        """The cause that the filter chose, or that all jobs of the page have; told above the list."""

    def list_body(self) -> Iterable[Widget]:
        """Return the line that tells the filter, and the page."""
        yield Bar(id="filter")
        yield Grid(self.shown_columns, id="jobs", empty=self.empty)

    @property
    def grid(self) -> Grid:
        """The page."""
        return self.query_one("#jobs", Grid)

    @property
    def filter_mode(self) -> Mode:
        """A filter of jobs, at the server, where the page has the keys."""
        return "filter" if self.table is self.grid else "words"

    @property
    def filter_text(self) -> str:
        """The filter of the page, or the words of another table."""
        return self.where if self.table is self.grid else super().filter_text

    def set_filter(self, where: str) -> None:
        """Show the first page of another filter."""
        if where != self.where:
            self.where, self._cursors, self._states = where, [None], {}
            self._forget_marks()
            self.grid.wait()

    def start_with(self, where: str) -> None:
        """Show another filter, also before the room is on the screen."""
        if self.is_mounted:
            self.set_filter(where)
        else:
            self.where = where

    def data_query(self) -> ScreenQuery:
        """Ask for a page of jobs."""
        return self.page_query()

    def page_of(self, snapshot: Snapshot) -> JobPage | None:
        """Return the page, where it is the one that was asked for."""
        page = snapshot.answer_to(self.data_query())
        return page if isinstance(page, JobPage) else None

    def page_query(self) -> JobsQuery:
        """Ask for as many jobs as there is room for."""
        console_screen = max(LEAST_ROWS, self.size.height - LINES_AROUND - self.preview_lines)
        return JobsQuery(
            self.where, console_screen, self._cursors[-1], bool(parse_filter(self.where).unserved())
        )

    def rows_of(self, jobs: Sequence[JobView], snapshot: Snapshot) -> list[Row]:
        """Return the rows of these jobs."""
        raise NotImplementedError

    def show(self, snapshot: Snapshot) -> None:
        """Show the page, where it is the one that was asked for."""
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
        parts += [cell(f"  {words}") for words in self._causes_told(snapshot)]
        parts.append(cell(f"  page {len(self._cursors)}", "dim"))
        if page is not None and page.cursor is not None:
            parts.append(Cell(", pgdn for more", "dim"))
        unserved = parse_filter(self.where).unserved()
        if unserved and page is not None:
            described = f"  no index serves {' '.join(unserved)}: searched {f.number(page.examined)} records"
            parts.append(cell(described, "warn"))
        self.query_one("#filter", Bar).show(tuple(parts), self._choice(snapshot))

    def _causes_told(self, snapshot: Snapshot) -> list[str]:
        """Return the words of the causes that the filter names, or of the one that all jobs have."""
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
        """Return all that match, the marked jobs, or the one at the cursor."""
        if self._all_that_match:
            return Target(kind="job", where=self.where or "id:*")
        if self._marked:
            return Target(kind="job", ids=tuple(sorted(self._marked)))
        cursor = self.grid.chosen
        return None if cursor is None else Target(kind="job", ids=(cursor,))

    def glance_of(self, key: str) -> GlanceQuery | None:
        """Return the job, to be read again once it has moved."""
        job = self._jobs.get(key)
        if job is None:
            return None
        return GlanceQuery(key, (job.state, job.attempt, job.due_at), ended=job.state in TERMINAL)

    def preview(self, key: str, read: Read, snapshot: Snapshot) -> PageText | None:
        """Describe the job."""
        job = self._jobs.get(key)
        return None if job is None else preview_job(job, read, snapshot.at)

    def states(self) -> States:
        """Return the states of the chosen jobs, as they were last seen."""
        if self._all_that_match:
            return parse_filter(self.where).states()
        target = self.target()
        if target is None or target.kind != "job":
            return None
        found = [self._states.get(job_id) for job_id in target.ids]
        known = {state for state in found if state is not None}
        return known if len(known) > 0 and None not in found else None

    def toggle_mark(self) -> None:
        """Mark the job at the cursor, or take its mark away, and go on to the next."""
        cursor = self.grid.chosen
        if cursor is not None:
            self._all_that_match = False
            self._marked ^= {cursor}
            self.grid.mark(self._marked)
            self.grid.action_move(1)
            self.draw(self.console.store.snapshot)

    def choose_all(self) -> None:
        """Choose all jobs that match, or none again."""
        self._all_that_match = not self._all_that_match
        self._marked = frozenset()
        self.grid.mark(
            frozenset(row.key for row in self.grid.rows) if self._all_that_match else self._marked
        )
        self.draw(self.console.store.snapshot)

    def acted(self) -> None:
        """Forget what was chosen, now that it was done."""
        self._forget_marks()
        self.draw(self.console.store.snapshot)

    def _forget_marks(self) -> None:
        self._marked, self._all_that_match = frozenset(), False
        self.grid.mark(self._marked)

    def action_escape(self) -> None:
        """Take back marks, then pages, then the filter, then the screen."""
        if self._marked or self._all_that_match:
            self.acted()
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
    """Return how parts of ids are looked for, where a filter names ids; or what became of the jobs of a cause."""
    found = parse_filter(where)
    if found.causes():
        described = "No job has this cause now: those that were to be tried again may be running, or have ended."
        return [line(described), ()]
    ids = found.ids()
    if not ids:
        return []
    described = f"no job that matches has the id {ids[0]}; of a part of an id: "
    return [line(cell(described), cell(f"id~{ids[0]}", "key")), ()]


def at_most(snapshot: Snapshot, where: str) -> int:
    """Count the jobs among which all matches are: those of the states and types that are named."""
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
    "scheduled", "queued", "held", "processing", "retrying", "completed", "rejected", "dead",
    "cancelled",
)  # fmt: skip
