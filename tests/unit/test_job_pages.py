"""How many records a walk reads at once for a page."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hms_svc.brokers.job_pages import Slices, Step, fill_page
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import JobView


class Shelf:
    """Jobs of one type, walked slice by slice; tells how large the slices were."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.sizes: list[int] = []

    async def walk(self, slices: Slices) -> AsyncIterator[Step[tuple[int]]]:
        given = 0
        while given < self._count:
            size = slices.size
            self.sizes.append(size)
            for number in range(given, min(given + size, self._count)):
                yield Step((number,), view(str(number)))
            given += size


def view(job_id: str) -> JobView:
    return JobView(
        id=job_id,
        type="a.b",
        state=State.REJECTED,
        attempt=0,
        enqueued_at=1,
        reason="",
        by="",
        detail="",
        data=b"null",
    )


@pytest.mark.parametrize(
    ("where", "sizes"),
    [
        ("type:a.*", [11]),
        ("type:a.* type:c*", [11, 200, 200]),
        ("cause:0a1b2c3d4e5f state:dead", [200, 200]),
    ],
)
async def test_slices_are_whole_once_a_record_was_refused(where: str, sizes: list[int]) -> None:
    wanted, shelf = parse_filter(where), Shelf(400)
    slices = Slices(wanted, 1, limit=10, examine=0)
    await fill_page(shelf.walk(slices), wanted, slices)
    assert shelf.sizes == sizes


@pytest.mark.parametrize(
    ("passed", "considered", "examine", "window"),
    [(1, 200, 0, 1000), (100, 200, 0, 400), (200, 200, 0, 200), (1, 200, 250, 250)],
)
def test_a_window_has_about_as_many_fitting_records_as_are_read_at_once(
    passed: int, considered: int, examine: int, window: int
) -> None:
    slices = Slices(parse_filter("data.n:1"), 1, limit=10, examine=examine)
    assert slices.window == 200
    slices.note_passed(passed, considered)
    assert slices.window == window
