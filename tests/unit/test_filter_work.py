"""What a filter may cost: counted in characters, folded once, shared with the rest of the loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hms_svc.brokers.job_pages import Slices, Step, fill_page, types_that_may_match
from hms_svc.domain.errors import FilterTooCostly
from hms_svc.domain.filter import Filter, parse_filter
from hms_svc.domain.globs import Glob
from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import JobPage, JobView
from hms_svc.ports.filter_judge import MOST_SHOWN_BYTES, MOST_WORK
from tests.support.database_requests import NOON, dead_job
from tests.support.operator_service import open_operator

LONG = "É" * 500_000
MANY_TERMS = " OR ".join(f"data.b~z{number}" for number in range(260))


def view(job_id: str, text: str = LONG) -> JobView:
    return JobView(
        id=job_id,
        type="a.b",
        state=State.QUEUED,
        attempt=0,
        enqueued_at=1,
        reason="",
        by="",
        detail="",
        data=json.dumps({"b": text}, ensure_ascii=False).encode(),
    )


async def walk(views: list[JobView], after: int = 0) -> AsyncIterator[Step[tuple[int]]]:
    for number, each in enumerate(views[after:], after + 1):
        yield Step((number,), each)


async def page_of(where: Filter, views: list[JobView], *, look: int) -> JobPage:
    slices = Slices(where, 1, limit=1000, examine=look)
    return await fill_page(walk(views), where, slices)


def test_a_text_is_folded_once_however_many_terms_look_into_it() -> None:
    where, job = parse_filter(MANY_TERMS), view("a")
    texts = len(LONG) * (260 + 4) + 4 * len(job.data)
    fits, work = where.judge(job, 1)
    assert not fits
    assert texts <= work < texts * 1.01


async def test_a_page_ends_when_its_filter_has_taken_its_work_and_goes_on() -> None:
    where, views = parse_filter(MANY_TERMS), [view(str(number)) for number in range(6)]
    page = await page_of(where, views, look=20_000)
    assert page.cursor is not None
    assert page.examined == 2
    assert MOST_WORK <= page.work < 2 * MOST_WORK
    assert (await page_of(where, views, look=0)).examined == 6


async def test_a_page_of_large_jobs_ends_with_what_fits_into_memory() -> None:
    views = [view(str(number)) for number in range(40)]
    page = await page_of(parse_filter("state:queued"), views, look=20_000)
    assert page.cursor is not None
    assert len(page.jobs) == -(-MOST_SHOWN_BYTES // len(views[0].data))


@pytest.mark.parametrize(
    ("where", "views"),
    [
        (MANY_TERMS, [view("large")]),
        ("data.b:*" + "É?" * 300 + "x*", [view("pattern")]),
        (" ".join(["-data.b~nowhere"] * 200), [view(str(n), "short") for n in range(500)]),
    ],
)
async def test_others_of_the_loop_go_on_while_a_filter_looks(
    where: str, views: list[JobView]
) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    meanwhile = asyncio.create_task(others())
    await page_of(parse_filter(where), views, look=20_000)
    meanwhile.cancel()
    assert turns > 5


def test_one_job_takes_a_bounded_work_whatever_the_filter() -> None:
    where = parse_filter("data.b:*" + "É?" * 1800 + "x*")
    with pytest.raises(FilterTooCostly, match="1,000,000,000 characters of job a"):
        where.judge(view("a"), 1)


async def test_too_many_patterns_for_so_many_types_are_refused_with_the_bound() -> None:
    where = parse_filter("type:" + ",".join(f"a*{number}" for number in range(500)))
    types = [f"x.{number}" for number in range(20_000)]
    with pytest.raises(
        FilterTooCostly, match="500 type patterns; with 20000 known types at most 50"
    ):
        await types_that_may_match(where, types)


async def test_types_are_chosen_by_name_and_pattern_in_their_order() -> None:
    where = parse_filter("type:b,a.*")
    assert await types_that_may_match(where, ["a.2", "b", "ba", "a.1"]) == ["a.2", "b", "a.1"]
    assert await types_that_may_match(parse_filter("x"), ["b", "a"]) == ["b", "a"]


@given(st.text("ab?*", max_size=8), st.text("ab\n", max_size=12))
def test_patterns_match_as_those_of_file_names_do(pattern: str, text: str) -> None:
    assert Glob(pattern).matches(text, lambda _: None) is fnmatchcase(text, pattern)


async def test_a_page_of_the_archive_ends_after_its_look_or_its_work(tmp_path: Path) -> None:
    async with open_operator(tmp_path) as operator:
        jobs = [dead_job(f"a{number}", finished_at=NOON + number) for number in range(25)]
        await operator.database.archive.keep(jobs)
        archived = operator.operations.reads.archived_jobs
        found, examined, pages = [], 0, 0
        cursor: str | None = None
        while True:
            where = parse_filter("id:a3 OR (id:a17 detail~boom)")
            page = await archived(where, limit=100, cursor=cursor, examine=10)
            found += [job.id for job in page.jobs]
            examined, pages, cursor = examined + page.examined, pages + 1, page.cursor
            if cursor is None:
                break
        assert (found, examined, pages) == (["a17", "a3"], 25, 3)
        large = [
            replace(dead_job(f"b{n}", finished_at=NOON + 99), view=view(f"b{n}")) for n in range(9)
        ]
        await operator.database.archive.keep(large)
        page = await archived(parse_filter(MANY_TERMS), limit=100, cursor=None, examine=20_000)
        assert page.examined < 25 + 9
        assert page.cursor is not None
