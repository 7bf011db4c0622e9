"""Every way that a run can end, recorded in one step, and only for the owner."""

from __future__ import annotations

import json

import pytest

from hms_svc.domain.lifecycle import State, Trigger
from hms_svc.domain.outcome import Disposition, Failure
from hms_svc.domain.views import ProgressView
from hms_svc.ports.broker import ProgressReport
from tests.support.broker_engines import TYPE, BrokerHarness


async def test_completed_keeps_result_case_and_history(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    job = (await harness.claim())[0]
    harness.clock.advance(2)
    assert await harness.settle(
        job, State.COMPLETED, result=b'{"ok":true}', case_id="case-1", log="printed\n"
    )
    detail = await harness.detail(job_id)
    assert detail.result == b'{"ok":true}'
    assert detail.view.case_id == "case-1"
    assert [(move.source, move.target) for move in detail.history] == [
        (None, State.QUEUED),
        (State.QUEUED, State.PROCESSING),
        (State.PROCESSING, State.COMPLETED),
    ]
    [attempt] = detail.attempts
    assert (attempt.attempt, attempt.worker, attempt.log) == (1, "worker-1", "printed\n")
    assert attempt.ended_at == attempt.started_at + 2000


@pytest.mark.parametrize(
    ("state", "events"),
    [
        (State.COMPLETED, ["job.completed"]),
        (State.REJECTED, ["job.rejected"]),
        (State.CANCELLED, ["job.cancelled"]),
        (State.HELD, ["job.held"]),
        (State.RETRYING, ["job.failed", "job.retrying"]),
        (State.DEAD, ["job.failed", "job.dead"]),
    ],
)
async def test_each_end_is_counted_and_announced(
    harness: BrokerHarness, state: State, events: list[str]
) -> None:
    [job_id] = await harness.accept()
    failure = Failure("ValueError", "boom") if state in (State.RETRYING, State.DEAD) else None
    await harness.settle((await harness.claim())[0], state, reason="r", failure=failure)
    assert await harness.counts() == {state.value: 1}
    assert await harness.events() == [(event, job_id) for event in events]


async def test_reason_by_and_detail_are_kept(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    await harness.settle(
        (await harness.claim())[0], State.REJECTED, reason="duplicate", by="duplicate", detail="why"
    )
    view = (await harness.detail(job_id)).view
    assert (view.reason, view.by, view.detail) == ("duplicate", "duplicate", "why")


async def test_a_second_settle_of_the_same_claim_writes_nothing(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    job = (await harness.claim())[0]
    assert await harness.complete(job)
    assert not await harness.settle(job, State.DEAD, reason="error")
    assert await harness.state(job_id) is State.COMPLETED
    assert await harness.counts() == {"completed": 1}


async def test_a_zombie_settles_nothing(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    zombie = (await harness.claim())[0]
    harness.clock.advance(31)
    assert (await harness.broker.reap(10)).rescued == 1
    assert not await harness.complete(zombie)
    assert await harness.state(job_id) is State.QUEUED


async def test_one_refused_settlement_leaves_its_neighbours(harness: BrokerHarness) -> None:
    await harness.accept(3)
    jobs = await harness.claim()
    await harness.complete(jobs[1])
    done = Disposition(state=State.COMPLETED, trigger=Trigger.FINISHED)
    refused = await harness.broker.settle([harness.settlement(job, done) for job in jobs])
    assert refused == [jobs[1].token]
    assert await harness.counts() == {"completed": 3}


async def test_what_is_named_twice_in_one_call_is_settled_once(harness: BrokerHarness) -> None:
    await harness.accept(12)
    jobs = await harness.claim(12)
    done = Disposition(state=State.COMPLETED, trigger=Trigger.FINISHED)
    settlements = [harness.settlement(job, done) for job in (*jobs[:8], jobs[6], *jobs[8:])]
    await harness.broker.settle(settlements)
    assert await harness.counts() == {"completed": 12}
    assert sorted(await harness.events()) == sorted(
        ("job.completed", job.token.job_id) for job in jobs
    )


async def test_plain_ends_and_others_may_be_settled_together(harness: BrokerHarness) -> None:
    await harness.accept(12)
    await harness.accept(4, type="other.job")
    jobs = await harness.claim(16, TYPE, "other.job")
    plain = Disposition(state=State.COMPLETED, trigger=Trigger.FINISHED)
    ends = (
        plain,
        Disposition(
            state=State.RETRYING,
            trigger=Trigger.FAILED,
            failure=Failure("ValueError", "boom"),
            delay_ms=1000,
        ),
        Disposition(state=State.COMPLETED, trigger=Trigger.FINISHED, case_id="case-1"),
        plain,
    )
    settlements = [harness.settlement(job, ends[place % 4]) for place, job in enumerate(jobs)]
    assert await harness.broker.settle(settlements) == []
    assert await harness.counts() == {"completed": 9, "retrying": 3}
    assert await harness.counts("other.job") == {"completed": 3, "retrying": 1}
    subjects = [subject for name, subject in await harness.events() if name != "job.retrying"]
    assert subjects == [job.token.job_id for job in jobs]


async def test_released_job_returns_to_its_turn_with_its_attempt(harness: BrokerHarness) -> None:
    [first] = await harness.accept()
    harness.clock.advance(1)
    await harness.accept()
    job = (await harness.claim(1))[0]
    await harness.settle(
        job, State.QUEUED, trigger=Trigger.RELEASED, give_back=True, counted_give_back=True
    )
    again = (await harness.claim(1))[0]
    assert (again.job.id, again.attempt, again.claims, again.give_backs) == (first, 1, 2, 1)


async def test_snoozed_job_waits_and_keeps_its_attempt(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    due = harness.clock.now_ms() + 5000
    await harness.settle(
        (await harness.claim())[0],
        State.SCHEDULED,
        trigger=Trigger.SNOOZED,
        due_at=due,
        give_back=True,
    )
    assert (await harness.detail(job_id)).view.due_at == due
    harness.clock.advance(5)
    await harness.broker.promote(10)
    assert (await harness.claim())[0].attempt == 1


async def test_held_job_remembers_what_is_to_be_approved(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    await harness.settle(
        (await harness.claim())[0], State.HELD, hold=("create_case", "big-spend", "d1g3st")
    )
    assert (await harness.detail(job_id)).hold == ("create_case", "big-spend", "d1g3st")
    assert await harness.claim() == []


@pytest.mark.parametrize("separator", ["\n", "\r", "\u0085", "\u2028", "\u2029", "\x1c", "\x0c"])
async def test_text_may_hold_any_line_break(harness: BrokerHarness, separator: str) -> None:
    [job_id] = await harness.accept()
    text = f"one{separator}two"
    failure = Failure("ValueError", text, text)
    await harness.settle(
        (await harness.claim())[0], State.DEAD, failure=failure, detail=text, log=text
    )
    detail = await harness.detail(job_id)
    [attempt] = detail.attempts
    assert (attempt.traceback, attempt.log, detail.history[-1].detail) == (text, text, text)


async def test_failed_attempts_are_all_in_the_record(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    for number in range(3):
        job = (await harness.claim())[0]
        failure = Failure("ValueError", f"boom {number}", "Traceback …")
        due = harness.clock.now_ms()
        await harness.settle(job, State.RETRYING, reason="error", failure=failure, due_at=due)
        await harness.broker.promote(10)
    attempts = (await harness.detail(job_id)).attempts
    assert [attempt.error for attempt in attempts] == [f"ValueError: boom {n}" for n in range(3)]
    assert attempts[0].traceback == "Traceback …"


async def test_life_cycle_event_ids_are_stable_and_differ_by_fence(harness: BrokerHarness) -> None:
    await harness.accept()
    for _ in range(2):
        job = (await harness.claim())[0]
        failure = Failure("E", "x")
        await harness.settle(job, State.RETRYING, failure=failure, due_at=harness.clock.now_ms())
        await harness.broker.promote(10)
    events = await harness.bus.read(after=0, limit=100)
    assert len({event.id for event in events}) == 4
    assert [event.id for event in await harness.bus.read(after=0, limit=100)] == [
        event.id for event in events
    ]
    assert json.loads(events[0].data)["error"] == "E: x"


async def test_progress_is_kept_capped_and_only_for_the_owner(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    job = (await harness.claim())[0]
    now = harness.clock.now_ms()
    lines = [ProgressReport(job.token, now, n / 250, f"step {n}") for n in range(250)]
    await harness.broker.record_progress(lines)
    kept = (await harness.inspection.progress_of({job_id: 0}))[job_id]
    assert [line.message for line in kept] == [f"step {n}" for n in range(50, 250)]
    await harness.complete(job)
    await harness.broker.record_progress([ProgressReport(job.token, now, 1.0, "too late")])
    later = await harness.inspection.progress_of({job_id: kept[-1].number})
    assert later == {job_id: []}


async def test_lines_of_many_jobs_are_read_at_once_each_above_its_own_number(
    harness: BrokerHarness,
) -> None:
    await harness.accept(2)
    first, second = await harness.claim()
    for token in (first.token, second.token):
        reports = [
            ProgressReport(token, 7, 0.5, "half"),
            ProgressReport(token, 8, None, "ouch", True),
        ]
        await harness.broker.record_progress(reports)
    half = ProgressView(number=1, at=7, share=0.5, message="half")
    ouch = ProgressView(number=2, at=8, share=None, message="ouch", log=True)
    asked = {second.job.id: 1, "nobody": 0, first.job.id: 0}
    seen = await harness.inspection.progress_of(asked)
    assert seen == {second.job.id: [ouch], "nobody": [], first.job.id: [half, ouch]}
    detail = await harness.detail(first.job.id)
    assert (detail.progress, detail.last_progress) == ((half, ouch), half)


async def test_counters_follow_the_life_of_the_jobs(harness: BrokerHarness) -> None:
    await harness.accept(3)
    jobs = await harness.claim()
    await harness.complete(jobs[0])
    await harness.settle(jobs[1], State.REJECTED, reason="identity")
    await harness.settle(jobs[2], State.DEAD, reason="error", failure=Failure("E", "x"))
    counters = (await harness.inspection.queues())[0].counters
    assert counters == {
        "accepted": 3,
        "claimed": 3,
        "completed": 1,
        "failed": 1,
        "retried": 0,
        "rejected": 1,
        "dead": 1,
        "cancelled": 0,
        "discarded": 0,
    }
    assert (await harness.inspection.queues())[0].type == TYPE
