"""Reports of one pothole, all at the same time, at four processes."""

from __future__ import annotations

import pytest

from tests.chaos.checker import check
from tests.chaos.site import Site


def one_case_of(site: Site, reports: int) -> None:
    site.enqueue("one_place", reports)
    site.drain("--processes", "4")
    report = check(site.folder)
    print(report)
    assert report.faults == []
    reasons = site.rows(
        "SELECT reason, said_by, count(*) FROM jobs JOIN queues USING (queue)"
        " WHERE type = 'pothole.report' AND state = 7 GROUP BY 1, 2"
    )
    assert [reason for reason, _, _ in reasons] == ["duplicate"] * len(reasons)
    assert report.states == {"completed": 2, "rejected": reports - 1}
    assert report.cases == 1


def test_two_hundred_reports_of_one_pothole_are_one_case(site: Site) -> None:
    one_case_of(site, 200)


@pytest.mark.chaos
def test_a_thousand_reports_of_one_pothole_are_one_case(site: Site) -> None:
    one_case_of(site, 1000)
