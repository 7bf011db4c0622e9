"""Reports of one pothole, all at the same time, at four processes."""

from __future__ import annotations

import pytest

from tests.chaos.pairs import EMBEDDED, FLEET, on_every_pair
from tests.chaos.site import Site


def one_case_of(site: Site, reports: int) -> None:
    site.enqueue("one_place", reports)
    site.drain("--processes", "4")
    report = site.check()
    assert report.faults == []
    reasons = [job.reason for job in site.jobs("pothole.report") if job.reason]
    assert reasons == ["duplicate"] * (reports - 1)
    assert report.states == {"completed": 2, "rejected": reports - 1}
    assert report.cases == 1


@pytest.mark.parametrize(
    ("site", "reports"),
    [
        (FLEET, 200),
        pytest.param(FLEET, 1000, marks=pytest.mark.interop),
        pytest.param(EMBEDDED, 200, marks=pytest.mark.chaos),
    ],
    indirect=["site"],
)
def test_reports_of_one_pothole_are_one_case(site: Site, reports: int) -> None:
    one_case_of(site, reports)


@pytest.mark.chaos
@on_every_pair
def test_a_thousand_reports_of_one_pothole_are_one_case(site: Site) -> None:
    one_case_of(site, 1000)
