"""The screens Jobs and Held."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from hms_svc.domain.views import JobView
from hms_svc.tui import columns, rows
from hms_svc.tui.screens.job_list import JobList
from hms_svc.tui.snapshot import Snapshot
from hms_svc.tui.text import Column, Line, Row, cell, line


class Jobs(JobList):
    """All jobs, filtered."""

    heading: ClassVar[str] = "Jobs"
    shown_columns: ClassVar[Sequence[Column]] = columns.JOBS
    empty: ClassVar[Sequence[Line]] = (
        line(
            "No job matches. ",
            cell("/", "key"),
            " changes the filter, ",
            cell("esc", "key"),
            " clears it, ",
        ),
        line(cell("e", "key"), " enqueues a sample job."),
    )

    def rows_of(self, jobs: Sequence[JobView], snapshot: Snapshot) -> list[Row]:
        """Return a row for each job."""
        live = {worker.id for worker in snapshot.workers}
        return rows.job_rows(jobs, snapshot.at, live, self.cause)


class Held(JobList):
    """Jobs that wait for an approval."""

    heading: ClassVar[str] = "Held"
    first_hints: ClassVar[frozenset[str]] = frozenset({"approve", "deny", "why"})
    where: str = "state:held"
    shown_columns: ClassVar[Sequence[Column]] = columns.HELD
    empty: ClassVar[Sequence[Line]] = (
        line(
            "Nothing waits for approval. Try the sample ",
            cell("held.json"),
            " with ",
            cell("e", "key"),
            ".",
        ),
    )

    def rows_of(self, jobs: Sequence[JobView], snapshot: Snapshot) -> list[Row]:
        """Return a row for each job, with the reason for the hold."""
        return rows.held_rows(jobs, snapshot.at)
