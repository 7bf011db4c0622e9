"""Batches beside kills of workers and of the producer: what follows exists once, and only when all have ended."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter

import pytest

from hms_svc.domain.lifecycle import TERMINAL, State
from tests.chaos.batch_app import APP, LAST, MEMBER
from tests.chaos.pairs import on_both, on_fleet_first
from tests.chaos.site import ROOT, Site
from tests.chaos.worker_kill import kill_one
from tests.support.serve_process import Served
from tests.support.waiting import PATIENCE_SECONDS, wait_until


def producer(site: Site, members: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.batch_app", str(members)],
        env=site.environment(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def told(submitting: subprocess.Popen[str]) -> None:
    """Wait until a producer was told that all of the batch is accepted."""
    printed, _ = submitting.communicate(timeout=PATIENCE_SECONDS)
    assert printed == "accepted\n"


def kill_producers(
    site: Site, chance: random.Random, served: Served, members: int, most: int
) -> tuple[int, int]:
    """Kill producers, each when some more of the first half are accepted, and a worker after each.

    Return how many producers were amid their submission, and how many workers were killed.
    """
    amid = workers = 0
    for number in range(most):
        process = producer(site, members)
        aim = members / 2 * (number + chance.random()) / most

        def is_time(process: subprocess.Popen[str] = process, aim: float = aim) -> bool:
            return accepted(site) >= aim or process.poll() is not None

        wait_until("some are accepted", is_time)
        process.kill()
        process.communicate()
        amid += 0 < accepted(site) < members
        workers += kill_one(chance, [served]) is not None
    return amid, workers


def accepted(site: Site) -> int:
    return sum(site.count(state, MEMBER) for state in State)


def ended(site: Site, type: str) -> int:
    return sum(site.count(state, type) for state in TERMINAL)


def follows_once(
    site: Site,
    chance: random.Random,
    *,
    members: int,
    processes: int,
    kills: int,
    producers: int,
    seconds: float,
) -> None:
    """Submit a batch beside kills, and look at what follows it."""
    began = time.monotonic()
    served = site.serve("--processes", str(processes), app=APP, test_folder=site.folder)
    amid, beside = kill_producers(site, chance, served, members, producers)
    wait_until("those that are accepted have ended", lambda: _is_quiet(site))
    if accepted(site) < members:
        assert site.jobs(LAST) == [], "it follows before all members are accepted"
    last = producer(site, members)
    workers = beside + kill_workers(site, chance, served, members, kills, seconds)
    told(last)
    served.wait_until("all have ended", lambda: ended(site, LAST) == 1, seconds=seconds)
    told(producer(site, members))
    site.stop()
    states = Counter(job.state for job in site.jobs(MEMBER))
    took = time.monotonic() - began
    print(
        f"{members} members {dict(states)}; {workers} workers killed, {producers} producers, "
        f"{amid} of them amid a submission; {took:.1f} s"
    )
    assert states.total() == members
    assert set(states) <= TERMINAL
    assert [job.state for job in site.jobs(LAST)] == [State.COMPLETED]


def kill_workers(
    site: Site, chance: random.Random, served: Served, members: int, kills: int, seconds: float
) -> int:
    """Kill workers, half of them while the last hundred members end; return how many were killed."""
    first = ended(site, MEMBER)
    early = [first + int(chance.random() * (members - first)) for _ in range(kills // 2)]
    late = [members - chance.randrange(1, 100) for _ in range(kills - kills // 2)]
    killed = 0
    for aim in sorted(early + late):

        def was_killed(aim: int = aim) -> bool:
            if ended(site, MEMBER) == members:
                return True
            return ended(site, MEMBER) >= aim and kill_one(chance, [served]) is not None

        wait_until("work goes on", was_killed, seconds)
        killed += ended(site, MEMBER) < members
    return killed


def _is_quiet(site: Site) -> bool:
    return not any(site.count(state, MEMBER) for state in State if state not in TERMINAL)


@on_fleet_first
def test_what_follows_exists_once_beside_kills(site: Site, chance: random.Random) -> None:
    follows_once(
        site, chance, members=1_200, processes=2, kills=2, producers=2, seconds=PATIENCE_SECONDS
    )


@pytest.mark.chaos
@on_both
@pytest.mark.timeout(3600)
def test_what_follows_ten_thousand_exists_once_beside_kills(
    site: Site, chance: random.Random
) -> None:
    follows_once(site, chance, members=10_000, processes=3, kills=40, producers=8, seconds=1800)
