"""Accepting jobs: once, durably, all or none; foreign bytes never vanish."""

from __future__ import annotations

import hashlib
import json

import pytest

from hms_svc.domain.job import MAX_ITEM_BYTES, make_job
from hms_svc.domain.lifecycle import State
from hms_svc.domain.strict_json import encode
from hms_svc.ports.broker import Acceptance, Enqueued
from hms_svc.ports.control import Act, ActRequest
from tests.support.broker_engines import TYPE, BrokerHarness, BrokerMaker


async def test_accepted_job_is_queued_with_all_its_fields(harness: BrokerHarness) -> None:
    job = harness.job(
        {"lat": 38.8977, "text": "Straße"},
        id="front-1",
        priority=5,
        max_attempts=7,
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        tracestate="city=1",
        meta={"desk": 4},
        retried_from="front-0",
    )
    assert await harness.enqueue(job) == [Enqueued("front-1", Acceptance.ACCEPTED, State.QUEUED)]
    claimed = (await harness.claim())[0].job
    assert claimed == job


async def test_accepted_job_survives_the_process(
    make_backend: BrokerMaker, harness: BrokerHarness
) -> None:
    [job_id] = await harness.accept()
    async with make_backend() as other:
        details = await other.inspection.details([job_id])
    assert details[0] is not None
    assert details[0].view.state is State.QUEUED


async def test_same_id_type_and_data_is_one_job(harness: BrokerHarness) -> None:
    await harness.enqueue(harness.job({"a": 1, "b": 2}, id="one"))
    again = await harness.enqueue(harness.job({"b": 2, "a": 1}, id="one"))
    assert again == [Enqueued("one", Acceptance.EXISTS, State.QUEUED)]
    assert await harness.counts() == {"queued": 1}


@pytest.mark.parametrize(("type", "data"), [(TYPE, {"a": 2}), ("crew.notify", {"a": 1})])
async def test_same_id_with_another_type_or_data_is_a_conflict(
    harness: BrokerHarness, type: str, data: dict[str, int]
) -> None:
    await harness.enqueue(harness.job({"a": 1}, id="one"))
    answer = await harness.enqueue(harness.job(data, type=type, id="one"))
    assert answer[0].acceptance is Acceptance.CONFLICT
    assert (await harness.detail("one")).view.data == b'{"a":1}'


@pytest.mark.parametrize(
    ("data", "other", "same"),
    [
        ({"urgent": 1}, {"urgent": True}, False),
        ({"urgent": [0]}, {"urgent": [False]}, False),
        ({"urgent": 1}, {"urgent": 1.0}, True),
        ({"far": 1e300}, {"far": 1e300, "near": 1}, False),
        ([2**53 + 1], [float(2**53)], False),
    ],
)
async def test_jobs_of_one_id_are_the_same_where_their_json_is(
    harness: BrokerHarness, data: object, other: object, same: bool
) -> None:
    await harness.enqueue(harness.job(data, id="one"))
    [answer] = await harness.enqueue(harness.job(other, id="one"))
    assert answer.acceptance is (Acceptance.EXISTS if same else Acceptance.CONFLICT)
    [pushed] = await harness.broker.enqueue_raw(TYPE, [encode({"id": "one", "data": other})])
    assert (pushed.job_id == "one", pushed.state is State.DEAD) == (same, not same)


@pytest.mark.parametrize(
    ("type", "changes", "told"),
    [
        (TYPE, {"id": "hms:tick:x.y:20260101T0900Z"}, "begins with hms:"),
        ("event.deliver", {}, "reserved for jobs that hms-svc creates itself"),
        ("envelope.receive", {"id": "mine"}, "reserved for jobs that hms-svc creates itself"),
    ],
)
async def test_what_hms_svc_makes_itself_is_a_dead_letter_where_it_is_pushed(
    harness: BrokerHarness, type: str, changes: dict[str, str], told: str
) -> None:
    item = encode({"data": {"receiver": "act"}, **changes})
    [answer] = await harness.broker.enqueue_raw(type, [item])
    detail = await harness.detail(answer.job_id)
    assert (detail.view.state, detail.view.reason) == (State.DEAD, "malformed")
    assert told in detail.view.detail
    assert detail.raw == item
    assert answer.job_id != changes.get("id")
    assert await harness.claim(10, type) == []


