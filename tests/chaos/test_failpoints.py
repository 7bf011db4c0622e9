"""A kill, an outage or a lost reply at each named place: nothing is lost, nothing is doubled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from hms_svc.domain.failpoints import PLACES
from tests.chaos.figures import Figures
from tests.chaos.means import ALL_MEANS, KILL, Interruptions, Means, Side, sides_of
from tests.chaos.pairs import ACROSS, BETWEEN, EMBEDDED, FLEET
from tests.chaos.places import SCENARIOS
from tests.chaos.site import Site

PAIRS: Final = (EMBEDDED, BETWEEN, ACROSS, FLEET)
KILLS, OTHERS = 50, 5
SHORT: Final = (
    pytest.param(FLEET, "effect.within", KILL, 1, marks=pytest.mark.interop),
    pytest.param(FLEET, "settle.before", KILL, 1, marks=pytest.mark.interop),
    (FLEET, "scheduler.enqueued", KILL, 1),
    (FLEET, "reaper.found", KILL, 1),
    (FLEET, "act.intended", KILL, 1),
    (EMBEDDED, "act.done", KILL, 1),
    (FLEET, "erase.halfway", KILL, 1),
    (FLEET, "http.accepted", KILL, 1),
    (FLEET, "settle.before", Means("lost reply", "broker"), 1),
    (EMBEDDED, "effect.after", Means("lost reply", "database"), 1),
    (EMBEDDED, "effect.within", Means("outage", "database"), 1),
)
"""Every place and every means; where a place is interrupted by two, the kill is in `make interop`."""


@pytest.fixture
def sides(request: pytest.FixtureRequest, site: Site) -> Iterator[dict[str, Side]]:
    """Where the way from a site to its broker and database can be broken off."""
    redis = site.broker_url.startswith("redis")
    postgres = site.database_url.startswith("postgresql")
    with sides_of(
        site,
        request.getfixturevalue("redis_server") if redis else None,
        request.getfixturevalue("postgres_server") if postgres else None,
    ) as sides:
        yield sides


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Where the figures of a test go; it has a place, and a site on a pair."""
    return Figures(request, *(request.node.callspec.params[name] for name in ("place", "site")))


def interrupted(
    site: Site, sides: dict[str, Side], figures: Figures, place: str, means: Means, times: int
) -> None:
    """Interrupt the program at a place, let it end its work, and have the checker judge."""
    with Interruptions(site, sides, place, means, times) as given:
        try:
            faults = SCENARIOS[place](given)
        finally:
            figures.add(**{means.how.replace(" ", "_"): given.taken})
    report = site.check()
    figures.add(lost=report.lost, doubled=report.doubled, stuck=report.stuck)
    faults += [fault for fault in report.faults if fault not in given.explained]
    figures.add(other=len(faults) - min(len(faults), report.lost + report.doubled + report.stuck))
    assert faults == []


@pytest.mark.parametrize(("site", "place", "means", "times"), SHORT, indirect=["site"], ids=str)
def test_an_interruption_there_loses_and_doubles_nothing(
    site: Site, sides: dict[str, Side], figures: Figures, place: str, means: Means, times: int
) -> None:
    interrupted(site, sides, figures, place, means, times)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("means", ALL_MEANS, ids=str)
@pytest.mark.parametrize("place", sorted(PLACES))
@pytest.mark.parametrize("site", PAIRS, indirect=True)
def test_many_interruptions_there_lose_and_double_nothing(
    site: Site, sides: dict[str, Side], figures: Figures, place: str, means: Means
) -> None:
    interrupted(site, sides, figures, place, means, KILLS if means == KILL else OTHERS)


def test_there_is_a_scenario_for_every_place() -> None:
    assert set(SCENARIOS) == PLACES
