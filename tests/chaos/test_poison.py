"""A job that ends every process that runs it, among healthy ones."""

from __future__ import annotations

from hms_svc.domain.lifecycle import State
from tests.chaos.app import APP
from tests.chaos.pairs import on_fleet_first
from tests.chaos.site import Site
from tests.support.waiting import wait_until


@on_fleet_first
def test_a_poison_job_dies_and_its_neighbours_live(site: Site) -> None:
    site.enqueue("chaos.slow", 20)
    site.enqueue("chaos.exit", 1)
    site.enqueue("chaos.slow", 29)
    site.drain(app=APP)
    wait_until("the poison is dead", lambda: site.count(State.DEAD) == 1)
    ends = [(job.reason, job.by, job.crashes) for job in site.jobs("chaos.exit")]
    assert ends == [("crashed", "reaper", 5)]
    report = site.check()
    assert report.faults == []
    assert report.states == {"completed": 49, "dead": 1}
