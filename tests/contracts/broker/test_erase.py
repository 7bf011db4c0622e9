"""Erasing: what a job says of a person goes, what it is and how it ended stays."""

from __future__ import annotations

import json

import msgspec
import pytest

from hms_svc.domain.erasure import ERASED
from hms_svc.domain.event import service_event
from hms_svc.domain.job import Job, read_job
from hms_svc.domain.lifecycle import State
from hms_svc.domain.outcome import Failure
from hms_svc.domain.strict_json import JsonValue
from hms_svc.domain.views import ActOutcome
from hms_svc.ports.broker import ProgressReport
from hms_svc.ports.control import NOT_KNOWN, Act, ActRequest
from tests.support.broker_engines import TYPE, BrokerHarness

SECRET = "usr-44321"


def telling(harness: BrokerHarness, **fields: JsonValue) -> Job:
    """Make a job that names the person in every field that can."""
    raw: JsonValue = {
        "type": TYPE,
        "data": {"user_id": SECRET},
        "meta": {"from": SECRET},
        "desk": SECRET,
        "unique_key": SECRET,
        **fields,
    }
    return read_job(raw, now_ms=harness.clock.now_ms())


async def died(
    harness: BrokerHarness, message: str = f"no such user {SECRET}", **fields: JsonValue
) -> str:
    """Let a job fail once, and die of it the second time, with words and output."""
    job = telling(harness, **fields)
    await harness.enqueue(job)
    for state in (State.RETRYING, State.DEAD):
        [claimed] = await harness.claim()
        report = ProgressReport(claimed.token, harness.clock.now_ms(), 0.5, SECRET)
        await harness.broker.record_progress([report])
        await harness.settle(
            claimed,
            state,
            reason="error",
            by="handler",
            detail=message,
            log=SECRET,
            failure=Failure("LookupError", message, SECRET),
            due_at=harness.clock.now_ms(),
        )
        await harness.broker.promote(10)
        harness.clock.advance(1)
    return job.id


async def erase(harness: BrokerHarness, *job_ids: str) -> list[str]:
    outcomes = await harness.control.erase(job_ids)
    assert [outcome.job_id for outcome in outcomes] == list(job_ids)
    return [outcome.why for outcome in outcomes]


async def everything(harness: BrokerHarness, *job_ids: str) -> str:
    """All that the broker shows of jobs, of the bus and of the groups."""
    details = await harness.inspection.details(job_ids)
    shown = [
        details,
        await harness.inspection.failures(),
        await harness.bus.read(after=0, limit=99),
    ]
    return repr(shown)


async def test_an_erased_job_says_nothing_and_keeps_its_frame(harness: BrokerHarness) -> None:
    job_id = await died(harness)
    before = await harness.detail(job_id)
    assert SECRET in await everything(harness, job_id)
    assert await erase(harness, job_id) == [""]
    assert SECRET not in await everything(harness, job_id)
    after = await harness.detail(job_id)
    expected = msgspec.structs.replace(
        before.view, data=ERASED, detail="", failure="", unique_key=None, cause=after.view.cause
    )
    assert after.view == expected
    assert [(a.attempt, a.fence, a.started_at, a.ended_at) for a in after.attempts] == [
        (a.attempt, a.fence, a.started_at, a.ended_at) for a in before.attempts
    ]
    assert [(m.at, m.target, m.trigger) for m in after.history] == [
        (m.at, m.target, m.trigger) for m in before.history
    ]
    assert set(json.loads(after.envelope)) == {"id", "type", "data", "enqueued_at", "max_attempts"}
    assert await harness.counts() == {"dead": 1}
    assert await erase(harness, job_id) == [""]
    assert await harness.detail(job_id) == after