async def test_jobs_of_ours_are_accepted_looked_up_and_acted_on(harness: BrokerHarness) -> None:
    job = harness.job(id="hms:tick:x.y:20260101T0900Z")
    assert (await harness.enqueue(job))[0].acceptance is Acceptance.ACCEPTED
    for act, state in ((Act.CANCEL, State.CANCELLED), (Act.RETRY, State.QUEUED)):
        [done] = await harness.control.act(ActRequest(act=act, job_ids=(job.id,), by="ravi"))
        assert (done.done, await harness.state(job.id)) == (True, state)


async def test_an_id_twice_in_one_call_is_one_job(harness: BrokerHarness) -> None:
    answers = await harness.enqueue(
        harness.job({"a": 1}, id="one"), harness.job({"a": 1}, id="one")
    )
    assert [answer.acceptance for answer in answers] == [Acceptance.ACCEPTED, Acceptance.EXISTS]


async def test_postponed_job_is_scheduled_until_its_time(harness: BrokerHarness) -> None:
    later = harness.clock.now_ms() + 60_000
    [job_id] = await harness.accept(not_before=later)
    assert await harness.state(job_id) is State.SCHEDULED
    assert await harness.broker.promote(10) == 0
    assert await harness.claim() == []
    harness.clock.advance(60)
    assert await harness.broker.promote(10) == 1
    assert [job.job.id for job in await harness.claim()] == [job_id]


async def test_unique_key_refuses_a_second_waiting_job(harness: BrokerHarness) -> None:
    await harness.accept(unique_key="ward-7", id="first")
    answers = await harness.enqueue(harness.job({"n": 2}, unique_key="ward-7", id="second"))
    assert answers == [Enqueued("second", Acceptance.ACCEPTED, State.REJECTED, "first")]
    view = (await harness.detail("second")).view
    assert (view.reason, "first" in view.detail) == ("unique", True)
    assert ("job.rejected", "second") in await harness.events()


async def test_unique_key_is_free_once_its_job_has_ended(harness: BrokerHarness) -> None:
    await harness.accept(unique_key="ward-7")
    await harness.complete((await harness.claim())[0])
    assert (await harness.enqueue(harness.job(unique_key="ward-7")))[0].state is State.QUEUED


