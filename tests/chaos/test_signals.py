"""Polite ends: SIGTERM, SIGINT, and a supervisor that is no more."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from hms_svc.domain.lifecycle import State
from tests.chaos.app import APP
from tests.chaos.pairs import on_both, on_fleet_first
from tests.chaos.site import Site
from tests.support.waiting import wait_until


def rolling(site: Site, chance: random.Random, *, jobs: int, rounds: int) -> None:
    """Start, load and end service after service; two of them overlap at any time."""
    producer = site.producer("chaos.slow")
    old = site.serve("--processes", "2", app=APP, grace_seconds=60)
    handed_in = 0
    for _ in range(rounds):
        handed_in += site.ask_until_in_hands(producer, old, jobs // rounds)
        new = site.serve("--processes", "2", app=APP, grace_seconds=60)
        time.sleep(chance.uniform(0.0, 0.3))
        old.send(signal.SIGTERM)
        asked = time.monotonic()
        assert old.wait() == 0
        assert time.monotonic() - asked < 30.0, "it left after the grace"
        old = new
    producer.close()
    site.drain(app=APP)
    old.send(signal.SIGTERM)
    assert old.wait() == 0
    report = site.check()
    assert report.faults == []
    assert report.states == {"completed": handed_in}
    assert report.rescues == 0, "a job was left behind in the hands of one that had left"


@on_fleet_first
def test_rolling_sigterm_loses_nothing(site: Site, chance: random.Random) -> None:
    rolling(site, chance, jobs=200, rounds=2)


@pytest.mark.chaos
@on_both
def test_rolling_sigterm_loses_nothing_at_length(site: Site, chance: random.Random) -> None:
    rolling(site, chance, jobs=10_000, rounds=50)


@pytest.mark.parametrize("kind", ["chaos.endless", "chaos.stuck"])
def test_after_the_grace_attempts_are_given_back(site: Site, kind: str) -> None:
    site.enqueue(kind, 3)
    served = site.serve(app=APP, grace_seconds=0.2)
    wait_until("the jobs are in hand", lambda: site.count(State.PROCESSING) == 3)
    served.send(signal.SIGTERM)
    assert served.wait() == 0
    rows = [(job.state, job.attempt, job.give_backs, job.worker) for job in site.jobs()]
    assert rows == [(State.QUEUED, 0, 1, "")] * 3
    assert not site.broker.workers(), "it is still in the register"


def test_a_second_interrupt_leaves_at_once(site: Site) -> None:
    site.enqueue("chaos.endless", 1)
    served = site.serve(app=APP, grace_seconds=600)
    wait_until("the job is in hand", lambda: site.count(State.PROCESSING) == 1)
    served.send(signal.SIGINT)
    served.send(signal.SIGINT)
    assert served.wait() == 130
    wait_until("every process has left", lambda: not served.members())


def test_the_suspect_lane_gives_its_job_back_too(site: Site) -> None:
    site.enqueue("chaos.endless", 1)
    served = site.serve(app=APP, grace_seconds=0.5)
    wait_until("the job is in hand", lambda: site.in_hands(served) == 1)
    os.kill(served.workers()[0], signal.SIGKILL)
    wait_until("the job is in the lane", lambda: [job.lane for job in site.jobs()] == [1])
    served.send(signal.SIGTERM)
    assert served.wait() == 0
    [job] = site.jobs()
    assert (job.state, job.attempt, job.give_backs) == (State.QUEUED, 0, 1)
    assert (job.suspect, job.crashes) == (True, 0)


def test_workers_leave_by_themselves_when_the_supervisor_is_killed(site: Site) -> None:
    site.enqueue("chaos.endless", 1)
    served = site.serve("--processes", "2", app=APP, grace_seconds=0.2)
    wait_until("the job is in hand", lambda: site.count(State.PROCESSING) == 1)
    wait_until("both workers are ready", lambda: len(site.broker.workers()) == 2)
    os.kill(served.process.pid, signal.SIGKILL)
    served.wait()
    wait_until("the workers have left", lambda: not served.members())
    rows = [(job.state, job.attempt, job.give_backs) for job in site.jobs()]
    assert rows == [(State.QUEUED, 0, 1)]


def test_a_worker_that_somebody_ended_is_replaced(site: Site) -> None:
    served = site.serve(app=APP)
    served.wait_until("the worker is ready", lambda: len(site.broker.workers()) == 1)
    [first] = served.workers()
    os.kill(first, signal.SIGTERM)
    served.wait_until("another one works", lambda: served.workers() not in ([], [first]))
    site.enqueue("chaos.slow", 1)
    served.wait_until("the job has ended", lambda: site.count(State.COMPLETED) == 1)
    served.send(signal.SIGTERM)
    assert served.wait() == 0
