"""The world that handlers live in: their children, functions that do not return, how it all stops."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

from hms_svc.domain.lifecycle import State
from tests.chaos.pairs import on_fleet_first
from tests.chaos.site import Site
from tests.chaos.world_app import APP
from tests.support.command_line import Cli, make_cli
from tests.support.serve_process import Served
from tests.support.waiting import wait_until


def run(site: Site, type: str) -> dict[str, Any]:
    """Submit a job, and give what it came to."""
    job = json.dumps({"type": type, "data": {}})
    return cli(site)("enqueue", "-", "--wait", "--json", "--no-check", stdin=job).rows[-1]


def cli(site: Site) -> Cli:
    urls = {
        "HMS_SVC_BROKER_URL": site.broker_url,
        "HMS_SVC_DATABASE_URL": site.database_url,
    }
    return make_cli(site.folder, **urls)


def serve(site: Site, *arguments: str, grace_seconds: int = 5) -> tuple[Served, int]:
    """Start `serve`, and give its worker's pid too, once it works."""
    served = site.serve(*arguments, app=APP, grace_seconds=grace_seconds)
    served.wait_until("the worker is ready", lambda: len(site.broker.workers()) == 1)
    return served, served.workers()[0]


CHILDREN: Final = {
    "world.child": [-signal.SIGTERM, -signal.SIGHUP],
    "world.async_child": [-signal.SIGTERM, -signal.SIGHUP],
    "world.pool": [1, 2, 3],
    "world.command": ["up", -signal.SIGTERM],
    "world.fork": [0, 1, 7, 0],
    "world.async_fork": 1,
}
"""The result of a job of each type that starts processes."""


def test_a_child_of_a_handler_has_nothing_of_its_worker(site: Site) -> None:
    served, worker = serve(site)
    assert {type: run(site, type)["result"] for type in CHILDREN} == CHILDREN
    assert run(site, "world.pid")["result"] == worker, "the worker is another one"
    assert "stopping" not in served.log.read_text()
    site.stop()


def test_what_a_child_prints_goes_to_the_output_of_serve(site: Site) -> None:
    served, _ = serve(site)
    run(site, "world.fork")
    said = served.log.read_text()
    assert "the child prints\nand writes bytes\n" in said
    assert "KeyError: 'in the child'" in said
    site.stop()


@on_fleet_first
def test_a_worker_where_all_slots_of_a_type_hang_is_replaced_and_its_jobs_run_again(
    site: Site,
) -> None:
    served, first = serve(site, "--concurrency", "4")
    site.enqueue("world.hang", 3)
    served.wait_until("all jobs are done", lambda: site.count(State.COMPLETED) == 3)
    assert served.workers() != [first]
    said = served.log.read_text()
    assert said.count("its function still runs") == 3
    assert said.count(", called by hang (") == 3
    assert "functions that do not return hold all slots that world.hang may take" in said
    assert [job.attempt for job in site.jobs()] == [2, 2, 2]
    site.stop()


def test_a_stop_that_is_told_to_all_at_once_is_one_stop(site: Site, tmp_path: Path) -> None:
    served, worker = serve(site, grace_seconds=60)
    enqueue_slow(site, tmp_path / "go-on")
    os.kill(worker, signal.SIGTERM)
    served.send(signal.SIGTERM)
    os.kill(worker, signal.SIGHUP)
    served.wait_until(
        "both have heard", lambda: "the supervisor received SIGTERM" in served.log.read_text()
    )
    (tmp_path / "go-on").touch()
    assert served.wait() == 0
    assert [job.state for job in site.jobs()] == [State.COMPLETED]


def enqueue_slow(site: Site, until: Path) -> None:
    job = json.dumps({"type": "world.slow", "data": {"until": str(until)}})
    cli(site)("enqueue", "-", "--no-check", stdin=job)
    wait_until("the job is in hand", lambda: site.count(State.PROCESSING) == 1)


def test_a_hangup_that_serve_was_started_to_ignore_stops_nothing(
    site: Site, tmp_path: Path
) -> None:
    served = site.serve(app=APP, within=("nohup",))
    served.wait_until("the worker is ready", lambda: len(site.broker.workers()) == 1)
    [worker] = served.workers()
    enqueue_slow(site, tmp_path / "go-on")
    for pid in (served.process.pid, worker):
        assert ignores(pid, signal.SIGHUP)
        os.kill(pid, signal.SIGHUP)
    (tmp_path / "go-on").touch()
    assert run(site, "world.pid")["result"] == worker
    assert "stopping" not in served.log.read_text()
    site.stop()


def ignores(pid: int, number: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    [mask] = [line.split()[1] for line in status if line.startswith("SigIgn")]
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_the_first_process_of_a_container_reaps_orphans(site: Site) -> None:
    reaper = (sys.executable, "-m", "tests.chaos.world_app")
    served = site.serve(app=APP, within=reaper)
    served.wait_until("the worker is ready", lambda: len(site.broker.workers()) == 1)
    orphan = run(site, "world.orphan")["result"]
    served.wait_until("the orphan is gone", lambda: not Path(f"/proc/{orphan}").exists())
    site.stop()
