"""Groups of what is failing now: retrying jobs by the cause of their last failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from hms_svc.domain.causes import MOST_HISTORIES
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.job import Lane
from hms_svc.domain.lifecycle import State, Trigger
from hms_svc.domain.outcome import Disposition, Failure
from hms_svc.domain.views import FailureGroup
from hms_svc.ports.control import Act, ActRequest
from tests.support.broker_engines import BrokerHarness

BUG = "no photo at /srv/{0}.jpg"
OUTAGE = "{0} answered 503"


async def fail(
    harness: BrokerHarness, *messages: str, state: State = State.RETRYING, due_in: float = 60
) -> list[str]:
    """Let one job fail of each message: the ones that are ready, else new ones."""
    jobs = await harness.claim(len(messages))
    if len(jobs) < len(messages):
        await harness.accept(len(messages) - len(jobs))
        jobs += await harness.claim(len(messages) - len(jobs))
    delay_ms = int(due_in * 1000) if state is State.RETRYING else 0
    refused = await harness.broker.settle(
        [
            harness.settlement(
                job,
                Disposition(
                    state=state,
                    trigger=Trigger.FINISHED,
                    reason="error",
                    by="handler",
                    delay_ms=delay_ms,
                    failure=Failure("OSError", message),
                ),
            )
            for job, message in zip(jobs, messages, strict=True)
        ]
    )
    assert not refused
    return [job.job.id for job in jobs]


async def failing(harness: BrokerHarness) -> list[FailureGroup]:
    """The groups of retrying jobs: each counts just the jobs that a filter finds of it."""
    groups = await harness.inspection.failures()
    found = [group for group in groups if group.state is State.RETRYING]
    page = await harness.inspection.page(parse_filter("state:retrying"), limit=0, cursor=None)
    assert Counter(job.cause for job in page.jobs) == {group.id: group.count for group in found}
    for group in found:
        where = parse_filter(f"state:retrying cause:{group.id}")
        jobs = (await harness.inspection.page(where, limit=0, cursor=None)).jobs
        assert {job.cause for job in jobs} == {group.id}
        assert len(jobs) == group.count
        assert min(job.due_at or 0 for job in jobs) == group.next_at
    return found


async def act(harness: BrokerHarness, act: Act, *ids: str) -> None:
    seen = await harness.seen(*ids)
    request = ActRequest(act=act, job_ids=ids, by="ravi", batch="b1", seen=seen)
    assert all(outcome.done for outcome in await harness.control.act(request))


async def test_what_is_failing_now_is_grouped_by_the_cause_of_its_last_failure(
    harness: BrokerHarness,
) -> None:
    began = harness.clock.now_ms()
    await fail(harness, *(BUG.format(number) for number in range(3)), due_in=900)
    harness.clock.advance(300)
    await fail(harness, OUTAGE.format("crew-1"))
    [newest] = await fail(harness, OUTAGE.format("crew-2"), due_in=30)
    now = harness.clock.now_ms()
    outage, bug = await failing(harness)
    assert (outage.pattern, outage.error, outage.count) == ("# answered #", "OSError", 2)
    assert (outage.first_at, outage.last_at, outage.next_at) == (now, now, now + 30_000)
    assert (outage.newest_id, outage.newest_detail) == (newest, "OSError: crew-2 answered 503")
    assert (bug.pattern, bug.count, bug.recent) == ("no photo at …", 3, (0,) * 10 + (3, 0))
    assert (bug.first_at, bug.last_at, bug.next_at) == (began, began, began + 900_000)


async def promoted(harness: BrokerHarness, job_id: str) -> None:
    harness.clock.advance(61)
    assert await harness.broker.promote(1) == 1


async def completed(harness: BrokerHarness, job_id: str) -> None:
    await act(harness, Act.RETRY, job_id)
    [job] = await harness.claim()
    await harness.complete(job)


async def died(harness: BrokerHarness, job_id: str) -> None:
    await act(harness, Act.RETRY, job_id)
    await fail(harness, BUG, state=State.DEAD)


async def reaped(harness: BrokerHarness, job_id: str) -> None:
    await act(harness, Act.RETRY, job_id)
    await harness.claim(lane=Lane.NORMAL)
    harness.clock.advance(40)
    assert (await harness.broker.reap(10)).rescued == 1


async def cancelled_and_erased(harness: BrokerHarness, job_id: str) -> None:
    await act(harness, Act.CANCEL, job_id)
    assert [each.done for each in await harness.control.erase([job_id])] == [True]


async def forgotten(harness: BrokerHarness, job_id: str) -> None:
    await act(harness, Act.DISCARD, job_id)
    await harness.control.forget([job_id])


async def retried(harness: BrokerHarness, job_id: str) -> None:
    await act(harness, Act.RETRY, job_id)


async def purged(harness: BrokerHarness, job_id: str) -> None:
    assert await harness.purge(1) == 1


@pytest.mark.parametrize(
    "way_out",
    [promoted, retried, purged, completed, died, reaped, cancelled_and_erased, forgotten],
)
async def test_whatever_leaves_retrying_leaves_its_group(
    harness: BrokerHarness, way_out: Callable[[BrokerHarness, str], Awaitable[None]]
) -> None:
    [gone] = await fail(harness, OUTAGE.format("crew-1"), due_in=60)
    [left] = await fail(harness, OUTAGE.format("crew-2"), due_in=7200)
    await way_out(harness, gone)
    [group] = await failing(harness)
    assert (group.count, group.newest_id) == (1, left)


async def test_undo_brings_a_job_back_among_what_is_failing(harness: BrokerHarness) -> None:
    ids = await fail(harness, *(OUTAGE.format(f"crew-{number}") for number in range(3)))
    before = await failing(harness)
    for done in (Act.RETRY, Act.CANCEL, Act.DISCARD):
        await act(harness, done, *ids)
        assert await failing(harness) == []
        await harness.control.undo("b1")
        assert await failing(harness) == before


async def test_a_group_knows_since_when_it_fails_though_its_jobs_come_and_go(
    harness: BrokerHarness,
) -> None:
    began = harness.clock.now_ms()
    await fail(harness, OUTAGE.format("crew-1"))
    for _ in range(3):
        harness.clock.advance(300)
        await harness.broker.promote(10)
        assert await failing(harness) == []
        await fail(harness, OUTAGE.format("crew-1"))
    [group] = await failing(harness)
    assert (group.first_at, group.last_at) == (began, harness.clock.now_ms())
    assert (group.count, group.recent) == (1, (0,) * 8 + (1, 1, 1, 1))


@pytest.mark.parametrize("make_backend", ["sqlite"], indirect=True)
async def test_the_past_of_a_group_is_forgotten_an_hour_after_its_last_job(
    harness: BrokerHarness,
) -> None:
    [job_id] = await fail(harness, OUTAGE.format("crew-1"))
    harness.clock.advance(61)
    await harness.broker.promote(1)
    for seconds, kept in ((3500, True), (3700, False)):
        first = harness.clock.now_ms()
        harness.clock.advance(seconds)
        await harness.control.trim(limit=10)
        await fail(harness, OUTAGE.format("crew-1"))
        [group] = await failing(harness)
        assert (group.first_at < first) is kept
        await act(harness, Act.RETRY, job_id)


@pytest.mark.parametrize("make_backend", ["sqlite", "redis"], indirect=True)
async def test_the_histories_of_a_thousand_groups_are_kept_those_that_failed_last(
    harness: BrokerHarness,
) -> None:
    old, kept = ("the registry is down", "the crews are out")
    await fail(harness, old, due_in=1)
    for first in range(0, MOST_HISTORIES - 1, 111):
        harness.clock.advance(2)
        assert await harness.broker.promote(1000)
        await fail(harness, *(spelt(first + number) for number in range(111)), due_in=1)
    await fail(harness, kept)
    began = harness.clock.now_ms()
    harness.clock.advance(61)
    await harness.broker.promote(1000)
    await fail(harness, kept, old)
    found = {group.pattern: group.first_at for group in await failing(harness)}
    assert found == {kept: began, old: harness.clock.now_ms()}


def spelt(number: int) -> str:
    """Make a word of letters alone, which a pattern keeps."""
    return "no resident " + "".join(chr(ord("g") + int(digit)) for digit in str(number))