async def test_result_case_and_quiet_events_of_a_completed_job(harness: BrokerHarness) -> None:
    job = telling(harness)
    await harness.enqueue(job)
    [claimed] = await harness.claim()
    result = b'{"user_id":"usr-44321"}'
    await harness.settle(claimed, State.COMPLETED, result=result, case_id="case-1")
    opened = service_event(job.id, "case.opened", "", {"user_id": SECRET}, 1)
    await harness.bus.publish([opened])
    await erase(harness, job.id)
    detail = await harness.detail(job.id)
    assert (detail.result, detail.view.case_id) == (None, "case-1")
    await harness.bus.publish([opened])
    told = await harness.bus.read(after=0, limit=10)
    assert ("job.completed", "case-1") in [
        (e.type, json.loads(e.data).get("case_id")) for e in told
    ]
    assert SECRET not in repr(told)


async def test_the_failure_group_of_others_keeps_its_words(harness: BrokerHarness) -> None:
    other = await died(harness, "no such user usr-1", unique_key="other")
    [group] = await harness.inspection.failures()
    job_id = await died(harness)
    await erase(harness, job_id)
    groups = await harness.inspection.failures()
    seen = {each.newest_id: (each.id, each.count, each.newest_detail) for each in groups}
    blank = (await harness.detail(job_id)).view.cause
    assert seen == {other: (group.id, 1, "no such user usr-1"), job_id: (blank, 1, "")}


@pytest.mark.parametrize(
    "state", [State.SCHEDULED, State.QUEUED, State.HELD, State.PROCESSING, State.RETRYING]
)
async def test_a_job_that_has_not_ended_is_refused(harness: BrokerHarness, state: State) -> None:
    later = harness.clock.now_ms() + 9000
    [job_id] = await harness.accept(not_before=later if state is State.SCHEDULED else None)
    if state not in (State.SCHEDULED, State.QUEUED):
        [claimed] = await harness.claim()
        if state is not State.PROCESSING:
            await harness.settle(claimed, state, reason="error", due_at=later)
    before = await harness.detail(job_id)
    why = f"a job that is {state} cannot be erased: cancel it first"
    assert await harness.control.erase([job_id]) == [ActOutcome(job_id, False, why)]
    assert await harness.detail(job_id) == before


async def test_undo_brings_no_erased_job_back(harness: BrokerHarness) -> None:
    ids = [await died(harness, unique_key=f"k-{n}") for n in range(2)]
    discard = ActRequest(act=Act.DISCARD, job_ids=tuple(ids), by="ravi", batch="b1")
    await harness.control.act(discard)
    assert await erase(harness, ids[0]) == [""]
    assert await harness.control.undoable("b1") == 1
    assert [each.job_id for each in await harness.control.undo("b1")] == [ids[1]]
    assert (await harness.inspection.details(ids))[0] is None


async def test_what_stayed_in_a_batch_that_was_undone_is_erased_too(harness: BrokerHarness) -> None:
    ids = [await died(harness, unique_key=f"k-{n}") for n in range(2)]
    retry = ActRequest(act=Act.RETRY, job_ids=tuple(ids), by="ravi", batch="b1")
    await harness.control.act(retry)
    for job in await harness.claim():
        await harness.settle(job, State.DEAD, reason="error")
    assert [each.done for each in await harness.control.undo("b1")] == [False, False]
    assert await harness.control.last_batch() is None
    await erase(harness, ids[0])
    assert await harness.control.undoable("b1") == 1
    harness.clock.advance(601)
    await harness.control.trim(limit=10)
    assert await harness.control.undoable("b1") == 0


async def test_refused_bytes_go_and_are_not_run_again(harness: BrokerHarness) -> None:
    [answer] = await harness.broker.enqueue_raw(TYPE, [b"{" + SECRET.encode()])
    await erase(harness, answer.job_id)
    detail = await harness.detail(answer.job_id)
    assert (detail.raw, detail.raw_length, detail.raw_digest) == (None, 0, "")
    retry = ActRequest(act=Act.RETRY, job_ids=(answer.job_id,), by="ravi")
    [outcome] = await harness.control.act(retry)
    assert outcome.why == "was erased: there is nothing to run"


async def test_the_bus_forgets_a_job_that_has_left(harness: BrokerHarness) -> None:
    job_id = await died(harness)
    await harness.control.forget([job_id])
    assert await erase(harness, job_id) == [NOT_KNOWN]
    assert SECRET not in await everything(harness, job_id)
