"""The checker is tested too: builds broken on purpose must be caught.

A mutant is a module that `HMS_SVC_APP` has every worker process import; it
breaks one rule there, and nowhere else.
"""

from __future__ import annotations

import re
import signal

import pytest

from hms_svc.domain.lifecycle import State
from tests.chaos.app import APP
from tests.chaos.pairs import on_fleet, on_fleet_first
from tests.chaos.site import Site
from tests.chaos.test_zombies import make_zombie
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.interop


def mutant(name: str) -> str:
    return f"tests.chaos.mutants.{name}:app"


@on_fleet_first
def test_settle_before_commit_is_caught(site: Site) -> None:
    site.enqueue("distinct", 5)
    served = site.serve(app=mutant("settles_before_commit"))
    wait_until("a report is completed", lambda: site.count(State.COMPLETED) > 0)
    served.kill()
    report = site.check()
    assert any("completed with 0 cases" in fault for fault in report.faults)
    assert report.lost > 0


@on_fleet_first
def test_settle_without_fence_is_caught(site: Site) -> None:
    zombie = make_zombie(site, "chaos.case_wait", 1, mutant("settles_without_fence"))
    site.serve("--types", "chaos.case_wait", app=APP, test_folder=site.folder)
    wait_until("another worker does the job", lambda: site.count(State.COMPLETED) == 1)
    zombie.thaw()
    zombie.send(signal.SIGTERM)
    zombie.wait()
    site.stop()
    faults = site.check().faults
    assert any(fault.startswith("I4") and "was completed, then came" in fault for fault in faults)
    assert any(fault.startswith("I4") and "under the fences" in fault for fault in faults)


def test_effects_without_fence_are_caught(site: Site) -> None:
    zombie = make_zombie(site, "chaos.wait_case", 1, mutant("writes_without_fence"))
    zombie.thaw()
    wait_until("the job is done", lambda: site.count(State.COMPLETED, "chaos.wait_case") == 1)
    site.stop()
    faults = site.check().faults
    assert len(faults) == 1
    assert "ms after its lease" in faults[0]


def test_a_relay_that_marks_before_it_publishes_is_caught(site: Site) -> None:
    site.enqueue("chaos.case", 1)
    served = site.serve(app=mutant("marks_before_publishing"))
    wait_until("the relay dies", lambda: b"ended with 1" in served.log.read_bytes())
    served.kill()
    site.drain(app=APP)
    assert any("1 cases, 0 case.opened" in fault for fault in site.check().faults)


def test_a_forgotten_tally_is_caught(site: Site) -> None:
    site.enqueue("chaos.endless", 1)
    served = site.serve(app=mutant("forgets_a_tally"), grace_seconds=0)
    wait_until("the job is in hand", lambda: site.in_hands(served) == 1)
    site.stop()
    report = site.check()
    assert "I7: chaos.endless: +1 rows beyond the tally of queued" in report.faults
    assert (report.lost, report.doubled, report.stuck) == (0, 0, 1)


@on_fleet
def test_a_tally_forgotten_in_redis_is_caught(site: Site, redis_server: RedisServer) -> None:
    site.enqueue("chaos.endless", 1)
    served = site.serve(app=mutant("forgets_a_tally_in_redis"), grace_seconds=0)
    wait_until("the job is in hand", lambda: site.in_hands(served) == 1)
    until_mended(redis_server)
    site.stop()
    assert "I7: chaos.endless: -1 rows beyond the tally of processing" in site.check().faults


@on_fleet
def test_a_tally_of_ends_forgotten_in_redis_is_caught(
    site: Site, redis_server: RedisServer
) -> None:
    site.serve(app=mutant("forgets_a_tally_of_ends_in_redis"))
    until_mended(redis_server)

    def is_caught() -> bool:
        """Let one more job end, and check before the next round of the reaper mends the tally."""
        site.enqueue("chaos.slow", 1)
        wait_until("all have completed", lambda: set(site.check().states) == {"completed"})
        fault = re.compile(r"I7: chaos\.slow: -\d+ rows beyond the tally of processing")
        return any(map(fault.fullmatch, site.check().faults))

    wait_until("it is caught", is_caught)


def until_mended(redis_server: RedisServer) -> None:
    """Wait for the first round of the reaper: it mends a new server, and would mend what a mutant does."""
    types = "hms:default:job-types"
    wait_until("it begins", lambda: redis_server.cli("SISMEMBER", types, "!") == 1)
    wait_until("it is over", lambda: redis_server.cli("KEYS", "hms:default:healing*") == [])


@on_fleet
def test_a_destructive_pop_from_the_intake_is_caught(site: Site) -> None:
    served = site.serve(app=mutant("pops_from_the_intake"))
    served.wait_until("the worker is ready", lambda: len(site.broker.workers()) == 1)
    site.enqueue("push:chaos.case", 20)
    served.kill()
    site.drain(app=APP)
    assert any("was acknowledged and is gone" in fault for fault in site.check().faults)


@on_fleet
def test_fences_that_begin_anew_after_a_flush_are_caught(
    site: Site, redis_server: RedisServer
) -> None:
    served = site.serve(app=mutant("forgets_time_in_fences"))
    site.enqueue("chaos.case", 5)
    served.wait_until("fences are given", lambda: site.count(State.COMPLETED) == 5)
    highest = max(job.fence for job in site.jobs())
    redis_server.flush()
    site.enqueue("chaos.slow", 1)
    served.wait_until("one more is done", lambda: site.count(State.COMPLETED) == 1)
    assert [job.fence <= highest for job in site.jobs()] == [True]


def test_a_race_for_one_place_is_caught(site: Site) -> None:
    site.enqueue("one_place", 30)
    site.drain(app=mutant("looks_at_no_neighbour"))
    report = site.check()
    assert any("stand at one place" in fault for fault in report.faults)
    assert report.doubled > 0


def test_a_lost_job_is_caught(site: Site) -> None:
    site.enqueue("chaos.case", 1)
    with site.journal.open("a", encoding="ascii") as journal:
        journal.write("never-accepted\n")
    site.drain(app=APP)
    report = site.check()
    assert report.faults == ["I1: never-accepted was acknowledged and is gone"]
    assert (report.lost, report.doubled, report.stuck) == (1, 0, 0)
