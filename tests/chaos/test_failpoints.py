"""A kill, an outage or a lost reply at each named place: nothing is lost, nothing is doubled."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

import pytest

from hms_svc.domain.lifecycle import State
from tests.chaos.interrupted import APP
from tests.chaos.pairs import on_both, on_every_pair
from tests.chaos.processes import Served
from tests.chaos.site import Site

OF_WORKERS: Final = (
    "claim.replied",
    "effect.before",
    "effect.within",
    "effect.after",
    "settle.before",
    "settle.after",
    "relay.published",
)
JOBS_A_KILL: Final = 25
at_each_place: Final = pytest.mark.parametrize("place", OF_WORKERS)


def interrupt(folder: Path, times: int, how: str) -> None:
    """Have the next processes that come to the place interrupted there."""
    for number in range(times):
        (folder / f"turn-{number:03}").write_text(how, encoding="ascii")


def taken(folder: Path) -> int:
    return len(list(folder.glob("taken-*")))


def serve(site: Site, place: str, *, lease_seconds: int) -> Served:
    return site.serve(
        "--processes", "2", app=APP, test_place=place, test_folder=site.folder,
        lease_seconds=lease_seconds,
    )  # fmt: skip


def killed_at(site: Site, place: str, kills: int) -> None:
    """Feed reports while workers are killed at a place, then check what stands."""
    interrupt(site.folder, kills, "kill")
    served = serve(site, place, lease_seconds=1)
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


@at_each_place
@on_both
def test_a_kill_there_loses_and_doubles_nothing(site: Site, place: str) -> None:
    killed_at(site, place, kills=2)


@pytest.mark.chaos
@pytest.mark.timeout(1200)
@at_each_place
@on_every_pair
def test_fifty_kills_there_lose_and_double_nothing(site: Site, place: str) -> None:
    killed_at(site, place, kills=50)
