"""SIGKILL of whole services, again and again, with jobs in their hands."""

from __future__ import annotations

import random
import time

import pytest

from hms_svc.domain.lifecycle import State
from tests.chaos.app import APP
from tests.chaos.pairs import on_every_pair, on_fleet, on_fleet_first
from tests.chaos.site import Site
from tests.support.waiting import wait_until


def rampage_among_others(site: Site, chance: random.Random, *, jobs: int, kills: int) -> None:
    """Kill one of two services at a time, at any moment, while the other one works."""
    producers = [site.producer(kind) for kind in ("distinct", "push:chaos.slow_case")]
    groups = [site.serve("--processes", "2", app=APP) for _ in range(2)]
    for _ in range(kills):
        for producer in producers:
            producer.ask(jobs // kills)
        time.sleep(chance.uniform(0.0, 2.0))
        groups.pop(chance.randrange(2)).kill()
        assert site.broker.sample().faults() == []
        groups.append(site.serve("--processes", "2", app=APP))
    for producer in producers:
        producer.close()
    site.drain(seconds=60 + jobs / 20, app=APP)
    site.stop()
    report = site.check()
    each = jobs // kills * kills
    assert report.faults == []
    assert report.acknowledged == report.cases == 2 * each
    assert report.states == {"completed": 3 * each}
    assert report.rescues > 0, "no kill hit a job: this run proves nothing"


def rampage(site: Site, chance: random.Random, *, jobs: int, kills: int) -> None:
    """Feed distinct reports while services are killed, then let one finish, and check it all."""
    producer = site.producer("distinct")
    asked = 0
    for number in range(kills):
        served = site.serve("--processes", str(chance.choice((1, 2))))
        portion = jobs // kills + (number < jobs % kills)
        asked += site.ask_until_in_hands(producer, served, portion)
        time.sleep(chance.choice((0.0, chance.uniform(0.0, 0.05), chance.uniform(0.0, 0.5))))
        served.kill()
        assert site.broker.sample().faults() == []
    producer.close()
    site.drain(seconds=60 + jobs / 20)
    report = site.check()
    assert report.faults == []
    assert report.acknowledged == asked
    assert report.states == {"completed": 2 * asked}, "every report, and its crew.notify"
    assert report.cases == asked
    assert report.rescues > 0, "no kill hit a job: this run proves nothing"


@on_fleet_first
def test_killed_services_lose_and_repeat_nothing(site: Site, chance: random.Random) -> None:
    rampage(site, chance, jobs=300, kills=4)


@on_fleet_first
def test_what_is_failing_stands_in_its_group_after_each_kill(site: Site) -> None:
    producer, failing = site.producer("chaos.failing"), 0
    for _ in range(2):
        served = site.serve(app=APP)
        site.ask_until_in_hands(producer, served, 40)
        wait_until("jobs fail", lambda: site.count(State.RETRYING))
        served.kill()
        assert site.broker.group_faults() == []
        failing += site.count(State.RETRYING)
    producer.close()
    assert failing > 0, "no kill found a job that was failing: this run proves nothing"
    site.drain(app=APP)
    assert site.check().faults == []


@pytest.mark.chaos
@on_every_pair
def test_killed_services_lose_and_repeat_nothing_at_length(
    site: Site, chance: random.Random
) -> None:
    rampage(site, chance, jobs=4000, kills=60)


@pytest.mark.chaos
@on_fleet
def test_services_killed_beside_others_lose_and_repeat_nothing_at_length(
    site: Site, chance: random.Random
) -> None:
    rampage_among_others(site, chance, jobs=4000, kills=60)
