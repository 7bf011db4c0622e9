"""Pages of jobs that share one place, in any locale of the server; lists leave large bytes alone."""

from __future__ import annotations

import asyncio
import os
import subprocess

import pytest

from hms_svc import bootstrap
from hms_svc.brokers.redis import pages
from hms_svc.domain.filter import EVERYTHING, parse_filter
from hms_svc.settings import Settings
from tests.support.fleet import TYPE, Fleet, settings_for
from tests.support.redis_server import RedisMaker, RedisServer

NAMES = [f"{letter}{sign}{number}" for letter in "aBcD" for sign in "._:-" for number in range(40)]


async def all_pages(fleet: Fleet, limit: int) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        page = await fleet.inspection.page(EVERYTHING, limit=limit, cursor=cursor)
        found += [view.id for view in page.jobs]
        cursor = page.cursor
        if cursor is None:
            return found


async def check_pages(fleet: Fleet) -> None:
    await fleet.broker.enqueue([fleet.job(id=name) for name in NAMES])
    for name in NAMES:
        fleet.server.cli("ZADD", f"hms:default:queued:{TYPE}", 7, name)
    found = await all_pages(fleet, 7)
    assert sorted(found) == sorted(NAMES)


async def test_equal_places_are_paged_through_once(fleet: Fleet) -> None:
    await check_pages(fleet)


async def test_also_where_the_server_sorts_as_people_do(
    settings: Settings, make_redis: RedisMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = await asyncio.to_thread(_locales)
    names = [name for name in known.split() if name not in ("C", "POSIX", "C.utf8", "C.UTF-8")]
    if not names:
        pytest.skip("this machine has no locale but C")
    monkeypatch.setitem(os.environ, "LC_ALL", names[0])
    server: RedisServer = make_redis()
    async with bootstrap.backend(settings_for(settings, server.url())) as backend:
        await check_pages(Fleet(backend, server))


async def test_refused_bytes_are_not_carried_into_a_list(fleet: Fleet) -> None:
    for _ in range(5):
        await fleet.broker.enqueue_raw(TYPE, [b"x" * 3_000_000])
    before = fleet.server.info("stats")["total_net_output_bytes"]
    page = await fleet.inspection.page(parse_filter("state:dead"), limit=10, cursor=None)
    assert len(page.jobs) == 5
    assert fleet.server.info("stats")["total_net_output_bytes"] - before < 1_000_000


@pytest.mark.parametrize("part", [b"7", b"null", b"true", b'"x"', b"[]", b"{"])
async def test_a_record_with_parts_of_another_program_does_not_fail_the_page(
    fleet: Fleet, part: bytes
) -> None:
    damaged, whole = (fleet.job({"n": 1}, unique_key=f"key-{number}") for number in range(2))
    await fleet.broker.enqueue([damaged, whole])
    await fleet.complete(*await fleet.claim())
    place = f"hms:default:job:{damaged.id}"
    record = fleet.server.cli("GET", place)
    for known in (b'{"result":{}}', b'{"unique_key":"key-0"}'):
        assert record.count(known) == 1
        fleet.server.cli("SET", place, record.replace(known, part.ljust(len(known))))
        for where in ("-detail:x", "-unique_key:x"):
            page = await fleet.inspection.page(parse_filter(where), limit=10, cursor=None)
            assert whole.id in [view.id for view in page.jobs]


def _locales() -> str:
    return subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout


async def test_more_types_than_one_script_merges_are_one_list(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [fleet.job({"n": number}, type=f"some.type-{number % 10}") for number in range(100)]
    await fleet.broker.enqueue(jobs)
    expected = await all_pages(fleet, 0)
    assert len(expected) == 100
    monkeypatch.setattr(pages, "_INDEXES_AT_ONCE", 3)
    assert await all_pages(fleet, 0) == expected
    assert await all_pages(fleet, 7) == expected


async def test_records_that_do_not_match_are_counted_once_in_a_merged_list(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [fleet.job({"n": number}, type=f"some.type-{number % 10}") for number in range(100)]
    await fleet.broker.enqueue(jobs)
    monkeypatch.setattr(pages, "_INDEXES_AT_ONCE", 3)
    monkeypatch.setattr(pages, "_WINDOW", 4)
    page = await fleet.inspection.page(parse_filter("data.n>=90"), limit=0, cursor=None)
    assert sorted(view.id for view in page.jobs) == sorted(job.id for job in jobs[90:])
    assert page.examined == 100
