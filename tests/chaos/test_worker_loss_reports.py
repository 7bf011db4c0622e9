"""What is notified of a fleet whose worker is frozen or killed: `status`, `doctor` and `why`, as processes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from hms_svc.domain.lifecycle import State
from tests.chaos.app import APP
from tests.chaos.pairs import on_both
from tests.chaos.site import Site
from tests.support.waiting import wait_until

LEASE_SECONDS = 4


def told(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command over the site; its output is there whatever its exit code."""
    return subprocess.run(
        [sys.executable, "-m", "hms_svc", *arguments],
        env=site.environment(lease_seconds=LEASE_SECONDS),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def troubles(site: Site) -> dict[str, str]:
    """The kinds of trouble that `status` tells, with the words of each."""
    health = json.loads(told(site, "status", "--json").stdout)["health"]
    return {each["kind"]: each["message"] for each in health["troubles"]}


@pytest.mark.chaos
@pytest.mark.parametrize("fate", ["frozen", "killed"])
@on_both
def test_the_only_worker_is_told_as_gone_and_no_rescue_is_invented(site: Site, fate: str) -> None:
    site.enqueue("chaos.endless", 2)
    served = site.serve(app=APP, lease_seconds=LEASE_SECONDS)
    wait_until("the jobs are in hand", lambda: site.count(State.PROCESSING) == 2)
    job_id = site.jobs()[0].id
    if fate == "frozen":
        site.freeze(served)
        wait_until("it is told", lambda: troubles(site))
    else:
        served.kill()
    wait_until("the leases are told", lambda: "leases_overdue" in troubles(site))
    found = troubles(site)
    assert found["leases_overdue"] == "2 leases overdue"
    assert {"no_workers", "workers_silent"} & found.keys()
    doctor = told(site, "doctor")
    assert doctor.returncode == 1
    assert "2 leases overdue" in doctor.stdout
    why = told(site, "jobs", "why", job_id).stdout
    assert "was last seen" in why
    assert "there is no live worker to requeue it" in why
    assert "rescued" not in told(site, "status").stdout
    if fate == "frozen":
        served.thaw()
    else:
        site.serve(app=APP, lease_seconds=LEASE_SECONDS)
    wait_until("it is over", lambda: "leases_overdue" not in troubles(site))
