"""Failure groups: what shares a cause, and every way into a group and out of one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from hms_svc.brokers.sqlite import causes as sqlite_causes
from hms_svc.domain.causes import OTHER_CAUSES
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.job import Lane
from hms_svc.domain.lifecycle import State
from hms_svc.domain.outcome import Failure
from hms_svc.domain.views import FailureGroup, JobView
from hms_svc.ports.control import Act, ActRequest
from tests.support.broker_engines import TYPE, BrokerHarness

Way = Callable[[BrokerHarness], Awaitable[None]]


async def standing(harness: BrokerHarness) -> dict[tuple[State, str, str, str, str], int]:
    """The groups: state, reason, error or by, pattern and type, with how many stand in each."""
    return {
        (group.state, group.reason, group.error or group.by, group.pattern, group.type): group.count
        for group in await harness.inspection.failures()
    }


async def die(harness: BrokerHarness, *messages: str, kind: str = "OSError") -> list[str]:
    """Let one job die of each message."""
    ids = await harness.accept(len(messages))
    for job, message in zip(await harness.claim(len(messages)), messages, strict=True):
        await harness.settle(
            job, State.DEAD, reason="error", by="handler", failure=Failure(kind, message)
        )
    return ids


async def act(harness: BrokerHarness, act: Act, *ids: str, batch: str = "b1") -> None:
    seen = await harness.seen(*ids)
    request = ActRequest(act=act, job_ids=ids, by="ravi", note="n", batch=batch, seen=seen)
    outcomes = await harness.control.act(request)
    assert [outcome.why for outcome in outcomes] == [""] * len(ids)


async def test_failures_of_three_bugs_are_three_groups(harness: BrokerHarness) -> None:
    bugs = ("no photo at /srv/{0}.jpg", "case-{0} is locked by 'user-{0}'", "took {0}.5 s")
    for number in range(8):
        await die(harness, *(bug.format(number) for bug in bugs))
        harness.clock.advance(1)
    assert await standing(harness) == {
        (State.DEAD, "error", "OSError", "no photo at …", TYPE): 8,
        (State.DEAD, "error", "OSError", "# is locked by …", TYPE): 8,
        (State.DEAD, "error", "OSError", "took # s", TYPE): 8,
    }


async def test_a_group_tells_when_and_shows_its_newest(harness: BrokerHarness) -> None:
    began = harness.clock.now_ms()
    await die(harness, "took 1 s")
    harness.clock.advance(3600)
    await die(harness, "took 2 s", "took 3 s")
    harness.clock.advance(600)
    [newest] = await die(harness, "took 4 s")
    [group] = await harness.inspection.failures()
    assert (group.first_at, group.last_at) == (began, harness.clock.now_ms())
    assert (group.newest_id, group.newest_detail) == (newest, "OSError: took 4 s")
    assert (group.count, group.recent) == (4, (0,) * 9 + (2, 0, 1))


async def test_the_newest_group_comes_first(harness: BrokerHarness) -> None:
    await die(harness, "first bug")
    harness.clock.advance(1)
    await die(harness, "second bug")
    assert [group.pattern for group in await harness.inspection.failures()] == [
        "second bug",
        "first bug",
    ]


async def malformed(harness: BrokerHarness) -> None:
    await harness.broker.enqueue_raw(TYPE, [b"garbage"])


async def unique(harness: BrokerHarness) -> None:
    await harness.accept(unique_key="k")
    await harness.enqueue(harness.job(unique_key="k"))


async def expired(harness: BrokerHarness) -> None:
    await harness.accept(expires_at=1)
    await harness.claim()


async def unserved(harness: BrokerHarness) -> None:
    await harness.accept()
    harness.clock.advance(1)
    await harness.control.bury_unserved(older_than=harness.clock.now_ms(), limit=10)


async def crashed(harness: BrokerHarness) -> None:
    await harness.accept(max_attempts=1)
    for lane in (Lane.NORMAL, Lane.SUSPECT):
        await harness.claim(lane=lane)
        harness.clock.advance(60)
        await harness.broker.reap(10)


async def denied(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    await harness.settle((await harness.claim())[0], State.HELD, hold=("a", "r", "d"))
    await act(harness, Act.DENY, job_id)


async def refused(harness: BrokerHarness) -> None:
    await harness.accept()
    [job] = await harness.claim()
    detail = "data.depth_cm: Input should be less than 500 (given 501)"
    await harness.settle(job, State.REJECTED, reason="payload", by="Report", detail=detail)


@pytest.mark.parametrize(
    ("way", "told"),
    [
        (
            malformed,
            (State.DEAD, "malformed", "intake", "not JSON: Expecting value at line # column #"),
        ),
        (unique, (State.REJECTED, "unique", "enqueue", "")),
        (expired, (State.DEAD, "expired", "runtime", "")),
        (unserved, (State.DEAD, "no_handler", "runtime", "")),
        (crashed, (State.DEAD, "crashed", "WorkerDied", "")),
        (denied, (State.REJECTED, "governance", "ravi", "")),
        (refused, (State.REJECTED, "payload", "Report", "data.depth_cm")),
    ],
)
async def test_every_way_to_end_badly_has_its_group(
    harness: BrokerHarness, way: Way, told: tuple[State, str, str, str]
) -> None:
    await way(harness)
    await way(harness)
    assert await standing(harness) == {(*told, TYPE): 3 if way is unique else 2}
    [group] = await harness.inspection.failures()
    found = await jobs_of(harness, group)
    assert (len(found), {job.cause for job in found}) == (group.count, {group.id})


async def jobs_of(harness: BrokerHarness, group: FailureGroup) -> list[JobView]:
    where = parse_filter(f"cause:{group.id}")
    return list((await harness.inspection.page(where, limit=0, cursor=None)).jobs)


@pytest.mark.parametrize("way_out", ["retry", "discard", "forget"])
async def test_every_way_out_of_a_group_is_counted(harness: BrokerHarness, way_out: str) -> None:
    gone, left = await die(harness, "took 1 s", "took 2 s")
    if way_out == "forget":
        await harness.control.forget([gone])
    else:
        await act(harness, Act(way_out), gone)
    [group] = await harness.inspection.failures()
    assert (group.count, group.newest_id, sum(group.recent)) == (1, left, 1)
    await harness.control.forget([left])
    assert await harness.inspection.failures() == []


async def test_a_retried_job_that_dies_of_another_cause_moves_there(harness: BrokerHarness) -> None:
    [job_id] = await die(harness, "took 1 s")
    await act(harness, Act.RETRY, job_id)
    assert (await harness.detail(job_id)).view.cause == ""
    await harness.settle(
        (await harness.claim())[0], State.DEAD, reason="error", failure=Failure("E", "other")
    )
    assert [(g.error, g.count) for g in await harness.inspection.failures()] == [("E", 1)]


@pytest.mark.parametrize("undone", [Act.DISCARD, Act.RETRY])
async def test_undo_brings_a_job_back_into_its_group(harness: BrokerHarness, undone: Act) -> None:
    ids = await die(harness, "took 1 s", "took 2 s")
    before = await harness.inspection.failures()
    harness.clock.advance(400)
    await act(harness, undone, *ids)
    assert await harness.inspection.failures() == []
    await harness.control.undo("b1")
    [group] = await harness.inspection.failures()
    assert group == msgspec.structs.replace(before[0], recent=(*before[0].recent[1:], 0))


async def test_retrying_a_group_reads_only_that_group(harness: BrokerHarness) -> None:
    await die(harness, *(f"took {number} s" for number in range(30)))
    await die(harness, "cannot connect")
    [group] = [g for g in await harness.inspection.failures() if g.pattern == "cannot connect"]
    where = parse_filter(f"state:dead cause:{group.id}")
    page = await harness.inspection.page(where, limit=100, cursor=None)
    assert (len(page.jobs), page.examined) == (1, 1)


async def test_a_group_has_nothing_in_states_that_have_no_groups(harness: BrokerHarness) -> None:
    await die(harness, "took 1 s")
    [group] = await harness.inspection.failures()
    where = parse_filter(f"state:queued cause:{group.id}")
    page = await harness.inspection.page(where, limit=1, cursor=None)
    assert (page.jobs, page.examined) == ((), 0)


async def test_pages_of_several_groups_are_merged_and_come_to_an_end(
    harness: BrokerHarness,
) -> None:
    order = []
    for number in range(6):
        order += await die(harness, "one bug" if number % 2 else "two bugs")
        harness.clock.advance(1)
    ids = ",".join(group.id for group in await harness.inspection.failures())
    found: list[str] = []
    cursor: str | None = None
    while True:
        where = parse_filter(f"cause:{ids}")
        page = await harness.inspection.page(where, limit=4, cursor=cursor)
        found += [job.id for job in page.jobs]
        cursor = page.cursor
        if cursor is None:
            break
    assert found == order[::-1]


@pytest.mark.parametrize("make_backend", ["sqlite"], indirect=True)
async def test_beyond_the_most_groups_the_new_causes_of_a_type_share_one(
    harness: BrokerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_causes, "MOST_CAUSES", 2)
    await die(harness, "bug a", "bug b", "bug c", "bug d", "bug a")
    groups = await harness.inspection.failures()
    assert {group.pattern: group.count for group in groups} == {
        "bug a": 2,
        "bug b": 1,
        OTHER_CAUSES: 2,
    }
