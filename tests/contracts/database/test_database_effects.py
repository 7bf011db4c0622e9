from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from msgspec.structs import replace

from hms_svc.domain.ids import case_id
from hms_svc.domain.job import make_job
from hms_svc.persistence.database import SqlDatabase
from hms_svc.ports.stores import EffectRequest, PlaceQuery, RefusedEffect, ReportCount, StoredEffect
from tests.support.database_engines import HandClock, Opener
from tests.support.database_requests import HOUR, LAT, LON, METRE, NOON, RADIUS_M, effect


def fresh(job_id: str, key: str = "") -> StoredEffect:
    return StoredEffect(job_id, key, case_id(job_id, key), "as it was", fresh=True)


def known(job_id: str, key: str = "") -> StoredEffect:
    return StoredEffect(job_id, key, case_id(job_id, key), "as it was")


def fault_of(answer: StoredEffect | RefusedEffect) -> str:
    assert isinstance(answer, RefusedEffect)
    return answer.fault


async def everything(database: SqlDatabase) -> dict[str, int]:
    listed, _ = await database.cases.page(status=None, kind=None, limit=0, cursor=None)
    return {
        "cases": len(listed),
        "audit": len(await database.audit.records(limit=0, cursor=None)),
        "outbox": len(await database.outbox.waiting(10_000)),
        "opened": (await database.analytics.totals()).get("cases.opened", 0),
    }


async def test_an_effect_commits_case_audit_event_job_and_counters(database: SqlDatabase) -> None:
    notify = make_job("crew.notify", {"case": 1}, now_ms=NOON, id="notify-1", priority=3)
    request = effect("a", follow_ups=(notify,))

    assert await database.effects.commit([request]) == [fresh("a")]

    assert await database.cases.get(case_id("a", "")) == request.case
    entries = await database.outbox.waiting(10)
    assert [entry.event or entry.job for entry in entries] == [request.events[0], notify]
    (record,) = await database.audit.records(limit=10, cursor=None)
    assert (record.actor, record.action, record.subject) == (
        "worker",
        "case.opened",
        case_id("a", ""),
    )
    assert await database.analytics.totals() == {"cases.opened": 1, "cases.opened.pothole": 1}


async def test_nothing_is_asked_of_the_database_for_empty_groups(database: SqlDatabase) -> None:
    answers = [
        await database.effects.commit([]),
        await database.cases.near([]),
        await database.effects.recall([]),
    ]
    assert [*answers, await database.reports.count([])] == [[], [], [], []]


async def test_the_same_effect_again_is_answered_as_it_stands(database: SqlDatabase) -> None:
    await database.effects.commit([effect("a")])
    before = await everything(database)
    assert await database.effects.commit([effect("a", fence=2)]) == [known("a")]
    assert await everything(database) == before


async def test_the_same_effect_twice_in_one_group_is_one_case(database: SqlDatabase) -> None:
    assert await database.effects.commit([effect("a"), effect("a")]) == [fresh("a"), known("a")]
    assert (await everything(database))["cases"] == 1


async def test_the_same_key_with_other_data_is_a_conflict(database: SqlDatabase) -> None:
    await database.effects.commit([effect("a")])
    (answer,) = await database.effects.commit([effect("a", digest="other")])
    assert answer == RefusedEffect("conflict", case_id("a", ""))


async def test_a_lower_fence_is_refused(database: SqlDatabase) -> None:
    await database.effects.commit([effect("a", fence=7)])
    (answer,) = await database.effects.commit([effect("a", key="second", fence=6)])
    assert answer == RefusedEffect("fence")


async def test_a_claim_that_was_recalled_fences_the_older_one_off(database: SqlDatabase) -> None:
    await database.effects.recall([("a", 9)])
    assert await database.effects.commit([effect("a", fence=8)]) == [RefusedEffect("fence")]
    assert await database.effects.commit([effect("a", fence=9)]) == [fresh("a")]


async def test_recalling_an_older_claim_does_not_lower_the_fence(database: SqlDatabase) -> None:
    await database.effects.recall([("a", 9)])
    await database.effects.recall([("a", 3)])
    assert await database.effects.commit([effect("a", fence=8)]) == [RefusedEffect("fence")]


async def test_recall_gives_each_job_its_own_effects(database: SqlDatabase) -> None:
    await database.effects.commit(
        [effect("a", key="2", kind="sign"), effect("a", key="1"), effect("b", north_m=99)]
    )
    answers = await database.effects.recall([("none", 4), ("a", 5), ("b", 6)])
    assert answers == [(), (known("a", "2"), known("a", "1")), (known("b"),)]