async def test_expired_before_its_first_claim_is_dead(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept(expires_at=harness.clock.now_ms() + 1000)
    harness.clock.advance(2)
    assert await harness.claim() == []
    view = (await harness.detail(job_id)).view
    assert (view.state, view.reason) == (State.DEAD, "expired")


async def test_expiry_does_not_matter_after_the_first_claim(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept(expires_at=harness.clock.now_ms() + 1000)
    job = (await harness.claim())[0]
    await harness.settle(job, State.RETRYING, due_at=harness.clock.now_ms() + 5000)
    harness.clock.advance(6)
    await harness.broker.promote(10)
    assert [job.job.id for job in await harness.claim()] == [job_id]


@pytest.mark.parametrize("with_id", [True, False])
async def test_foreign_push_of_the_seeds_minimum_runs(
    harness: BrokerHarness, with_id: bool
) -> None:
    item = {"id": "front-1", "data": {"a": 1}} if with_id else {"data": {"a": 1}}
    answers = await harness.broker.enqueue_raw(TYPE, [json.dumps(item).encode()])
    claimed = await harness.claim()
    assert [job.job.id for job in claimed] == [answers[0].job_id]
    assert (answers[0].job_id == "front-1") is with_id


@pytest.mark.parametrize(
    "item",
    [
        b"\xff\xfe",
        b"",
        b"[1]",
        b"7",
        b'{"id": "x"}',
        b'{"id": "sp ace", "data": {}}',
        b'{"data": NaN}',
        b'{"data": {"a": 1, "a": 2}}',
        b"[" * 5000 + b"]" * 5000,
        b'{"data": ' + b"9" * 5000 + b"}",
        b'{"data": "\\ud800"}',
        b'{"data": "\\u0000"}',
        b'{"data": 1e400}',
        b'{"type": "crew.notify", "data": {}}',
        b'{"data": {}, "priority": "high"}',
    ],
)
async def test_bytes_that_are_no_job_are_a_dead_letter_with_their_bytes(
    harness: BrokerHarness, item: bytes
) -> None:
    answers = await harness.broker.enqueue_raw(TYPE, [item])
    detail = await harness.detail(answers[0].job_id)
    assert (detail.view.state, detail.view.reason) == (State.DEAD, "malformed")
    assert (detail.raw, detail.raw_length) == (item, len(item))
    assert detail.view.detail
    assert await harness.counts() == {"dead": 1}


async def test_oversized_item_keeps_digest_length_and_its_beginning(harness: BrokerHarness) -> None:
    item = b"x" * (MAX_ITEM_BYTES + 1)
    answers = await harness.broker.enqueue_raw(TYPE, [item])
    detail = await harness.detail(answers[0].job_id)
    assert detail.view.reason == "malformed"
    assert detail.raw == b"x" * 65_536
    assert detail.raw_length == len(item)
    assert detail.raw_digest == hashlib.sha256(item).hexdigest()


async def test_pushed_id_in_use_with_other_data_is_a_dead_letter_of_its_own(
    harness: BrokerHarness,
) -> None:
    await harness.accept(id="front-1")
    answers = await harness.broker.enqueue_raw(TYPE, [b'{"id": "front-1", "data": {"other": 1}}'])
    detail = await harness.detail(answers[0].job_id)
    assert answers[0].job_id != "front-1"
    assert (detail.view.state, detail.view.reason) == (State.DEAD, "id_conflict")
    assert await harness.state("front-1") is State.QUEUED


async def test_unknown_envelope_fields_are_kept_and_handed_on(harness: BrokerHarness) -> None:
    item = b'{"id": "front-1", "data": {}, "desk": {"no": 4}}'
    await harness.broker.enqueue_raw(TYPE, [item])
    job = (await harness.claim())[0].job
    assert json.loads(job.extra or b"") == {"desk": {"no": 4}}
    assert json.loads((await harness.detail("front-1")).envelope)["desk"] == {"no": 4}


async def test_many_at_once_keep_their_order(harness: BrokerHarness) -> None:
    jobs = [make_job(TYPE, n, now_ms=harness.clock.now_ms()) for n in range(2000)]
    await harness.broker.enqueue(jobs)
    claimed = await harness.claim(2000)
    assert [job.job.id for job in claimed] == [job.id for job in jobs]
    assert len({job.token.fence for job in claimed}) == 2000


async def test_an_id_refused_for_its_key_is_known_to_the_next_with_it(
    harness: BrokerHarness,
) -> None:
    await harness.enqueue(harness.job(id="holder", unique_key="k"))
    answers = await harness.enqueue(
        harness.job({"n": 1}, id="x", unique_key="k"), harness.job({"n": 2}, id="x", unique_key="k")
    )
    assert [answer.acceptance for answer in answers] == [Acceptance.ACCEPTED, Acceptance.CONFLICT]


async def test_a_pushed_item_vanishes_behind_no_unique_key(harness: BrokerHarness) -> None:
    await harness.enqueue(harness.job(id="holder", unique_key="k"))
    items = [b'{"id":"y","data":1,"unique_key":"k"}', b'{"id":"y","data":2,"unique_key":"k"}']
    await harness.broker.enqueue_raw(TYPE, items)
    assert await harness.counts() == {"queued": 1, "rejected": 1, "dead": 1}


async def test_the_first_moment_of_the_epoch_is_a_time(harness: BrokerHarness) -> None:
    [job_id] = await harness.accept(expires_at=0)
    assert await harness.claim() == []
    assert (await harness.detail(job_id)).view.reason == "expired"


async def test_a_large_item_that_is_dear_to_read_is_a_dead_letter(harness: BrokerHarness) -> None:
    """A key of 2 MiB over a million numbers: wording the path of each took hours."""
    half = 2 * 1024 * 1024
    item = b'{"data":{"%s":[%s0]}}' % (b"k" * (half - 100), b"1," * (half // 2))
    [answer] = await harness.broker.enqueue_raw(TYPE, [item])
    detail = await harness.detail(answer.job_id)
    assert (answer.state, detail.view.reason) == (State.DEAD, "malformed")
    assert "the limit is 1048576" in detail.view.detail


async def test_more_jobs_than_one_step_takes_are_answered_in_order(harness: BrokerHarness) -> None:
    jobs = [harness.job({"n": number}) for number in range(1001)]
    jobs += [jobs[0], harness.job({"n": -1}, id=jobs[1].id)]
    answers = await harness.enqueue(*jobs)
    assert [answer.job_id for answer in answers] == [job.id for job in jobs]
    said = [answer.acceptance for answer in answers]
    assert said[:1001] == [Acceptance.ACCEPTED] * 1001
    assert said[1001:] == [Acceptance.EXISTS, Acceptance.CONFLICT]
    assert {answer.acceptance for answer in await harness.enqueue(*jobs[:1001])} == {
        Acceptance.EXISTS
    }
    assert await harness.counts() == {"queued": 1001}
