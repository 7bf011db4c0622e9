"""Jobs with large payloads: a script moves a few megabytes of them, and none waits for all of another type."""

from __future__ import annotations

import json
from typing import Any

from hms_svc.brokers.redis.job_calls import promote
from hms_svc.brokers.redis.link import Link
from hms_svc.domain.lifecycle import State
from hms_svc.ports.broker import Acceptance
from tests.support.fleet import TYPE, Fleet
from tests.support.waiting import until

LARGE = "x" * 1_000_000
MANY = 12
MOST_AT_ONCE = 5
"""Records of a megabyte within 4 MiB, and the one that goes beyond."""


def link_of(fleet: Fleet) -> Link:
    link: Link = fleet.inspection._link  # type: ignore[attr-defined]  # the port has no such attribute, Redis's implementation has
    return link


async def accept_large(fleet: Fleet, **fields: Any) -> list[str]:
    jobs = [fleet.job(LARGE, **fields) for _ in range(MANY)]
    await fleet.broker.enqueue(jobs)
    return [job.id for job in jobs]


async def test_a_claim_gives_few_large_jobs_and_the_next_ones_the_rest(fleet: Fleet) -> None:
    ids = await accept_large(fleet)
    found: list[str] = []
    while claimed := await fleet.claim(100):
        assert len(claimed) <= MOST_AT_ONCE
        found += [job.job.id for job in claimed]
    assert found == ids


async def test_small_jobs_are_claimed_as_many_as_there_is_room_for(fleet: Fleet) -> None:
    ids = await fleet.accept(250)
    assert [job.job.id for job in await fleet.claim(200)] == ids[:200]


async def test_a_settlement_of_large_jobs_is_several_scripts_and_whole(fleet: Fleet) -> None:
    await accept_large(fleet)
    jobs = []
    while claimed := await fleet.claim(100):
        jobs += claimed
    stranger = fleet.settlement(jobs[-1])
    fleet.server.cli("CONFIG", "RESETSTAT")
    await fleet.complete(*jobs)
    calls = fleet.server.cli("INFO", "commandstats")["cmdstat_evalsha"]["calls"]
    assert calls >= MANY / MOST_AT_ONCE
    assert await fleet.counts() == {"completed": MANY}
    assert await fleet.broker.settle([stranger]) == [stranger.token]


async def test_ids_that_are_known_are_told_apart_however_large_their_records(fleet: Fleet) -> None:
    ids = await accept_large(fleet)
    others = [fleet.job({"n": 1}, id=job_id) for job_id in ids]
    answers = await fleet.broker.enqueue(others)
    assert [answer.acceptance for answer in answers] == [Acceptance.CONFLICT] * MANY
    same = [fleet.job(LARGE, id=job_id) for job_id in ids]
    answers = await fleet.broker.enqueue(same)
    assert [answer.acceptance for answer in answers] == [Acceptance.EXISTS] * MANY


async def test_pushed_ids_that_are_known_are_told_apart(fleet: Fleet) -> None:
    ids = await accept_large(fleet)
    await fleet.claim(0)
    items = [json.dumps({"id": job_id, "data": {}}).encode() for job_id in ids]
    fleet.server.cli("LPUSH", f"jobs:{TYPE}", *items)

    async def all_refused() -> bool:
        return (await fleet.counts()).get("dead") == MANY

    await until("all are dead letters", all_refused)


async def test_one_step_of_promoting_has_some_of_each_type_that_is_due(fleet: Fleet) -> None:
    now = fleet.job().enqueued_at
    await accept_large(fleet, not_before=now + 300)
    small = fleet.job({}, type="small.job", not_before=now + 400)
    await fleet.broker.enqueue([small])

    async def both_are_due() -> bool:
        seconds, micros = fleet.server.cli("TIME")
        return bool(seconds * 1000 + micros / 1000 > now + 401)

    await until("both are due", both_are_due)
    assert (await link_of(fleet).run(promote(1000))).moved
    assert await fleet.state(small.id) is State.QUEUED
    assert (await fleet.counts()).get("scheduled", 0) > 0, "the large ones are not all through"


async def test_one_round_of_the_reaper_takes_back_all_that_are_large(fleet: Fleet) -> None:
    await accept_large(fleet)
    small = fleet.job({}, type="small.job")
    await fleet.broker.enqueue([small])
    taken = 0
    while taken < MANY:
        taken += len(await fleet.claim(100, lease_ms=1))
    await fleet.claim(1, "small.job", lease_ms=1)
    rescued = 0

    async def all_rescued() -> bool:
        nonlocal rescued
        rescued += (await fleet.broker.reap(500)).rescued
        return rescued == MANY + 1

    await until("all are rescued", all_rescued)
    assert await fleet.state(small.id) is State.QUEUED
