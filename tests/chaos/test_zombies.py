"""Workers that sleep past their lease, and wake."""

from __future__ import annotations

import signal

import pytest

from tests.chaos.app import APP
from tests.chaos.checker import check
from tests.chaos.site import COMPLETED, QUEUED, Served, Site, wait_until

BYSTANDER = "crew.notify"
"""Served by the worker that only takes the leases back."""


def make_zombie(site: Site, type: str, jobs: int, app: str = APP) -> Served:
    """Freeze a worker with jobs in hand; gives it once they are all back in the queue."""
    zombie = site.serve("--types", type, app=app, test_folder=site.folder)
    site.enqueue(type, jobs)
    zombie.wait_until("its jobs are under way", lambda: len([*site.folder.glob("waits-*")]) == jobs)
    zombie.freeze(site.queue_file, site.cases_file)
    (site.folder / "go-on").touch()
    site.serve("--types", BYSTANDER, app=APP)
    wait_until("its jobs are taken back", lambda: site.count(QUEUED, type) == jobs)
    return zombie


@pytest.mark.parametrize("type", ["chaos.wait_case", "chaos.case_wait"])
def test_a_worker_that_wakes_after_its_lease_changes_nothing(site: Site, type: str) -> None:
    jobs = 5
    zombie = make_zombie(site, type, jobs)
    site.serve("--types", type, app=APP, test_folder=site.folder)
    wait_until("another worker does the jobs", lambda: site.count(COMPLETED, type) == jobs)
    before = site.rows("SELECT id, state, fence, trail FROM jobs ORDER BY id")
    zombie.thaw()
    zombie.send(signal.SIGTERM)
    assert zombie.wait() == 0
    assert site.rows("SELECT id, state, fence, trail FROM jobs ORDER BY id") == before
    site.stop()
    report = check(site.folder)
    assert report.faults == []
    assert report.states == {"completed": jobs}
    assert report.rescues == jobs


def test_a_worker_that_wakes_before_anybody_else_has_its_job_writes_nothing(site: Site) -> None:
    zombie = make_zombie(site, "chaos.wait_case", 1)
    zombie.thaw()
    wait_until("it runs the job anew", lambda: site.count(COMPLETED, "chaos.wait_case") == 1)
    site.stop()
    report = check(site.folder)
    assert report.faults == []
    assert report.rescues == 1
