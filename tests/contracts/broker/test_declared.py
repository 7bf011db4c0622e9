"""What types declare holds in every broker: the priority at acceptance, the unique key at the claim."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from hms_svc.domain.job import ClaimedJob, LeaseToken
from hms_svc.domain.lifecycle import State
from hms_svc.ports.control import Act, ActRequest
from hms_svc.ports.key_claims import KeyClaim
from tests.support.broker_engines import LEASE_MS, TYPE, BrokerHarness, BrokerMaker

OTHER = "crew.notify"


async def priority_of(harness: BrokerHarness, job_id: str) -> int:
    return (await harness.detail(job_id)).view.priority


async def order(harness: BrokerHarness) -> list[str]:
    return [job.job.id for job in await harness.claim()]


async def act(harness: BrokerHarness, act: Act, *job_ids: str, batch: str = "") -> bool:
    request = ActRequest(act=act, job_ids=job_ids, by="ravi", batch=batch)
    return all(outcome.done for outcome in await harness.control.act(request))


async def test_a_job_that_names_no_priority_has_the_declared_one(harness: BrokerHarness) -> None:
    [before] = await harness.accept()
    harness.register(TYPE, OTHER, priorities=((TYPE, 50),))
    [declared] = await harness.accept()
    [named] = await harness.accept(priority=0)
    [above] = await harness.accept(priority=51)
    [elsewhere] = await harness.accept(type=OTHER)
    found = [await priority_of(harness, id) for id in (before, declared, named, above, elsewhere)]
    assert found == [0, 50, 0, 51, 0]
    assert await order(harness) == [above, declared, before, named]


async def test_jobs_of_one_call_that_name_priorities_and_that_do_not(
    harness: BrokerHarness,
) -> None:
    harness.register(TYPE, OTHER, priorities=((TYPE, -3), (OTHER, 1000)))
    jobs = [
        harness.job(type=type, priority=priority)
        for type in (TYPE, OTHER)
        for priority in (None, 5, None, 0)
    ]
    await harness.enqueue(*jobs)
    found = [await priority_of(harness, job.id) for job in jobs]
    assert found == [-3, 5, -3, 0, 1000, 5, 1000, 0]


async def test_foreign_bytes_have_the_declared_priority_unless_they_name_one(
    harness: BrokerHarness,
) -> None:
    harness.register(priorities=((TYPE, 9),))
    items = [json.dumps({"data": {}, **more}).encode() for more in ({}, {"priority": 2})]
    answers = await harness.broker.enqueue_raw(TYPE, items)
    assert [await priority_of(harness, each.job_id) for each in answers] == [9, 2]


async def test_a_postponed_job_keeps_the_declared_priority_when_it_is_due(
    harness: BrokerHarness,
) -> None:
    harness.register(priorities=((TYPE, 4),))
    [postponed] = await harness.accept(not_before=harness.clock.now_ms() + 1000)
    assert await priority_of(harness, postponed) == 4
    harness.clock.advance(1)
    [named] = await harness.accept(priority=3)
    await harness.broker.promote(10)
    assert await order(harness) == [postponed, named]


async def test_a_priority_that_is_no_longer_declared_is_cleared(harness: BrokerHarness) -> None:
    harness.register(TYPE, OTHER, priorities=((TYPE, 5), (OTHER, 6)))
    harness.register(OTHER, worker="worker-2")
    [kept] = await harness.accept()
    [cleared] = await harness.accept(type=OTHER)
    assert (await priority_of(harness, kept), await priority_of(harness, cleared)) == (5, 0)
    harness.register(TYPE, priorities=((TYPE, 7),))
    [changed] = await harness.accept()
    assert await priority_of(harness, changed) == 7


async def test_a_declared_priority_outlives_worker_and_process(
    make_backend: BrokerMaker, harness: BrokerHarness
) -> None:
    harness.register(priorities=((TYPE, 5),))
    await harness.broker.unregister("worker-1")
    async with make_backend() as other:
        later = BrokerHarness(other, harness.clock)
        [job_id] = await later.accept()
        assert await priority_of(later, job_id) == 5


async def test_the_declared_priority_stays_through_retry_and_undo(harness: BrokerHarness) -> None:
    harness.register(priorities=((TYPE, 5),))
    [job_id] = await harness.accept()
    harness.register()
    [claimed] = await harness.claim()
    await harness.settle(claimed, State.DEAD, reason="error")
    assert await act(harness, Act.RETRY, job_id, batch="b")
    [undone] = await harness.control.undo("b")
    assert undone.done
    assert await act(harness, Act.RETRY, job_id)
    [rival] = await harness.accept(priority=4)
    assert await order(harness) == [job_id, rival]


async def test_a_job_refused_for_its_key_keeps_its_priority_for_a_retry(
    harness: BrokerHarness,
) -> None:
    harness.register(priorities=((TYPE, 5),))
    [holder] = await harness.accept(unique_key="ward-7", id="holder")
    await harness.enqueue(
        harness.job({"n": 2}, unique_key="ward-7", id="declared"),
        harness.job({"n": 3}, unique_key="ward-7", id="named", priority=6),
    )
    assert await act(harness, Act.CANCEL, holder)
    assert [await priority_of(harness, id) for id in ("declared", "named")] == [5, 6]
    assert await act(harness, Act.RETRY, "declared")
    [rival] = await harness.accept(priority=4)
    assert await order(harness) == ["declared", rival]


async def take(harness: BrokerHarness, *claims: tuple[ClaimedJob, str]) -> list[str | None]:
    return await harness.broker.take_keys([KeyClaim(job, key) for job, key in claims])


async def test_a_claimed_job_takes_its_key_and_frees_it_at_its_end(harness: BrokerHarness) -> None:
    await harness.enqueue(harness.job(id="first", meta={"desk": 4}, traceparent="00-ab-cd-01"))
    [first] = await harness.claim()
    assert await take(harness, (first, "ward-7")) == ["first"]
    detail = await harness.detail("first")
    assert (detail.view.unique_key, detail.view.state) == ("ward-7", State.PROCESSING)
    wire = json.loads(detail.envelope)
    assert (wire["meta"], wire["traceparent"]) == ({"desk": 4}, "00-ab-cd-01")
    assert wire["data"] == {"n": 1}
    [refused] = await harness.enqueue(harness.job(unique_key="ward-7", id="second"))
    assert refused.state is State.REJECTED
    assert "held by job first" in (await harness.detail("second")).view.detail
    assert await harness.complete(first)
    [accepted] = await harness.enqueue(harness.job(unique_key="ward-7", id="third"))
    assert accepted.state is State.QUEUED


async def test_a_key_that_a_waiting_or_running_job_holds_is_not_taken(
    harness: BrokerHarness,
) -> None:
    await harness.accept(unique_key="ward-7", id="waits", not_before=harness.clock.now_ms() + 9000)
    for name in ("one", "two", "three"):
        await harness.accept(id=name)
    one, two, three = await harness.claim()
    answers = await take(harness, (one, "ward-7"), (two, "ward-8"), (three, "ward-8"))
    assert answers == ["waits", "two", "two"]
    assert (await harness.detail("one")).view.unique_key is None
    assert (await harness.detail("three")).view.unique_key is None


async def test_keys_of_another_type_are_others(harness: BrokerHarness) -> None:
    await harness.accept(unique_key="ward-7", id="here")
    await harness.accept(type=OTHER, id="there")
    [there] = await harness.claim(1, OTHER)
    assert await take(harness, (there, "ward-7")) == ["there"]


async def test_asking_again_gives_the_same(harness: BrokerHarness) -> None:
    await harness.accept(2)
    first, second = await harness.claim()
    claims = ((first, "ward-7"), (second, "ward-7"))
    answers = await take(harness, *claims)
    assert answers == [first.job.id, first.job.id]
    assert await take(harness, *claims) == answers
    assert await harness.complete(first)
    assert await take(harness, (second, "ward-7")) == [second.job.id]


async def test_a_job_is_no_rival_of_itself_at_its_next_claim(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    [first] = await harness.claim()
    await take(harness, (first, "ward-7"))
    await harness.settle(first, State.RETRYING, due_at=harness.clock.now_ms())
    [refused] = await harness.enqueue(harness.job(unique_key="ward-7"))
    assert refused.state is State.REJECTED
    await harness.broker.promote(10)
    [again] = await harness.claim()
    assert again.job.unique_key == "ward-7"
    assert await take(harness, (again, "ward-7")) == [job_id]


async def test_who_lost_the_lease_takes_no_key(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept()
    [lost] = await harness.claim()
    harness.clock.advance(LEASE_MS / 1000 + 1)
    await harness.broker.reap(10)
    assert await take(harness, (lost, "ward-7")) == [None]
    never = replace(lost, token=LeaseToken("never.was", lost.token.fence, 99))
    assert await take(harness, (never, "ward-7")) == [None]
    assert (await harness.detail(job_id)).view.unique_key is None
    [accepted] = await harness.enqueue(harness.job(unique_key="ward-7"))
    assert accepted.state is State.QUEUED


@pytest.mark.parametrize("name", ["ward-7", "Straße 7", "x" * 256])
async def test_a_taken_key_holds_through_death_retry_and_discard(
    harness: BrokerHarness, name: str
) -> None:
    [job_id] = await harness.accept()
    [claimed] = await harness.claim()
    await take(harness, (claimed, name))
    await harness.settle(claimed, State.DEAD, reason="error")
    [rival] = await harness.accept(unique_key=name)
    assert not await act(harness, Act.RETRY, job_id)
    assert await act(harness, Act.DISCARD, rival)
    assert await act(harness, Act.RETRY, job_id)
    assert (await harness.detail(job_id)).view.unique_key == name


async def test_nothing_asked_is_nothing_answered(harness: BrokerHarness) -> None:
    assert await harness.broker.take_keys([]) == []
