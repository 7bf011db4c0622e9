"""What will run, and when: jobs with a time, and retries that wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from hms_svc.domain.views import JobView
from tui import columns, rows
from tui.screens.job_list import JobList
from tui.text import Column, Line, Row, cell, line


class Schedules(JobList):
    """Scheduled and retrying jobs; `r` runs one now."""

    title_words: ClassVar[str] = "Schedules"
    where: str = "state:scheduled,retrying"
    shown_columns: ClassVar[Sequence[Column]] = columns.JOBS
    empty: ClassVar[Sequence[Line]] = (
        line("Nothing waits for its time. ", cell("hms-svc enqueue FILE --delay 1h", "strong"), " makes such a job."),
    )  # fmt: skip

    def rows_of(self, jobs: Sequence[JobView], now: int) -> list[Row]:
        """Give a row for each."""
        return rows.job_rows(jobs, now)
