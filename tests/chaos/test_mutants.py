"""The checker is tested too: builds broken on purpose must be caught.

A mutant is a module that `HMS_SVC_APP` has every worker process import; it
breaks one rule there, and nowhere else.
"""

from __future__ import annotations

import signal

from tests.chaos.app import APP
from tests.chaos.checker import check
from tests.chaos.site import COMPLETED, Site, wait_until
from tests.chaos.test_zombies import make_zombie


def mutant(name: str) -> str:
    return f"tests.chaos.mutants.{name}:app"


def test_settle_before_commit_is_caught(site: Site) -> None:
    site.enqueue("distinct", 5)
    served = site.serve(app=mutant("settles_before_commit"))
    wait_until("a report is completed", lambda: site.count(COMPLETED) > 0)
    served.kill()
    assert any("completed with 0 cases" in fault for fault in check(site.folder).faults)


def test_settle_without_fence_is_caught(site: Site) -> None:
    zombie = make_zombie(site, "chaos.case_wait", 1, mutant("settles_without_fence"))
    site.serve("--types", "chaos.case_wait", app=APP, test_folder=site.folder)
    wait_until("another worker does the job", lambda: site.count(COMPLETED, "chaos.case_wait") == 1)
    zombie.thaw()
    zombie.send(signal.SIGTERM)
    zombie.wait()
    site.stop()
    faults = check(site.folder).faults
    assert any(fault.startswith("I4") and "was completed, then came" in fault for fault in faults)
    assert any(fault.startswith("I4") and "under the fences" in fault for fault in faults)


def test_effects_without_fence_are_caught(site: Site) -> None:
    zombie = make_zombie(site, "chaos.wait_case", 1, mutant("writes_without_fence"))
    zombie.thaw()
    wait_until("the job is done", lambda: site.count(COMPLETED, "chaos.wait_case") == 1)
    site.stop()
    faults = check(site.folder).faults
    assert len(faults) == 1
    assert "ms after its lease" in faults[0]


def test_a_relay_that_marks_before_it_publishes_is_caught(site: Site) -> None:
    site.enqueue("chaos.case", 1)
    served = site.serve(app=mutant("marks_before_publishing"))
    wait_until("the relay dies", lambda: b"ended with 1" in served.log.read_bytes())
    served.kill()
    site.drain(app=APP)
    assert any("1 cases, 0 case.opened" in fault for fault in check(site.folder).faults)


def test_a_forgotten_tally_is_caught(site: Site) -> None:
    site.enqueue("chaos.endless", 1)
    served = site.serve(app=mutant("forgets_a_tally"), grace_seconds=0)
    wait_until("the job is in hand", lambda: site.in_hands(served) == 1)
    site.stop()
    faults = check(site.folder).faults
    assert "I7: queue 1: +1 rows beyond the tally of queued" in faults


def test_a_race_for_one_place_is_caught(site: Site) -> None:
    site.enqueue("one_place", 30)
    site.drain(app=mutant("looks_at_no_neighbour"))
    assert any("stand at one place" in fault for fault in check(site.folder).faults)


def test_a_lost_job_is_caught(site: Site) -> None:
    site.enqueue("chaos.case", 1)
    with site.journal.open("a", encoding="ascii") as journal:
        journal.write("never-accepted\n")
    site.drain(app=APP)
    assert check(site.folder).faults == ["I1: never-accepted was acknowledged and is gone"]
