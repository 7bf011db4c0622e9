"""SIGKILL of whole services, again and again, with jobs in their hands."""

from __future__ import annotations

import random
import time

import pytest

from tests.chaos.checker import check, tally_faults
from tests.chaos.site import Site, wait_until


def rampage(site: Site, chance: random.Random, *, jobs: int, kills: int) -> None:
    """Feed distinct reports while services are killed, then let one finish, and check it all."""
    producer = site.producer("distinct")
    for number in range(kills):
        producer.ask(jobs // kills + (number < jobs % kills))
        served = site.serve("--processes", str(chance.choice((1, 2))))
        wait_until("jobs in its hands", lambda: site.in_hands(served) > 0)  # noqa: B023 - called at once
        time.sleep(chance.choice((0.0, chance.uniform(0.0, 0.05), chance.uniform(0.0, 0.5))))
        served.kill()
        assert tally_faults(site.queue_file) == []
    producer.close()
    site.drain(seconds=60 + jobs / 20)
    report = check(site.folder)
    print(report)
    assert report.faults == []
    assert report.acknowledged == jobs
    assert report.states == {"completed": 2 * jobs}, "every report, and its crew.notify"
    assert report.cases == jobs
    assert report.rescues > 0, "no kill hit a job: this run proves nothing"


def test_killed_services_lose_and_repeat_nothing(site: Site, chance: random.Random) -> None:
    rampage(site, chance, jobs=300, kills=6)


@pytest.mark.chaos
def test_killed_services_lose_and_repeat_nothing_at_length(
    site: Site, chance: random.Random
) -> None:
    rampage(site, chance, jobs=4000, kills=60)
