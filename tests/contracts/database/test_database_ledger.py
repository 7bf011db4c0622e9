from __future__ import annotations

import asyncio

from msgspec.structs import replace

from hms_svc.domain.case import CaseStatus
from hms_svc.domain.event import service_event
from hms_svc.domain.ids import case_id
from hms_svc.domain.job import make_job
from hms_svc.domain.lifecycle import State
from hms_svc.domain.views import JobDetail
from hms_svc.persistence.database import SqlDatabase
from hms_svc.ports.stores import AcceptedKey, EffectRequest, ReportCount
from tests.support.database_engines import HandClock, Opener
from tests.support.database_requests import HOUR, NOON, RADIUS_M, dead_job, effect, publish_nothing


def with_all_messages(job_id: str) -> EffectRequest:
    """Ask for an effect with a `case.*` event, another event, and a follow-up job."""
    further = service_event(job_id, "crew.called", "0", None, NOON)
    notify = make_job("crew.notify", {}, now_ms=NOON, id=f"notify-{job_id}")
    request = effect(job_id, placed=False, follow_ups=(notify,))
    return replace(request, events=(*request.events, further))


async def test_the_outbox_gives_the_oldest_first_up_to_the_limit(database: SqlDatabase) -> None:
    await database.effects.commit([with_all_messages("a"), with_all_messages("b")])
    entries = await database.outbox.waiting(4)
    messages = [entry.event or entry.job for entry in entries]
    assert [message.type for message in messages if message] == [
        "case.opened",
        "crew.called",
        "crew.notify",
        "case.opened",
    ]
    numbers = [entry.number for entry in entries]
    assert numbers == sorted(set(numbers))


async def test_what_was_published_leaves_the_outbox(database: SqlDatabase) -> None:
    await database.effects.commit([with_all_messages("a")])
    _, second, third = await database.outbox.waiting(10)
    assert await database.outbox.relay(1, publish_nothing) == 1
    assert await database.outbox.waiting(10) == [second, third]
    assert await database.outbox.relay(10, publish_nothing) == 2
    assert await database.outbox.waiting(10) == []


async def test_the_lag_of_the_outbox_is_the_age_of_what_waits_longest(
    database: SqlDatabase, clock: HandClock
) -> None:
    assert await database.outbox.lag_ms() == 0
    await database.effects.commit([with_all_messages("a")])
    clock.now += 1_500
    await database.effects.commit([with_all_messages("b")])
    assert await database.outbox.lag_ms() == 1_500
    await database.outbox.relay(10, publish_nothing)
    assert await database.outbox.lag_ms() == 0


async def test_case_events_can_be_replayed_for_ever(database: SqlDatabase) -> None:
    await database.effects.commit([with_all_messages("a"), with_all_messages("b")])
    waiting = await database.outbox.waiting(10)
    await database.outbox.relay(3, publish_nothing)
    kept = [entry for entry in waiting if entry.event and entry.event.type == "case.opened"]
    assert await database.outbox.replay(after=0, limit=10) == kept
    assert await database.outbox.replay(after=kept[0].number, limit=10) == kept[1:]
    assert await database.outbox.replay(after=0, limit=1) == kept[:1]


async def test_a_number_is_never_used_twice(database: SqlDatabase) -> None:
    """A relay that marks late what another one has removed must not hit a newer row."""
    await database.effects.commit([with_all_messages("a")])
    before = {entry.number for entry in await database.outbox.waiting(10)}
    await database.outbox.relay(10, publish_nothing)
    await database.effects.commit([with_all_messages("b")])
    after = {entry.number for entry in await database.outbox.waiting(10)}
    assert len(after) == 3
    assert not before & after


async def test_the_archive_keeps_a_job_once_and_whole(database: SqlDatabase) -> None:
    job = dead_job("a", finished_at=NOON)
    await database.archive.keep([job])
    await database.archive.keep([replace(job, raw=None), dead_job("b", finished_at=NOON)])
    assert await database.archive.get("a") == job
    assert await database.archive.get("none") is None


async def test_the_archive_keeps_each_end_of_an_id_used_again(database: SqlDatabase) -> None:
    first, second = dead_job("a", finished_at=NOON), dead_job("a", finished_at=NOON + HOUR)
    await database.archive.keep([second])
    await database.archive.keep([first, second])
    assert await database.archive.get("a") == second
    assert (await database.archive.page(limit=0, cursor=None))[0] == [second, first]


async def test_the_archive_lists_the_latest_end_first(database: SqlDatabase) -> None:
    ends = {"a": 5, "b": 9, "c": 5, "d": 1, "e": 9}
    await database.archive.keep(
        [dead_job(name, finished_at=NOON + end) for name, end in ends.items()]
    )
    names, cursor = [], None
    while True:
        page, cursor = await database.archive.page(limit=2, cursor=cursor)
        names += [job.view.id for job in page]
        if cursor is None:
            break
    assert names == ["e", "b", "c", "a", "d"]
    everything, _ = await database.archive.page(limit=0, cursor=None)
    assert [job.view.id for job in everything] == names


