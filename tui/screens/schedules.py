"""What will run, and when: schedules that workers keep, and jobs that wait for their time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.widget import Widget

from hms_svc.domain.schedule import type_of_tick
from hms_svc.domain.views import JobPage, JobView
from tui import columns, rows
from tui.commands import Target
from tui.looks import SchedulePage, SchedulesLook
from tui.picture import Look, Picture
from tui.preview import Read, preview_schedule
from tui.screens.job_list import JobList
from tui.telling import Told
from tui.text import Column, Line, Row, cell, line
from tui.widgets.grid import Grid

MOST_LINES = 8


class Schedules(JobList):
    """Schedules in plain words with their next run; below them scheduled and retrying jobs."""

    title_words: ClassVar[str] = "Schedules"
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
        told = line("No worker has a schedule: ", cell("@registry.job(…, schedule=…)", "strong"))
        crons = Grid(columns.SCHEDULES, id="crons", empty=[told])
        crons.styles.height = 2
        yield crons
        yield from super().list_body()

    def look(self) -> Look:
        """Ask for both."""
        return SchedulesLook(self.page_look())

    def page_of(self, picture: Picture) -> JobPage | None:
        """Give the page of waiting jobs."""
        answer = picture.answer_to(self.look())
        return answer.page if isinstance(answer, SchedulePage) else None

    def show(self, picture: Picture) -> None:
        """Fill both tables."""
        answer = picture.answer_to(self.look())
        if isinstance(answer, SchedulePage):
            crons = self.query_one("#crons", Grid)
            crons.styles.height = max(2, min(len(answer.schedules) + 1, MOST_LINES))
            crons.show(rows.schedule_rows(answer.schedules, picture.at))
        super().show(picture)

    def preview(self, key: str, read: Read, picture: Picture) -> Told | None:
        """Describe the schedule, or the job, at the cursor of the table that has the keys."""
        if self.table is self.grid:
            return super().preview(key, read, picture)
        answer = picture.answer_to(self.look())
        schedules = answer.schedules if isinstance(answer, SchedulePage) else ()
        found = next((each for each in schedules if each.type == key), None)
        return None if found is None else preview_schedule(found, picture.at)

    def _job_target(self) -> Target | None:
        """Give the chosen jobs; for the waiting tick of a schedule that schedule, which goes on."""
        target = super().target()
        if target is None or len(target.ids) != 1 or not (type := type_of_tick(target.ids[0])):
            return target
        return Target(kind="schedule", ids=(type,))

    def rows_of(self, jobs: Sequence[JobView], picture: Picture) -> list[Row]:
        """Give a row for each."""
        return rows.job_rows(jobs, picture.at)

    def target(self) -> Target | None:
        """Give the schedule at the cursor, or jobs, as the table is that has the keys."""
        crons = self.query_one("#crons", Grid)
        if self.focused is not crons:
            return self._job_target()
        return None if crons.chosen is None else Target(kind="schedule", ids=(crons.chosen,))
