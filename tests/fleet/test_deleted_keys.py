"""Keys deleted from under us: indexes and counters heal within a round, a record is lost alone."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from hms_svc.brokers.redis.link import Link
from hms_svc.brokers.redis.repair_calls import check, heal
from hms_svc.domain.causes import OTHER_CAUSES
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.job_limits import KeyedLimit, Limit
from hms_svc.domain.lifecycle import State
from hms_svc.ports.broker import WorkerRegistration
from hms_svc.ports.control import Act, ActRequest
from hms_svc.ports.key_claims import PlaceClaim
from tests.support.fleet import TYPE, Fleet
from tests.support.waiting import until

FAR = 4_000_000_000_000
WAITING = {"queued": 3, "scheduled": 2, "retrying": 1, "held": 1, "processing": 2}
ENDED = {"completed": 1, "rejected": 1, "dead": 1, "cancelled": 1}


async def is_past(fleet: Fleet, at_ms: int) -> bool:
    """Return whether the server's clock has passed a time."""
    seconds, micros = fleet.server.cli("TIME")
    return int(seconds * 1000 + micros // 1000) > at_ms + 5


async def every_state(fleet: Fleet) -> dict[str, str]:
    """Make jobs in every state; return one id of each."""
    ends = {
        "completed": State.COMPLETED,
        "rejected": State.REJECTED,
        "dead": State.DEAD,
        "cancelled": State.CANCELLED,
        "retrying": State.RETRYING,
        "held": State.HELD,
    }
    one: dict[str, str] = {}
    for name, state in ends.items():
        [one[name]] = await fleet.accept()
        [job] = await fleet.claim(1)
        await fleet.broker.settle([fleet.settlement(job, state)])
    one["scheduled"] = (await fleet.accept(2, not_before=FAR))[0]
    one["processing"] = (await fleet.accept(2, unique_key=None))[0]
    await fleet.claim(2)
    one["queued"] = (await fleet.accept(3))[0]
    return one


@pytest.mark.parametrize(
    "name",
    [
        f"hms:default:queued:{TYPE}",
        f"hms:default:scheduled:{TYPE}",
        f"hms:default:processing:{TYPE}",
        f"hms:default:held:{TYPE}",
        f"hms:default:completed:{TYPE}",
        f"hms:default:dead:{TYPE}",
        f"hms:default:retrying:{TYPE}",
        f"jobs:{TYPE}:retry",
        f"hms:default:queue:{TYPE}",
        f"stats:{TYPE}",
        "hms:default:job-types",
        "hms:default:due",
        "hms:default:leases",
        "hms:default:fence",
        "hms:default:bus:position",
        "hms:default:bus",
        "hms:default:claims:worker-1:0",
    ],
)
async def test_an_index_or_counter_heals_within_a_round_of_the_reaper(
    fleet: Fleet, name: str
) -> None:
    await every_state(fleet)
    await fleet.broker.reap(100)
    before = await fleet.counts()
    assert before == {**WAITING, **ENDED}
    assert fleet.server.cli("DEL", name) == 1
    await fleet.broker.reap(100)
    assert await fleet.counts() == before
    jobs = await fleet.claim()
    assert len(jobs) == WAITING["queued"]
    await fleet.complete(*jobs)


@pytest.mark.parametrize(
    "name", [f"hms:default:queued:{TYPE}", f"hms:default:queue:{TYPE}", "hms:default:job-types"]
)
async def test_gauges_are_right_again(fleet: Fleet, name: str) -> None:
    await every_state(fleet)
    fleet.server.cli("DEL", name, f"stats:{TYPE}")
    await fleet.broker.reap(100)
    gauges = fleet.server.cli("HGETALL", f"stats:{TYPE}")
    for state, size in WAITING.items():
        assert int(gauges[state.encode()]) == size, state


def register(fleet: Fleet, limit: Limit) -> None:
    """Register a worker whose type declares a limit with a key."""
    lease_keeper = fleet.broker.lease_keeper()
    keyed_limits = ((TYPE, (limit,)),)
    lease_keeper.register(
        WorkerRegistration(
            id="worker-1",
            host="h",
            pid=1,
            slots=1,
            busy=0,
            types=(TYPE,),
            started_at=1,
            keyed_limits=keyed_limits,
        )
    )
    lease_keeper.close()


@pytest.mark.parametrize("family", ["places:*", "holders:*", "behind:*", "limit-checks"])
async def test_jobs_that_wait_for_a_limit_are_let_in_all_the_same(
    fleet: Fleet, family: str
) -> None:
    limit = KeyedLimit("aa", "at most 1 job at the same time for '7'", Limit(1))
    register(fleet, limit.limit)
    [running, *waiting] = await fleet.accept(4)
    claims = [PlaceClaim(job, (limit,), 30_000) for job in await fleet.claim()]
    assert await fleet.broker.take_places(claims) == [True, False, False, False]
    assert fleet.server.cli("DEL", *fleet.server.keys(f"hms:default:{family}")) == 1
    await fleet.complete(claims[0].claimed)
    ran = [running]
    async with asyncio.timeout(60):
        while len(ran) < 4:
            await fleet.broker.reap(100)
            await fleet.broker.promote(100)
            found = await fleet.claim()
            places = await fleet.broker.take_places(
                [PlaceClaim(job, (limit,), 30_000) for job in found]
            )
            for job in itertools.compress(found, places):
                ran.append(job.job.id)
                await fleet.complete(job)
    assert sorted(ran[1:]) == sorted(waiting)


@pytest.mark.parametrize(
    "family", ["cause:*", "causes", "dead:*", "rejected:*", "retrying:*", "queue:*", "job-types"]
)
async def test_failure_groups_heal_within_a_round_of_the_reaper(fleet: Fleet, family: str) -> None:
    await every_state(fleet)
    before = await fleet.inspection.failures()
    states = (State.DEAD, State.REJECTED, State.RETRYING)
    assert {group.state: group.count for group in before} == dict.fromkeys(states, 1)
    fleet.server.cli("DEL", *fleet.server.keys(f"hms:default:{family}"))
    await fleet.broker.reap(100)
    assert await fleet.inspection.failures() == before


async def test_a_failed_record_that_was_deleted_leaves_no_group_behind(fleet: Fleet) -> None:
    one = await every_state(fleet)
    fleet.server.cli("DEL", f"hms:default:job:{one['dead']}", f"hms:default:dead:{TYPE}")
    await fleet.broker.reap(100)
    left = {group.newest_id for group in await fleet.inspection.failures()}
    assert left == {one["rejected"], one["retrying"]}


async def test_what_does_not_belong_into_a_group_is_struck_off(fleet: Fleet) -> None:
    one = await every_state(fleet)
    before = await fleet.inspection.failures()
    for group in before:
        name = f"hms:default:cause:{group.id}"
        fleet.server.cli("ZADD", name, 1, "ghost", 2, one["queued"], 3, one["dead"])
    await fleet.broker.reap(100)
    found = {
        group.id: (group.count, group.newest_id) for group in await fleet.inspection.failures()
    }
    assert found == {group.id: (1, group.newest_id) for group in before}


async def test_a_walk_goes_on_under_its_flag_and_nobody_undoes_it(fleet: Fleet) -> None:
    one = await every_state(fleet)
    link: Link = fleet.inspection._link  # type: ignore[attr-defined]  # the port has no such attribute, Redis's implementation has
    fleet.server.cli("DEL", f"hms:default:dead:{TYPE}")
    before = await fleet.inspection.failures()
    checked = [(await link.run(check([TYPE]))).broken for _ in range(2)]
    assert checked == [1, 0]
    fleet.server.cli("DEL", "hms:default:healing")
    assert (await link.run(check([TYPE], seconds=5))).broken
    assert await fleet.inspection.failures() == before
    await link.run(heal([one["dead"]]))
    assert fleet.server.cli("TTL", "hms:default:healing") > 5


async def test_a_job_healed_into_other_causes_is_found_by_them(fleet: Fleet) -> None:
    one = await every_state(fleet)
    fleet.server.cli("DEL", *fleet.server.keys("hms:default:cause*"))
    fleet.server.cli("SADD", "hms:default:causes", *(f"no-{number}" for number in range(1000)))
    await fleet.broker.reap(100)
    groups = await fleet.inspection.failures()
    assert {group.pattern for group in groups} == {OTHER_CAUSES}
    [dead] = [group for group in groups if group.state is State.DEAD]
    page = await fleet.inspection.page(parse_filter(f"cause:{dead.id}"), limit=9, cursor=None)
    assert [job.id for job in page.jobs] == [one["dead"]]


async def test_a_deleted_queued_record_is_lost_alone(fleet: Fleet) -> None:
    ids = await fleet.accept(3)
    fleet.server.cli("DEL", f"hms:default:job:{ids[1]}")
    jobs = await fleet.claim()
    assert [job.job.id for job in jobs] == [ids[0], ids[2]]
    detail = await fleet.detail(ids[1])
    assert detail is not None
    assert (detail.view.state, detail.view.reason) == (State.DEAD, "lost")
    assert await fleet.counts() == {"processing": 2, "dead": 1}
    await fleet.complete(*jobs)


async def test_a_deleted_record_of_a_running_job_is_lost_when_its_lease_ends(fleet: Fleet) -> None:
    [job_id] = await fleet.accept()
    [job] = await fleet.claim(lease_ms=1)
    fleet.server.cli("DEL", f"hms:default:job:{job_id}")
    assert await fleet.broker.settle([fleet.settlement(job)]) == [job.token]

    async def lost() -> bool:
        await fleet.broker.reap(10)
        return await fleet.state(job_id) is State.DEAD

    await until("the job is lost", lost)
    assert await fleet.counts() == {"dead": 1}


async def test_a_deleted_scheduled_record_is_lost_when_it_is_due(fleet: Fleet) -> None:
    [job_id] = await fleet.accept(not_before=FAR)
    fleet.server.cli("DEL", f"hms:default:job:{job_id}")
    fleet.server.cli("ZADD", f"hms:default:scheduled:{TYPE}", 1, job_id)
    fleet.server.cli("ZADD", "hms:default:due", 1, f"1 {TYPE}")
    await fleet.broker.promote(10)
    assert await fleet.counts() == {"dead": 1}


async def test_a_lease_that_was_renewed_and_deleted_is_not_taken_from_its_worker(
    fleet: Fleet,
) -> None:
    await fleet.accept()
    await fleet.broker.reap(10)
    [job] = await fleet.claim(lease_ms=20)
    lease_keeper = fleet.broker.lease_keeper()
    assert lease_keeper.extend([job.token], 60_000) == []
    lease_keeper.close()
    fleet.server.cli("DEL", f"hms:default:processing:{TYPE}")
    await until("the lease of the claim is over", lambda: is_past(fleet, job.claimed_at + 20))
    report = await fleet.broker.reap(10)
    assert (report.rescued, report.dead) == (0, 0)
    await fleet.complete(job)


async def test_a_unique_key_heals_with_the_indexes(fleet: Fleet) -> None:
    await fleet.broker.enqueue([fleet.job(id="first", unique_key="k")])
    await fleet.broker.reap(10)
    fleet.server.cli("DEL", f"hms:default:unique:{TYPE}", f"hms:default:queued:{TYPE}")
    await fleet.broker.reap(10)
    [answer] = await fleet.broker.enqueue([fleet.job(id="second", unique_key="k")])
    assert answer.state is State.REJECTED


async def test_after_a_flush_the_same_process_goes_on_with_higher_fences(fleet: Fleet) -> None:
    await fleet.accept()
    [before] = await fleet.claim()
    fleet.server.flush()
    [job_id] = await fleet.accept()
    assert await fleet.broker.settle([fleet.settlement(before)]) == [before.token]
    [after] = await fleet.claim()
    assert (after.job.id, after.token.fence > before.token.fence) == (job_id, True)
    await fleet.complete(after)


async def test_a_discard_whose_batch_was_deleted_still_goes_in_time(fleet: Fleet) -> None:
    [job_id] = await fleet.accept()
    request = ActRequest(act=Act.DISCARD, job_ids=(job_id,), by="ravi", batch="b1")
    await fleet.control.act(request)
    fleet.server.cli("DEL", "hms:default:undo:b1")
    assert await fleet.control.undo("b1") == []
    fleet.server.cli("ZADD", f"hms:default:discarded:{TYPE}", 1, job_id)
    assert await fleet.control.trim(limit=10) == 1
    assert fleet.server.keys("hms:default:job:*") == []
