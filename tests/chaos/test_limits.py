"""Limits beside kills: never more at the same time than declared, and nothing waits for ever."""

from __future__ import annotations

import random
from collections import Counter
from functools import partial

import pytest

from hms_svc.domain.lifecycle import State
from tests.chaos.limits_app import APP, MOST
from tests.chaos.pairs import each_on_one, on_both, on_both_brokers
from tests.chaos.run_notes import Noted, read_notes
from tests.chaos.site import Site
from tests.chaos.worker_kill import kill_one
from tests.support.waiting import wait_until

TYPES = pytest.mark.parametrize("type", ["limited.ward", "limited.type"])


def most_at_once(notes: list[Noted], deaths: dict[int, float]) -> Counter[str]:
    """Return for each key the most runs at the same time; a run ends with its process at the latest."""
    ends = {(each.job, each.pid, each.key): each.at for each in notes if not each.began}
    changes = []
    for each in notes:
        if each.began:
            end = ends.get((each.job, each.pid, each.key), deaths.get(each.pid))
            assert end is not None, f"{each} has no end, and its process was not killed"
            changes += [(each.at, 1, each.key), (end, -1, each.key)]
    inside: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for _, change, key in sorted(changes):
        inside[key] += change
        most[key] = max(most[key], inside[key])
    return most


def limits_hold(
    site: Site,
    chance: random.Random,
    type: str,
    *,
    jobs: int,
    services: int,
    processes: int,
    kills: int,
) -> None:
    """Run jobs beside kills, then look at what the handlers noted."""
    site.enqueue(type, jobs)
    fleet = [
        site.serve("--processes", str(processes), app=APP, test_folder=site.folder)
        for _ in range(services)
    ]

    def done(share: float) -> bool:
        return site.count(State.COMPLETED, type) >= jobs * share

    deaths: dict[int, float] = {}
    for number in range(1, kills + 1):
        wait_until("work goes on", partial(done, number / (kills + 1)))
        if (killed := kill_one(chance, fleet)) is not None:
            deaths[killed[0]] = killed[1]
    fleet[0].wait_until("all is done", partial(done, 1))
    site.stop()
    notes = read_notes(site.folder)
    most = most_at_once(notes, deaths)
    print(f"{type}: {dict(most)} at once, {len(deaths)} workers killed, {len(notes)} notes")
    assert max(most.values()) <= MOST
    report = site.check()
    assert report.faults == []
    assert report.states == {"completed": jobs}


@each_on_one("limited.ward", "limited.type")
def test_a_limit_holds_beside_kills(site: Site, chance: random.Random, type: str) -> None:
    limits_hold(site, chance, type, jobs=60, services=1, processes=3, kills=2)


@pytest.mark.chaos
@on_both_brokers
@TYPES
@pytest.mark.timeout(1800)
def test_a_limit_holds_under_fifty_workers_and_kills_at_length(
    site: Site, chance: random.Random, type: str
) -> None:
    limits_hold(site, chance, type, jobs=3000, services=5, processes=10, kills=60)


@pytest.mark.chaos
@on_both
def test_no_more_than_a_rate_begin_at_length(site: Site) -> None:
    site.enqueue("limited.rate", 650)
    fleet = [site.serve("--processes", "2", app=APP, test_folder=site.folder) for _ in range(2)]
    fleet[0].wait_until(
        "all is done", lambda: site.count(State.COMPLETED, "limited.rate") == 650, seconds=300
    )
    site.stop()
    # Of the claims: on a busy machine a handler's first line comes later than the next one's.
    claimed = sorted(
        step["started"]
        for job in site.jobs("limited.rate")
        for step in job.steps
        if "started" in step
    )
    assert len(claimed) == 650
    minute = sum(at < claimed[0] + 60_000 for at in claimed)
    closest = min(after - before for before, after in zip(claimed, claimed[10:], strict=False))
    print(f"{minute} were claimed within the first minute; any eleven took {closest} ms at least")
    assert closest >= 1000
