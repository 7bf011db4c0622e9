"""Types of job that need nothing, the database, or governance; `HMS_SVC_APP` names `APP`."""

from __future__ import annotations

from typing import Final

from hms_svc import Registry, RunningJob, dao

APP: Final = "tests.chaos.bounded_app:app"
app = Registry()


@app.job("plain.job")
def do_nothing(job: RunningJob) -> int:
    """Need nothing."""
    return 1


@app.job("case.job")
def open_case(job: RunningJob) -> str:
    """Need the database."""
    return dao.insert_case({"kind": "pothole", "n": job.id})


@app.job("vetted.job", action="close_road")
def do_what_was_vetted(job: RunningJob) -> int:
    """Need governance."""
    return 1
