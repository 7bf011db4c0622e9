"""A job that ends every process that runs it, among healthy ones."""

from __future__ import annotations

from tests.chaos.app import APP
from tests.chaos.checker import check
from tests.chaos.site import DEAD, Site, wait_until


def test_a_poison_job_dies_and_its_neighbours_live(site: Site) -> None:
    site.enqueue("chaos.slow", 20)
    site.enqueue("chaos.exit", 1)
    site.enqueue("chaos.slow", 29)
    site.drain(app=APP)
    wait_until("the poison is dead", lambda: site.count(DEAD) == 1)
    assert site.rows("SELECT reason, said_by, crashes FROM jobs WHERE state = 8") == [
        ("crashed", "reaper", 5)
    ]
    report = check(site.folder)
    assert report.faults == []
    assert report.states == {"completed": 49, "dead": 1}