async def test_outside_of_a_job_no_fence_is_kept(database: SqlDatabase) -> None:
    await database.effects.commit([effect("a", fence=7)])
    assert await database.effects.commit([effect("a", key="by hand", fence=0)]) == [
        fresh("a", "by hand")
    ]


async def test_a_commit_after_the_lease_is_refused(database: SqlDatabase, clock: HandClock) -> None:
    late, in_time = effect("late", valid_until=NOON), effect("in time", valid_until=NOON + 1)
    assert await database.effects.commit([late, in_time]) == [
        RefusedEffect("fence"),
        fresh("in time"),
    ]
    clock.now += 1
    assert await database.effects.commit([in_time]) == [RefusedEffect("fence")]


async def test_a_case_within_the_radius_is_a_duplicate_of_the_older(database: SqlDatabase) -> None:
    await database.effects.commit([effect("a")])
    (answer,) = await database.effects.commit([effect("b", north_m=24)])
    assert isinstance(answer, RefusedEffect)
    assert (answer.fault, answer.case_id) == ("duplicate", case_id("a", ""))
    assert answer.distance_m == pytest.approx(24, abs=0.01)


@pytest.mark.parametrize(
    "free",
    [
        pytest.param(effect("b", north_m=26), id="beyond the radius"),
        pytest.param(effect("b", kind="sign"), id="another kind"),
        pytest.param(effect("b", placed=False), id="no place"),
        pytest.param(effect("a", key="second"), id="the job's own case"),
    ],
)
async def test_what_is_no_duplicate_opens(database: SqlDatabase, free: EffectRequest) -> None:
    await database.effects.commit([effect("a"), effect("c", placed=False)])
    (answer,) = await database.effects.commit([free])
    assert isinstance(answer, StoredEffect)


async def test_of_one_group_the_first_at_a_place_wins(database: SqlDatabase) -> None:
    answers = await database.effects.commit(
        [effect("a"), effect("b", north_m=10), effect("c", north_m=30)]
    )
    assert answers[0] == fresh("a")
    assert fault_of(answers[1]) == "duplicate"
    assert answers[2] == fresh("c")


async def test_a_refused_row_leaves_its_neighbours(database: SqlDatabase) -> None:
    await database.effects.recall([("zombie", 5)])
    await database.effects.commit([effect("old", north_m=1_000)])
    group = [
        effect("a"),
        effect("zombie", north_m=100),
        effect("old", north_m=1_000, digest="other"),
        effect("b", north_m=200),
        effect("late", north_m=300, valid_until=NOON - 1),
        effect("c", north_m=400),
    ]
    answers = await database.effects.commit(group)
    assert [answers[index] for index in (0, 3, 5)] == [fresh("a"), fresh("b"), fresh("c")]
    assert [fault_of(answers[index]) for index in (1, 2, 4)] == ["fence", "conflict", "fence"]
    assert await everything(database) == {"cases": 4, "audit": 4, "outbox": 4, "opened": 4}


async def test_what_was_refused_does_not_stand_in_the_way(database: SqlDatabase) -> None:
    answers = await database.effects.commit(
        [effect("late", valid_until=NOON - 1), effect("b", north_m=5)]
    )
    assert answers == [RefusedEffect("fence"), fresh("b")]


async def test_a_group_may_be_large(database: SqlDatabase) -> None:
    group = [effect(f"job-{index}", north_m=index * 40) for index in range(3_000)]
    answers = await database.effects.commit(group)
    assert Counter(type(answer) for answer in answers) == {StoredEffect: 3_000}
    again = await database.effects.commit(group)
    assert all(isinstance(answer, StoredEffect) and not answer.fresh for answer in again)


async def test_a_thousand_reports_of_one_place_open_one_case(another: Opener) -> None:
    """Four openers of one file, each with a writer thread of its own, race in small groups."""
    racers = [await another() for _ in range(4)]
    groups = [
        [effect(f"job-{number}", north_m=number % 5) for number in range(first, first + 10)]
        for first in range(0, 1_000, 10)
    ]
    free = asyncio.Semaphore(
        16
    )  # four for each pool of connections, whose last call would wait too long

    async def commit(number: int) -> list[StoredEffect | RefusedEffect]:
        async with free:
            return await racers[number % 4].effects.commit(groups[number])

    answers = [each for group in await asyncio.gather(*map(commit, range(100))) for each in group]
    winners = [answer for answer in answers if isinstance(answer, StoredEffect)]
    assert len(winners) == 1
    assert {getattr(answer, "case_id", "") for answer in answers} == {winners[0].case_id}
    assert (await everything(racers[0]))["cases"] == 1