async def test_large_archived_jobs_are_read_few_at_a_time(database: SqlDatabase) -> None:
    jobs = [
        replace(dead_job(f"a{number}", finished_at=NOON + number), raw=b"x" * 1_000_000)
        for number in range(9)
    ]
    await database.archive.keep(jobs)
    names, cursor, pages = [], None, 0
    while True:
        page, cursor = await database.archive.page(limit=100, cursor=cursor)
        assert len(page) <= 4
        names += [job.view.id for job in page]
        pages += 1
        if cursor is None:
            break
    assert names == [f"a{number}" for number in reversed(range(9))]
    assert pages == 3


def key(name: str, request: str = "r", answer: bytes = b"", at: int = NOON) -> AcceptedKey:
    return AcceptedKey(key=name, request=request, answer=answer, at=at)


async def test_a_key_is_reserved_for_the_request_that_came_first(database: SqlDatabase) -> None:
    first, other = key("k"), key("k", "other", at=NOON + 1)
    assert await database.accepted_keys.reserve([first, other, key("l")]) == [
        first,
        first,
        key("l"),
    ]
    assert await database.accepted_keys.reserve([other]) == [first]
    assert await database.accepted_keys.reserve([]) == []


async def test_a_reserved_key_gets_its_answer_once(database: SqlDatabase) -> None:
    await database.accepted_keys.reserve([key("k")])
    for given in (
        key("k", "other", b"never"),
        key("k", "r", b"{}", NOON + 1),
        key("k", "r", b"later"),
    ):
        await database.accepted_keys.keep([given, given])
    await database.accepted_keys.reserve([key("k", "r", b"too late")])
    assert await database.accepted_keys.find(["k", "m"]) == [key("k", "r", b"{}"), None]


async def test_of_requests_that_race_for_one_key_all_see_the_same_one(another: Opener) -> None:
    databases = [await another() for _ in range(4)]
    names = [f"k{n}" for n in range(20)]
    asked = [
        [key(name, f"r{number}") for name in (names if number % 2 else names[::-1])]
        for number in range(len(databases))
    ]
    answers = await asyncio.gather(
        *(one.accepted_keys.reserve(keys) for one, keys in zip(databases, asked, strict=True))
    )
    for name in names:
        assert len({each.request for keys in answers for each in keys if each.key == name}) == 1


async def test_a_key_that_was_forgotten_can_be_reserved_anew(
    database: SqlDatabase, clock: HandClock
) -> None:
    await database.accepted_keys.reserve([key("k", at=clock.now_ms())])
    clock.now += 25 * HOUR
    await database.analytics.fold()
    anew = key("k", "other", at=clock.now_ms())
    assert await database.accepted_keys.reserve([anew]) == [anew]


async def test_one_sweep_removes_every_report_of_more_than_a_day_ago(
    database: SqlDatabase, clock: HandClock
) -> None:
    old = [ReportCount("u", f"job-{number}", NOON, NOON) for number in range(3_500)]
    await database.reports.count(old)
    clock.now += 25 * HOUR
    await database.reports.count([ReportCount("u", "young", clock.now, clock.now)])
    await database.analytics.fold()
    assert await database.reports.count([ReportCount("u", "young", clock.now, 0)]) == [1]


async def test_one_sweep_removes_every_fence_of_more_than_a_month_ago(
    database: SqlDatabase, clock: HandClock
) -> None:
    await database.effects.recall([("still-alive", 1)])
    await database.effects.recall([(f"job-{number}", number + 10) for number in range(3_500)])
    clock.now += 31 * 24 * HOUR
    await database.effects.recall([("still-alive", 2)])
    await database.analytics.fold()
    assert await database.effects.highest_fence() == 2


async def test_folding_keeps_the_totals(database: SqlDatabase, clock: HandClock) -> None:
    for number in range(3):
        await database.effects.commit([effect(f"job-{number}", placed=False)])
        clock.now += HOUR
    await database.cases.set_status(
        case_id("job-0", ""), CaseStatus.CLOSED, actor="ada", note="", radius_m=RADIUS_M
    )
    before = await database.analytics.totals()
    assert (before["cases.opened"], before["cases.closed"]) == (3, 1)
    assert await database.analytics.fold() == 8
    assert await database.analytics.totals() == before
    assert await database.analytics.fold() == 0
    await database.effects.commit([effect("job-3", placed=False)])
    await database.analytics.fold()
    assert (await database.analytics.totals())["cases.opened"] == 4


async def test_the_archive_lets_go_of_what_completed_long_ago_and_of_nothing_else(
    database: SqlDatabase,
) -> None:
    def ended(name: str, state: State, at: int) -> JobDetail:
        job = dead_job(name, finished_at=at)
        return replace(job, view=replace(job.view, state=state))

    over = [
        ended(f"{state}-{at}", state, NOON + at)
        for at in range(3)
        for state in (State.COMPLETED, State.DEAD, State.CANCELLED, State.REJECTED)
    ]
    await database.archive.keep(over)
    cursor, removed = None, []
    while True:
        count, cursor = await database.archive.sweep(before=NOON + 2, limit=3, cursor=cursor)
        removed.append(count)
        if cursor is None:
            break
    assert sum(removed) == 4
    assert max(removed) <= 3
    kept, _ = await database.archive.page(limit=0, cursor=None)
    assert {detail.view.id for detail in kept} == {
        f"{state}-{at}" for state in ("dead", "rejected") for at in range(3)
    } | {"completed-2", "cancelled-2"}
