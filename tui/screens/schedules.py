"""The screen Schedules: the schedules of job types, and scheduled and retrying jobs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.widget import Widget

from hms_svc.domain.views import JobPage, JobView
from hms_svc.tui import columns, rows
from hms_svc.tui.commands import Target
from hms_svc.tui.page_lines import PageText
from hms_svc.tui.preview import Read, preview_schedule
from hms_svc.tui.queries import SchedulesQuery
from hms_svc.tui.screens.job_list import JobList
from hms_svc.tui.snapshot import SchedulePage, ScreenQuery, Snapshot
from hms_svc.tui.text import Column, Line, Row, cell, line
from hms_svc.tui.widgets.grid import Grid

MOST_LINES = 8


class Schedules(JobList):
    """Schedules with their next run; below them scheduled and retrying jobs."""

    heading: ClassVar[str] = "Schedules"
    where: str = "state:scheduled,retrying"
    shown_columns: ClassVar[Sequence[Column]] = columns.JOBS
    empty: ClassVar[Sequence[Line]] = (
        line(
            "No scheduled jobs. ",
            cell("hms-svc enqueue FILE --delay 1h", "strong"),
            " creates one.",
        ),
    )

    def list_body(self) -> Iterable[Widget]:
        """Put the schedules above the jobs."""
        described = line(
            "No worker has a schedule: ", cell("@registry.job(…, schedule=…)", "strong")
        )
        crons = Grid(columns.SCHEDULES, id="crons", empty=[described])
        crons.styles.height = 2
        yield crons
        yield from super().list_body()

    def data_query(self) -> ScreenQuery:
        """Query both."""
        return SchedulesQuery(self.page_query())

    def page_of(self, snapshot: Snapshot) -> JobPage | None:
        """Return the page of waiting jobs."""
        answer = snapshot.answer_to(self.data_query())
        return answer.page if isinstance(answer, SchedulePage) else None

    def show(self, snapshot: Snapshot) -> None:
        """Fill both tables."""
        answer = snapshot.answer_to(self.data_query())
        if isinstance(answer, SchedulePage):
            crons = self.query_one("#crons", Grid)
            crons.styles.height = max(2, min(len(answer.schedules) + 1, MOST_LINES))
            crons.show(rows.schedule_rows(answer.schedules, snapshot.at))
        super().show(snapshot)
        if isinstance(answer, SchedulePage) and not answer.schedules and self.grid.rows:
            crons = self.query_one("#crons", Grid)
            if self.focused is crons:
                self.set_focus(self.grid)

    def preview(self, key: str, read: Read, snapshot: Snapshot) -> PageText | None:
        """Return the preview of the schedule or job at the cursor of the focused table."""
        if self.table is self.grid:
            return super().preview(key, read, snapshot)
        answer = snapshot.answer_to(self.data_query())
        schedules = answer.schedules if isinstance(answer, SchedulePage) else ()
        found = next((each for each in schedules if each.type == key), None)
        return None if found is None else preview_schedule(found, snapshot.at)

    def rows_of(self, jobs: Sequence[JobView], snapshot: Snapshot) -> list[Row]:
        """Return a row for each job."""
        return rows.job_rows(jobs, snapshot.at, cause=self.cause)

    def target(self) -> Target | None:
        """Return the schedule at the cursor, or the selected jobs, depending on the focused table."""
        crons = self.query_one("#crons", Grid)
        if self.focused is not crons:
            return super().target()
        return None if crons.chosen is None else Target(kind="schedule", ids=(crons.chosen,))
