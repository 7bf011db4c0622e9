"""Workers that sleep past their lease, and wake."""

from __future__ import annotations

import signal

import pytest

from hms_svc.domain.lifecycle import State
from tests.chaos.app import APP
from tests.chaos.pairs import each_on_one, on_both, on_fleet_first
from tests.chaos.site import Site
from tests.support.serve_process import Served
from tests.support.waiting import wait_until

BYSTANDER = "crew.notify"
"""Served by the worker that only takes the leases back."""


def make_zombie(site: Site, type: str, jobs: int, app: str = APP) -> Served:
    """Freeze a worker with running jobs; return it once they are all back in the queue."""
    zombie = site.serve("--types", type, app=app, test_folder=site.folder, concurrency=jobs)
    site.enqueue(type, jobs)
    zombie.wait_until("its jobs are under way", lambda: len([*site.folder.glob("waits-*")]) == jobs)
    site.freeze(zombie)
    (site.folder / "go-on").touch()
    site.serve("--types", BYSTANDER, app=APP)
    wait_until("its jobs are taken back", lambda: site.count(State.QUEUED, type) == jobs)
    return zombie


def nothing_changes(site: Site, type: str, jobs: int) -> None:
    """Have others do a zombie's jobs, wake it, and look for what it has changed."""
    zombie = make_zombie(site, type, jobs)
    site.serve("--types", type, app=APP, test_folder=site.folder)
    wait_until("another worker does the jobs", lambda: site.count(State.COMPLETED, type) == jobs)
    before = site.jobs()
    zombie.thaw()
    zombie.send(signal.SIGTERM)
    assert zombie.wait() == 0
    assert site.jobs() == before
    assert zombie.fenced() == {job.id for job in before}
    site.stop()
    report = site.check()
    assert report.faults == []
    assert report.states == {"completed": jobs}
    assert report.rescues == jobs


@each_on_one("chaos.wait_case", "chaos.case_wait")
def test_a_worker_that_wakes_after_its_lease_changes_nothing(site: Site, type: str) -> None:
    nothing_changes(site, type, 5)


@pytest.mark.chaos
@on_both
@pytest.mark.parametrize("type", ["chaos.wait_case", "chaos.case_wait"])
def test_a_worker_that_wakes_after_its_lease_changes_nothing_at_length(
    site: Site, type: str
) -> None:
    nothing_changes(site, type, 75)


@on_fleet_first
def test_a_worker_that_wakes_before_anybody_else_has_its_job_writes_nothing(site: Site) -> None:
    zombie = make_zombie(site, "chaos.wait_case", 1)
    zombie.thaw()
    done = lambda: site.count(State.COMPLETED, "chaos.wait_case") == 1  # noqa: E731 - read at once
    wait_until("it runs the job anew", done)
    site.stop()
    report = site.check()
    assert report.faults == []
    assert report.rescues == 1
