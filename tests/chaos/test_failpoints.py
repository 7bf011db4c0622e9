"""A kill, an outage or a lost reply at each named place: nothing is lost, nothing is doubled."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import pytest

from hms_svc.domain.lifecycle import State
from tests.chaos.app import APP as CHAOS
from tests.chaos.interrupted import APP
from tests.chaos.pairs import on_all_four, on_fleet, on_fleet_first
from tests.chaos.processes import Served, wait_until
from tests.chaos.site import Site
from tests.chaos.ticking import APP as TICKING
from tests.servers.framing import POSTGRESQL
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy, free_port
from tests.servers.redis import RedisServer

OF_WORKERS: Final = (
    "claim.replied",
    "effect.before",
    "effect.within",
    "effect.after",
    "settle.before",
    "settle.after",
    "relay.published",
)
SHORT_KILLS: Final = {"effect.within", "settle.before"}
"""Where the short tier kills, too; the long one does at each place."""
JOBS_A_KILL: Final = 25
at_each_place: Final = pytest.mark.parametrize("place", OF_WORKERS)


def interrupt(folder: Path, times: int, how: str) -> None:
    """Have the next processes that come to the place interrupted there."""
    for number in range(times):
        (folder / f"turn-{number:03}").write_text(how, encoding="ascii")


def taken(folder: Path) -> int:
    return len(list(folder.glob("taken-*")))


def serve(
    site: Site,
    place: str,
    *,
    app: str = APP,
    http: str = "",
    lease_seconds: int = 1,
    at_most: int = 12,
    **addresses: str,
) -> Served:
    """Serve with a place armed: each process is interrupted after 1 to `at_most` visits."""
    return site.serve(
        "--processes", "2", http=http, within=(), app=app, test_place=place,
        test_folder=site.folder, test_at_most=at_most, lease_seconds=lease_seconds, **addresses,
    )  # fmt: skip


def killed_at(site: Site, place: str, kills: int) -> None:
    """Feed reports while workers are killed at a place, then check what stands."""
    interrupt(site.folder, kills, "kill")
    served = serve(site, place)
    producer, jobs = site.producer("distinct"), 0
    while (before := taken(site.folder)) < kills:
        producer.ask(JOBS_A_KILL)
        jobs += JOBS_A_KILL
        served.wait_until("a kill, or all done", partial(is_killed_or_done, site, before, jobs))
    producer.close()
    served.wait_until("all is done", lambda: is_done(site, jobs))
    site.stop()
    report = site.check()
    assert report.faults == []
    assert report.states == {"completed": 2 * jobs}
    assert report.cases == report.acknowledged == jobs


def is_killed_or_done(site: Site, before: int, reports: int) -> bool:
    return taken(site.folder) > before or is_done(site, reports)


def is_done(site: Site, reports: int) -> bool:
    """Tell whether so many reports are completed, and the notice of each."""
    return site.count(State.COMPLETED) == 2 * reports


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(place, marks=() if place in SHORT_KILLS else pytest.mark.chaos)
        for place in OF_WORKERS
    ],
)
@on_fleet_first
def test_a_kill_there_loses_and_doubles_nothing(site: Site, place: str) -> None:
    killed_at(site, place, kills=1)


@pytest.mark.chaos
@pytest.mark.timeout(1200)
@at_each_place
@on_all_four
def test_fifty_kills_there_lose_and_double_nothing(site: Site, place: str) -> None:
    killed_at(site, place, kills=50)


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.chaos)])
@on_fleet_first
def test_a_kill_after_a_tick_is_enqueued_makes_it_once(site: Site, kills: int) -> None:
    interrupt(site.folder, kills, "kill")
    served = serve(site, "scheduler.enqueued", app=TICKING, at_most=1)
    served.wait_until("all kills", lambda: taken(site.folder) == kills)
    served.wait_until("the tick waits", lambda: site.count(State.SCHEDULED, "chaos.tick") == 1)
    served.wait_until("a worker is there", lambda: len(site.broker.workers()) > 0)
    site.stop()
    assert len(site.jobs("chaos.tick")) == 1


@pytest.mark.parametrize("kills", [1, pytest.param(50, marks=pytest.mark.chaos)])
@on_fleet_first
def test_a_kill_of_the_reaper_leaves_no_cancelled_job_behind(site: Site, kills: int) -> None:
    producer = site.producer("chaos.endless")
    producer.ask(5)
    producer.close()
    first = site.serve(app=CHAOS)
    first.wait_until("all are in hand", lambda: site.count(State.PROCESSING) == 5)
    ids = [job.id for job in site.jobs("chaos.endless")]
    site.freeze(first)
    assert operate(site, "cancel", *ids) == 0
    first.kill()
    interrupt(site.folder, kills, "kill")
    served = serve(site, "reaper.found", at_most=1)
    served.wait_until("all are cancelled", lambda: site.count(State.CANCELLED) == 5)
    assert taken(site.folder) == kills
    site.stop()
    assert site.check().faults == []


def operate(site: Site, *words: str, place: str = "") -> int:
    """Act as an operator in a process of its own, interrupted at a place; gives its exit code."""
    environment = site.environment(test_place=place, test_folder=site.folder, test_at_most=1)
    command = [sys.executable, "-m", "tests.chaos.operator", *words]
    return subprocess.run(command, env=environment, check=False, timeout=60).returncode


def held(site: Site, jobs: int) -> list[str]:
    """Have so many jobs held for a human."""
    policy = site.folder / "policy.toml"
    policy.write_text('default = "hold"\n', encoding="ascii")
    producer = site.producer("chaos.decided")
    producer.ask(jobs)
    producer.close()
    site.drain(app=CHAOS, policy_file=policy)
    assert site.count(State.HELD) == jobs
    return [job.id for job in site.jobs("chaos.decided")]


@pytest.mark.parametrize(
    ("place", "state"),
    [
        pytest.param("act.intended", State.HELD, marks=pytest.mark.chaos),
        ("act.done", State.REJECTED),
    ],
)
@on_fleet_first
def test_a_kill_around_an_act_leaves_it_done_or_not(site: Site, place: str, state: State) -> None:
    ids = held(site, 10)
    interrupt(site.folder, 1, "kill")
    assert operate(site, "deny", *ids, place=place) == -signal.SIGKILL
    assert site.count(state) == 10
    if state is State.HELD:
        assert operate(site, "deny", *ids) == 0
    assert site.count(State.REJECTED) == 10
    rows = site.database.rows("SELECT count(*) FROM audit WHERE action = 'job.deny'")
    assert rows[0][0] >= 1
    assert site.check().faults == []


@on_fleet_first
def test_a_kill_halfway_through_an_erase_is_mended_by_the_next(site: Site) -> None:
    site.enqueue("distinct", 5)
    site.drain()
    ids = [job.id for job in site.jobs("pothole.report")]
    interrupt(site.folder, 1, "kill")
    assert operate(site, "erase", *ids, place="erase.halfway") == -signal.SIGKILL
    assert operate(site, "erase", *ids) == 0
    [(left,)] = site.database.rows("SELECT count(*) FROM cases WHERE user_id IS NOT NULL")
    assert left == 0
    assert {job.state for job in site.jobs("pothole.report")} == {State.COMPLETED}


@pytest.mark.parametrize("kills", [1, pytest.param(50, marks=pytest.mark.chaos)])
@on_fleet_first
def test_a_kill_before_the_answer_makes_no_job_twice(site: Site, kills: int) -> None:
    interrupt(site.folder, kills, "kill")
    port = free_port()
    served = serve(site, "http.accepted", at_most=3, http=f"127.0.0.1:{port}")
    posted = 0
    while taken(site.folder) < kills:
        posted += 1
        post_until_accepted(port, posted)
    served.wait_until("all is done", lambda: site.count(State.COMPLETED, "chaos.case") == posted)
    site.stop()
    report = site.check()
    assert (report.faults, len(site.jobs("chaos.case"))) == ([], posted)


def post_until_accepted(port: int, number: int) -> None:
    """Post one report under its key, again and again until it is answered."""
    body = {"type": "chaos.case", "data": {"lat": 38.0 + number / 500, "lon": -77.0}}
    headers = {"idempotency-key": f"report-{number}"}

    def accepted() -> bool:
        try:
            url = f"http://127.0.0.1:{port}/jobs"
            return httpx.post(url, json=body, headers=headers).status_code == 202
        except httpx.TransportError:
            return False

    wait_until("the report is accepted", accepted)


class Ways:
    """Proxies before both servers of a fleet."""

    def __init__(self, redis: RedisServer, postgres: PostgresServer) -> None:
        home = postgres.home
        self.proxies = {
            "broker": Proxy(redis.port),
            "database": Proxy(home.port, host=home.host, dialect=POSTGRESQL),
        }

    def addresses(self, site: Site) -> tuple[str, str]:
        """Give the addresses of broker and database that lead through the proxies."""
        found = []
        for url, proxy in zip(
            (site.broker_url, site.database_url), self.proxies.values(), strict=True
        ):
            head, _, rest = url.rpartition("@") if "@" in url else url.partition("://")[::1]
            _, _, path = rest.partition("/")
            joint = "@" if "@" in url else "://"
            found.append(f"{head}{joint}127.0.0.1:{proxy.port}/{path}")
        return found[0], found[1]

    def break_off(self, whom: str, how: str) -> None:
        proxy = self.proxies[whom]
        {"reset": proxy.reset_all, "lost reply": proxy.cut_after_reply}[how]()


@pytest.fixture
def ways(redis_server: RedisServer, postgres_server: PostgresServer) -> Iterator[Ways]:
    ways = Ways(redis_server, postgres_server)
    with ways.proxies["broker"], ways.proxies["database"]:
        yield ways


FAULTS: Final = [(whom, how) for whom in ("broker", "database") for how in ("reset", "lost reply")]
SHORT: Final = {("settle.before", "broker", "lost reply")}


@pytest.mark.parametrize(
    ("place", "whom", "how"),
    [
        pytest.param(place, *fault, marks=() if (place, *fault) in SHORT else pytest.mark.chaos)
        for place in OF_WORKERS
        for fault in FAULTS
    ],
)
@on_fleet
def test_an_outage_there_loses_and_doubles_nothing(
    site: Site, ways: Ways, place: str, whom: str, how: str
) -> None:
    interrupt(site.folder, 5, "stop")
    broker_url, database_url = ways.addresses(site)
    served = serve(
        site, place, lease_seconds=10, at_most=2, broker_url=broker_url, database_url=database_url
    )
    producer = site.producer("distinct")
    producer.ask(100)
    producer.close()
    for number in range(5):
        stopped = site.folder / f"stopped-{number:03}"
        served.wait_until("stopped there, or done", lambda: stopped.exists() or is_done(site, 100))  # noqa: B023 - called at once
        if stopped.exists():
            ways.break_off(whom, how)
            stopped.unlink()
    served.wait_until("all is done", lambda: is_done(site, 100))
    assert taken(site.folder) > 0
    site.stop()
    report = site.check()
    assert report.faults == []
    assert report.states == {"completed": 200}
    assert report.cases == 100