async def test_one_job_run_by_two_workers_has_one_effect(another: Opener) -> None:
    racers = [await another(), await another()]
    answers = await asyncio.gather(
        *(racers[n % 2].effects.commit([effect("a", fence=4)]) for n in range(40))
    )
    assert sum(answer == [fresh("a")] for answer in answers) == 1
    assert await everything(racers[1]) == {"cases": 1, "audit": 1, "outbox": 1, "opened": 1}


async def test_near_gives_the_nearest_of_each_query_in_order(database: SqlDatabase) -> None:
    await database.effects.commit([effect("a"), effect("b", north_m=30), effect("s", kind="sign")])
    north = PlaceQuery("pothole", LAT + 20 * METRE, LON, RADIUS_M)
    sea = PlaceQuery("pothole", 0.0, 0.0, RADIUS_M)
    first, second, third = await database.cases.near(
        [north, sea, PlaceQuery("sign", LAT, LON, 1.0)]
    )
    assert first is not None
    assert (first.case_id, first.job_id) == (case_id("b", ""), "b")
    assert first.distance_m == pytest.approx(10, abs=0.01)
    assert second is None
    assert third is not None
    assert third.job_id == "s"


async def test_near_leaves_out_the_job_s_own_case(database: SqlDatabase) -> None:
    await database.effects.commit([effect("a")])
    assert await database.cases.near(
        [PlaceQuery("pothole", LAT, LON, RADIUS_M, not_of_job="a")]
    ) == [None]


async def test_near_looks_across_the_antimeridian(database: SqlDatabase) -> None:
    request = effect("a")
    moved = replace(request.case, lon=179.9999)
    await database.effects.commit([replace(request, case=moved)])
    (found,) = await database.cases.near([PlaceQuery("pothole", LAT, -179.9999, RADIUS_M)])
    assert found is not None


async def test_reports_count_distinct_jobs_since_then(database: SqlDatabase) -> None:
    old = ReportCount("u", "old", NOON - 2 * HOUR, NOON - 3 * HOUR)
    assert await database.reports.count([old]) == [1]
    asked = [ReportCount("u", f"job-{n}", NOON + n, NOON + n - HOUR) for n in range(3)]
    assert await database.reports.count(asked) == [3, 3, 3]
    assert await database.reports.count([asked[0]]) == [3]
    other = ReportCount("v", "job-9", NOON, NOON - HOUR)
    assert await database.reports.count([other]) == [1]


async def test_counting_other_reports_records_none(database: SqlDatabase) -> None:
    made = [ReportCount("u", f"job-{n}", NOON + n, 0) for n in range(3)]
    await database.reports.count(made)
    for asked, others in ((ReportCount("u", "new", NOON, 0), 3), (made[0], 2)):
        assert await database.reports.count_others(asked) == others
    assert await database.reports.count_others(ReportCount("u", "new", NOON, NOON + 2)) == 1


async def test_each_report_counts_from_its_own_moment(database: SqlDatabase) -> None:
    await database.reports.count([ReportCount("u", f"job-{n}", NOON + n, 0) for n in range(10)])
    asked = [ReportCount("u", "job-0", NOON, NOON + since) for since in (0, 4, 9, 10)]
    assert await database.reports.count(asked) == [10, 6, 1, 0]


async def test_reports_older_than_a_day_are_swept_out(
    database: SqlDatabase, clock: HandClock
) -> None:
    await database.reports.count([ReportCount("u", "old", NOON, 0)])
    clock.now += 25 * HOUR
    await database.reports.count([ReportCount("u", "new", clock.now, 0)])
    await database.analytics.fold()
    assert await database.reports.count([ReportCount("u", "new", clock.now, 0)]) == [1]


async def test_fences_outlive_a_week_and_are_swept_out_after_a_month(
    database: SqlDatabase, clock: HandClock
) -> None:
    await database.effects.recall([("a", 9)])
    clock.now += 7 * 24 * HOUR
    await database.analytics.fold()
    assert await database.effects.commit([effect("a", fence=8)]) == [RefusedEffect("fence")]
    clock.now += 31 * 24 * HOUR
    await database.analytics.fold()
    assert await database.effects.commit([effect("a", fence=8)]) == [fresh("a")]
