"""A type that has nothing and that nobody serves is forgotten; all others stay."""

from __future__ import annotations

from hms_svc.domain.lifecycle import State
from hms_svc.ports.control import Act, ActRequest
from tests.support.broker_engines import TYPE, BrokerHarness


async def known_types(harness: BrokerHarness) -> set[str]:
    return {queue.type for queue in await harness.inspection.queues()}


async def discard_all(harness: BrokerHarness, *ids: str) -> None:
    request = ActRequest(act=Act.DISCARD, job_ids=ids, by="ravi", batch="b")
    assert all(outcome.done for outcome in await harness.control.act(request))


async def test_a_type_is_forgotten_once_its_last_job_is_gone(harness: BrokerHarness) -> None:
    ids = [id for number in range(3) for id in await harness.accept(type=f"typo.{number}")]
    await harness.accept(type="kept.one")
    await discard_all(harness, *ids)
    await harness.control.trim(limit=100)
    assert len(await known_types(harness)) == 4
    harness.clock.advance(3600)
    await harness.control.trim(limit=100)
    await harness.control.trim(limit=100)
    assert await known_types(harness) == {"kept.one"}
    await harness.accept(type="typo.0")
    assert await harness.counts("typo.0") == {"queued": 1}
    [job] = await harness.claim(1, "typo.0")
    assert await harness.complete(job)
    assert await harness.state(job.token.job_id) is State.COMPLETED


async def test_a_type_that_is_paused_served_or_has_a_priority_stays(harness: BrokerHarness) -> None:
    harness.register("served.one", "first.one", priorities=(("first.one", 5),))
    await harness.claim(1, "served.one", "first.one")
    await harness.claim(1, "left.one")
    await harness.control.pause("paused.one", by="ravi", reason="")
    await harness.control.trim(limit=100)
    assert await known_types(harness) == {"served.one", "first.one", "paused.one"}
    harness.clock.advance(3600)
    await harness.control.trim(limit=100)
    assert await known_types(harness) == {"first.one", "paused.one"}
    [job_id] = await harness.accept(type="first.one")
    assert (await harness.detail(job_id)).view.priority == 5


async def test_due_jobs_and_ended_leases_of_many_types_are_found(harness: BrokerHarness) -> None:
    later = harness.clock.now_ms() + 5_000
    types = [f"some.type-{number}" for number in range(30)]
    for type in types:
        await harness.accept(type=type, not_before=later)
    assert await harness.broker.promote(100) == 0
    harness.clock.advance(5)
    assert [await harness.broker.promote(20) for _ in range(3)] == [20, 10, 0]
    assert len(await harness.claim(100, *types)) == 30
    assert (await harness.broker.reap(100)).rescued == 0
    harness.clock.advance(31)
    rescued = [(await harness.broker.reap(20)).rescued for _ in range(3)]
    assert rescued == [20, 10, 0]
    assert (await harness.counts(types[0]))["queued"] == 1
    assert await harness.counts(TYPE) == {}
