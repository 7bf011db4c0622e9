"""Batches beside kills of workers and of the producer: what follows exists once, and only when all have ended."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from functools import partial

import pytest

from hms_svc.domain.lifecycle import TERMINAL, State
from tests.chaos.batch_app import APP, LAST, MEMBER
from tests.chaos.pairs import on_both
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


def submit(site: Site, members: int) -> None:
    """Submit the batch, whatever was submitted of it before."""
    printed, _ = producer(site, members).communicate(timeout=PATIENCE_SECONDS)
    assert printed == "accepted\n"


def kill_producers(site: Site, chance: random.Random, members: int, most: int) -> int:
    """Kill producers, each when some more members are accepted; return how many were amid their submission."""
    amid = 0
    for number in range(most):
        process = producer(site, members)
        aim = members * (number + chance.random()) / most

        def is_time(process: subprocess.Popen[str] = process, aim: float = aim) -> bool:
            return accepted(site) >= aim or process.poll() is not None

        wait_until("some are accepted", is_time)
        process.kill()
        process.communicate()
        amid += 0 < accepted(site) < members
    return amid


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
    amid = kill_producers(site, chance, members, producers)
    wait_until("those that are accepted have ended", lambda: _is_quiet(site))
    if accepted(site) < members:
        assert site.jobs(LAST) == [], "it follows before all members are accepted"
    submit(site, members)
    workers = kill_workers(site, chance, served, members, kills, seconds)
    served.wait_until("all have ended", lambda: ended(site, LAST) == 1, seconds=seconds)
    submit(site, members)
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


def have_ended(site: Site, members: int) -> bool:
    return ended(site, MEMBER) >= members


def kill_workers(
    site: Site,
    chance: random.Random,
    served: Served,
    members: int,
    kills: int,
    seconds: float,
) -> int:
    """Kill workers, evenly over what is left to do; return how many were killed."""
    killed, first = 0, ended(site, MEMBER)
    for number in range(1, kills + 1):
        aim = first + (members - first) * number // (kills + 1)
        wait_until("work goes on", partial(have_ended, site, aim), seconds)
        killed += kill_one(chance, [served]) is not None
    return killed


def _is_quiet(site: Site) -> bool:
    return not any(site.count(state, MEMBER) for state in State if state not in TERMINAL)


@on_both
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
