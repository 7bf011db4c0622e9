"""Foreign producers LPUSH; every item ends as the contract says, none vanishes, none runs twice."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest

from hms_svc.brokers.redis.job_calls import rightmost
from hms_svc.brokers.redis.link import Link
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.job import ClaimedJob
from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import JobView
from hms_svc.operations.answers.jobs import Raw
from tests.support.fleet import TYPE, Fleet
from tests.support.waiting import until

INTAKE = f"jobs:{TYPE}"


async def claimed(fleet: Fleet, count: int) -> list[ClaimedJob]:
    """Claim until so many jobs have come."""
    found: list[ClaimedJob] = []

    async def enough() -> bool:
        found.extend(await fleet.claim())
        return len(found) >= count

    await until(f"{count} jobs are claimed", enough)
    return found


async def dead(fleet: Fleet) -> list[JobView]:
    page = await fleet.inspection.page(parse_filter("state:dead"), limit=100, cursor=None)
    return list(page.jobs)


async def test_a_push_while_the_worker_waits_is_claimed(fleet: Fleet) -> None:
    await fleet.claim()
    waiting = asyncio.create_task(fleet.broker.wait_for_work(20))
    fleet.server.cli("LPUSH", INTAKE, json.dumps({"id": "front-1", "data": {"a": 1}}))
    assert await waiting
    [job] = await claimed(fleet, 1)
    assert (job.job.id, job.job.payload()) == ("front-1", {"a": 1})


async def test_equal_pushes_without_an_id_are_two_jobs(fleet: Fleet) -> None:
    fleet.server.cli("LPUSH", INTAKE, b'{"data":{}}', b'{"data":{}}')
    jobs = await claimed(fleet, 2)
    assert len({job.job.id for job in jobs}) == 2


async def test_pushes_are_taken_from_the_right(fleet: Fleet) -> None:
    for name in ("first", "second", "third"):
        fleet.server.cli("LPUSH", INTAKE, json.dumps({"id": name, "data": {}}))
    jobs = await claimed(fleet, 3)
    assert [job.job.id for job in jobs] == ["first", "second", "third"]


@pytest.mark.parametrize("item", [b"\xff\xfe", b"[1,2]", b"", b'{"data":{"a":1,"a":2}}'])
async def test_bytes_that_are_no_job_are_a_dead_letter(fleet: Fleet, item: bytes) -> None:
    fleet.server.cli("LPUSH", INTAKE, item, b'{"id":"healthy","data":{}}')
    assert [job.job.id for job in await claimed(fleet, 1)] == ["healthy"]
    [view] = await dead(fleet)
    detail = await fleet.detail(view.id)
    assert detail is not None
    assert (view.reason, detail.raw, detail.raw_length) == ("malformed", item, len(item))


async def test_an_item_of_twenty_megabytes_keeps_its_beginning_and_digest(fleet: Fleet) -> None:
    item = b'{"data":"' + b"x" * 20_000_000 + b'"}'
    fleet.server.cli("LPUSH", INTAKE, item, b'{"id":"healthy","data":{}}')
    await claimed(fleet, 1)
    [view] = await dead(fleet)
    detail = await fleet.detail(view.id)
    assert detail is not None
    assert (detail.raw, detail.raw_length) == (item[:65_536], len(item))
    raw = Raw.of(detail)
    assert isinstance(raw, Raw)
    assert raw.sha256_of_beginning == hashlib.sha256(item[:65_536]).hexdigest()
    assert raw.length == len(item)


async def test_an_id_used_again_is_one_job_or_a_conflict(fleet: Fleet) -> None:
    for data in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 3}):
        fleet.server.cli("LPUSH", INTAKE, json.dumps({"id": "front-1", "data": data}))
    [job] = await claimed(fleet, 1)
    assert job.job.payload() == {"a": 1, "b": 2}

    async def buried() -> list[JobView]:
        return await dead(fleet)

    await until("the conflict is buried", buried)
    [view] = await dead(fleet)
    assert (view.reason, view.id != "front-1") == ("id_conflict", True)
    assert await fleet.counts() == {"processing": 1, "dead": 1}


async def test_a_held_unique_key_rejects_what_is_pushed(fleet: Fleet) -> None:
    for name in ("first", "second"):
        item: dict[str, object] = {"id": name, "data": {}, "unique_key": "ward-7"}
        fleet.server.cli("LPUSH", INTAKE, json.dumps(item))
    [job] = await claimed(fleet, 1)

    async def refused() -> bool:
        return await fleet.state("second") is State.REJECTED

    await until("the second is rejected", refused)
    detail = await fleet.detail("second")
    assert detail is not None
    assert (job.job.id, detail.view.reason) == ("first", "unique")


async def test_a_type_nobody_serves_is_found_and_stays_queued(fleet: Fleet) -> None:
    fleet.server.cli("LPUSH", "jobs:never.heard.of", b'{"id":"lonely","data":{}}')
    await fleet.broker.reap(10)
    assert await fleet.counts("never.heard.of") == {"queued": 1}
    assert await fleet.state("lonely") is State.QUEUED


async def test_more_types_than_are_watched_are_polled(fleet: Fleet) -> None:
    types = [f"type.{number}" for number in range(20)]
    await fleet.claim(10, *types)
    for type in types:
        fleet.server.cli("LPUSH", f"jobs:{type}", b'{"data":{}}')
    found: set[str] = set()

    async def all_found() -> bool:
        found.update(job.job.type for job in await fleet.claim(10, *types))
        return found == set(types)

    await until("every type is found", all_found)


async def test_four_takers_of_one_intake_make_each_item_one_job(fleet: Fleet) -> None:
    """Items without ids that are equal but for a few: a slip would lose or double one."""
    items = [json.dumps({"data": {"n": number % 7}}) for number in range(400)]
    fleet.server.cli("LPUSH", INTAKE, *items)
    await asyncio.gather(*(fleet.broker.reap(1) for _ in range(4)))
    assert await fleet.counts() == {"queued": 400}
    assert fleet.server.cli("HGET", f"stats:{TYPE}", "accepted") == b"400"
    assert fleet.server.cli("HGET", f"stats:{TYPE}", "intake") == b"0"


async def test_an_item_whose_taker_died_is_found_again(fleet: Fleet) -> None:
    """BLMOVE has put it into our list, and nobody who watches the type is left."""
    fleet.server.cli("SADD", "hms:default:job-types", "left.behind")
    fleet.server.cli("LPUSH", "hms:default:taken:left.behind", b'{"id":"lonely","data":{}}')
    await fleet.broker.reap(10)
    assert await fleet.state("lonely") is State.QUEUED


async def test_large_items_behind_a_small_one_are_taken_a_few_at_a_time(fleet: Fleet) -> None:
    large = b'{"data":"' + b"x" * 900_000 + b'"}'
    fleet.server.cli("LPUSH", INTAKE, b'{"data":{}}', *[large] * 9)
    link: Link = fleet.inspection._link  # type: ignore[attr-defined]  # the port has no such attribute, Redis's implementation has
    items = await link.run(
        rightmost(INTAKE, number=100, bytes_at_once=1024 * 1024, largest=4_000_000, kept=10)
    )
    assert len(items) == 3
    await fleet.broker.reap(10)
    assert await fleet.counts() == {"queued": 10}


async def test_a_key_of_another_kind_stops_nothing(fleet: Fleet) -> None:
    fleet.server.cli("HSET", "jobs:no.list", "a", "1")
    fleet.server.cli("LPUSH", "jobs:never.heard.of", b'{"id":"lonely","data":{}}')
    await fleet.claim(1, "no.list", *(f"type.{number}" for number in range(20)))
    await fleet.broker.reap(10)
    assert await fleet.state("lonely") is State.QUEUED


async def test_of_a_very_large_item_only_the_beginning_leaves_the_server(fleet: Fleet) -> None:
    fleet.server.cli("LPUSH", "jobs:unserved", b"small", b"x" * 5_000)
    link: Link = fleet.inspection._link  # type: ignore[attr-defined]  # the port has no such attribute, Redis's implementation has
    found = await link.run(
        rightmost("jobs:unserved", number=100, bytes_at_once=1_000_000, largest=4_999, kept=10)
    )
    assert found == [b"small", (5_000, b"x" * 10)]


@pytest.mark.parametrize("length", [16 * 1024 * 1024, 16 * 1024 * 1024 + 1])
async def test_items_around_what_is_fetched_are_taken_once(fleet: Fleet, length: int) -> None:
    fleet.server.cli("LPUSH", INTAKE, b"x" * length, b'{"id":"healthy","data":{}}')
    await claimed(fleet, 1)
    [view] = await dead(fleet)
    assert view.reason == "malformed"
    assert fleet.server.cli("EXISTS", INTAKE) == 0


async def test_an_item_is_removed_without_being_read_again(fleet: Fleet) -> None:
    fleet.server.cli("CONFIG", "RESETSTAT")
    fleet.server.cli("LPUSH", INTAKE, b'{"id":"healthy","data":{}}')
    await claimed(fleet, 1)
    commands = str(fleet.server.cli("INFO", "commandstats"))
    assert "cmdstat_ltrim" in commands
    assert "cmdstat_rpop" not in commands


async def test_who_pushes_without_end_holds_up_neither_the_reaper_nor_other_types(
    fleet: Fleet,
) -> None:
    for _ in range(10):
        fleet.server.cli("LPUSH", "jobs:nobody.job", *([b'{"data":{}}'] * 1_000))
    fleet.server.cli("LPUSH", "jobs:other.job", b'{"id":"other","data":{}}')
    await fleet.broker.reap(10)
    assert int(fleet.server.cli("LLEN", "jobs:nobody.job")) > 0, "the round has ended before"

    async def other_is_there() -> bool:
        await fleet.broker.reap(10)
        return await fleet.state("other") is not None

    await until("the other is found", other_is_there)

    async def all_are_there() -> bool:
        await fleet.broker.reap(10)
        return (await fleet.counts("nobody.job")).get("queued") == 10_000

    await until("all are taken in", all_are_there)
