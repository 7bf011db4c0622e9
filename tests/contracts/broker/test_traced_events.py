"""Events carry the trace of their job, whoever ended it: a worker, an operator, the broker itself."""

from __future__ import annotations

from hms_svc.domain.event import TRACE_MEMBER, Event, service_event
from hms_svc.domain.job import Lane
from hms_svc.domain.lifecycle import State
from hms_svc.domain.outcome import Failure
from hms_svc.ports.control import Act, ActRequest
from tests.support.broker_engines import LEASE_MS, BrokerHarness

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def told(harness: BrokerHarness) -> dict[str, Event]:
    return {
        f"{each.subject} {each.type}": each for each in await harness.bus.read(after=0, limit=99)
    }


def hold(events: dict[str, Event], *names: str) -> None:
    for name in names:
        event = events[name]
        assert event.traceparent == TRACE, name
        shown = event.to_cloudevent("city")
        assert shown["traceparent"] == TRACE
        assert TRACE_MEMBER not in str(shown["data"])
        assert TRACE_MEMBER.encode() not in event.written()


async def test_events_of_settlements_carry_the_trace(harness: BrokerHarness) -> None:
    jobs = [harness.job(id=name, traceparent=TRACE) for name in ("done", "failed")]
    await harness.enqueue(*jobs, harness.job(id="plain"))
    for job in await harness.claim():
        if job.job.id == "failed":
            failure = Failure("ValueError", "no")
            await harness.settle(job, State.RETRYING, due_at=0, failure=failure)
        else:
            await harness.complete(job)
    events = await told(harness)
    hold(events, "done job.completed", "failed job.failed", "failed job.retrying")
    assert events["plain job.completed"].traceparent is None
    assert "traceparent" not in events["plain job.completed"].to_cloudevent("city")


async def test_events_of_what_the_broker_and_operators_end_carry_the_trace(
    harness: BrokerHarness,
) -> None:
    await harness.enqueue(
        harness.job(id="cancelled", traceparent=TRACE),
        harness.job(id="expired", traceparent=TRACE, expires_at=harness.clock.now_ms() + 1_000),
        harness.job(id="first", unique_key="k"),
        harness.job(id="second", unique_key="k", traceparent=TRACE, meta={"who": "ravi"}),
    )
    seen = await harness.seen("cancelled")
    await harness.control.act(
        ActRequest(act=Act.CANCEL, job_ids=("cancelled",), by="ravi", note='of "course"', seen=seen)
    )
    harness.clock.advance(2)
    await harness.claim()
    hold(
        await told(harness),
        "cancelled job.cancelled",
        "expired job.dead",
        "second job.rejected",
    )
    assert b'"who":"ravi"' in (await harness.detail("second")).envelope


async def test_events_of_jobs_whose_worker_died_for_good_carry_the_trace(
    harness: BrokerHarness,
) -> None:
    await harness.enqueue(harness.job(id="poison", traceparent=TRACE))
    for _ in range(20):
        for lane in Lane:
            await harness.claim(1, lane=lane)
        harness.clock.advance(LEASE_MS // 1000 + 1)
        await harness.broker.reap(limit=10)
        if await harness.state("poison") is State.DEAD:
            break
    hold(await told(harness), "poison job.dead")


async def test_events_that_services_announce_carry_it_where_their_data_are_an_object(
    harness: BrokerHarness,
) -> None:
    published = [
        service_event("j", "ward.a", "", {"n": 1}, 1, TRACE),
        service_event("j", "ward.b", "", [1], 1, TRACE),
        service_event("j", "ward.c", "", {"n": 2}, 1, "no trace"),
        service_event("j", "ward.d", "", {}, 1),
    ]
    await harness.bus.publish(published)
    events = await told(harness)
    hold(events, "j ward.a")
    assert [events[f"j ward.{each}"].traceparent for each in "bcd"] == [None] * 3
    assert [each.payload() for each in events.values()] == [{"n": 1}, [1], {"n": 2}, {}]
