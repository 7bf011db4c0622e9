"""Batches: what follows their jobs is made once, in the step that ends the last of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec
import pytest

from hms_svc import bootstrap
from hms_svc.brokers.limits import BATCH_SAMPLE
from hms_svc.brokers.redis import repair_calls
from hms_svc.brokers.redis.link import Link
from hms_svc.brokers.sqlite.queue_file import QueueFile
from hms_svc.brokers.unreported_ends import UNREADABLE
from hms_svc.domain.batches import LONG_OPEN_MS, BatchState, BatchView, NewBatch, When
from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.job import Job, Lane
from hms_svc.domain.lifecycle import REASON_LOST, State, Trigger
from hms_svc.domain.outcome import Disposition
from hms_svc.ports.broker import Acceptance, EnqueuedBatch
from hms_svc.ports.control import Act, ActRequest
from hms_svc.settings import Settings
from tests.support.broken_submissions import fail_at
from tests.support.broker_engines import (
    LEASE_MS,
    TYPE,
    BrokerHarness,
    ManualClock,
    transfer_between,
)

DONE = "permit.done"
ENDS = (State.COMPLETED, State.REJECTED, State.DEAD, State.CANCELLED)


def batch_of(
    harness: BrokerHarness, members: int = 2, *, then: int = 1, id: str = "b", **fields: Any
) -> NewBatch:
    def job(name: str, type: str) -> Job:
        return harness.job({"name": name}, type=type, id=name)

    return NewBatch(
        id=id,
        members=tuple(job(f"{id}.{number}", TYPE) for number in range(members)),
        follow_ups=tuple(job(f"{id}.then{number}", DONE) for number in range(then)),
        created_at=harness.clock.now_ms(),
        by="tests",
        **{"when": When.ENDED, **fields},
    )


async def submit(harness: BrokerHarness, members: int = 2, **fields: Any) -> NewBatch:
    batch = batch_of(harness, members, **fields)
    batch = in_batch(batch)
    assert await harness.broker.enqueue_batch(batch) == EnqueuedBatch(Acceptance.ACCEPTED)
    return batch


def in_batch(batch: NewBatch) -> NewBatch:
    return batch.with_its_id()


async def view_of(harness: BrokerHarness, id: str = "b") -> BatchView:
    found = await harness.inspection.batch(id)
    assert found is not None
    return found


async def states(harness: BrokerHarness, *ids: str) -> list[str | None]:
    details = await harness.inspection.details(ids)
    return [None if detail is None else detail.view.state.value for detail in details]


async def act(harness: BrokerHarness, act: Act, *ids: str, batch: str = "act") -> None:
    request = ActRequest(
        act=act, job_ids=ids, by="ravi", batch=batch, seen=await harness.seen(*ids)
    )
    assert [outcome.why for outcome in await harness.control.act(request)] == [""] * len(ids)


async def end(harness: BrokerHarness, state: State, type: str = TYPE) -> str:
    [job] = await harness.claim(1, type)
    assert await harness.settle(job, state)
    return job.job.id


@pytest.mark.parametrize("state", ENDS)
async def test_what_follows_is_made_when_the_last_member_has_ended_in_any_way(
    harness: BrokerHarness, state: State
) -> None:
    await submit(harness)
    await end(harness, State.COMPLETED)
    assert await states(harness, "b.then0") == [None]
    assert (await view_of(harness)).state is BatchState.RUNNING
    harness.clock.advance(5)
    await end(harness, state)
    detail = await harness.detail("b.then0")
    assert (detail.view.state, detail.view.batch) == (State.QUEUED, "b")
    assert detail.view.enqueued_at == harness.clock.now_ms()
    await end(harness, State.COMPLETED, DONE)
    found = await view_of(harness)
    assert (found.state, found.ended, found.total) == (BatchState.ENDED, 3, 3)
    assert found.ended_at == harness.clock.now_ms()


async def test_a_retrying_member_has_not_ended(harness: BrokerHarness) -> None:
    await submit(harness, 1)
    [job] = await harness.claim(1)
    assert await harness.settle(job, State.RETRYING, due_at=harness.clock.now_ms() + 1000)
    assert await states(harness, "b.then0") == [None]
    harness.clock.advance(1)
    await harness.broker.promote(10)
    await end(harness, State.COMPLETED)
    assert await states(harness, "b.then0") == ["queued"]


async def test_a_settlement_with_an_old_fence_or_a_second_one_changes_nothing(
    harness: BrokerHarness,
) -> None:
    await submit(harness, 2)
    [first] = await harness.claim(1)
    assert await harness.complete(first)
    for _ in range(2):
        await harness.settle(first, State.DEAD)
    assert (await view_of(harness)).counts == {"completed": 1, "queued": 1}
    assert await states(harness, "b.then0") == [None]


async def test_members_that_were_settled_in_one_step_count_together(harness: BrokerHarness) -> None:
    await submit(harness, 5)
    claimed = await harness.claim(5)
    settled = [harness.settlement(job, _disposition(State.COMPLETED)) for job in claimed]
    lost = harness.settlement(claimed[0], _disposition(State.DEAD))
    await harness.broker.settle([*settled, lost])
    assert await states(harness, "b.then0") == ["queued"]
    assert (await view_of(harness)).counts == {"completed": 5, "queued": 1}


def _disposition(state: State) -> Disposition:
    return Disposition(state=state, trigger=Trigger.FINISHED)


async def test_cancelled_and_discarded_members_have_ended(harness: BrokerHarness) -> None:
    await submit(harness, 3)
    await act(harness, Act.CANCEL, "b.0")
    await act(harness, Act.DISCARD, "b.1", batch="second")
    assert await states(harness, "b.then0") == [None]
    await act(harness, Act.CANCEL, "b.2")
    assert await states(harness, "b.then0") == ["queued"]
    assert (await view_of(harness)).counts == {"cancelled": 2, "discarded": 1, "queued": 1}


async def test_a_member_whose_worker_died_too_often_has_ended(harness: BrokerHarness) -> None:
    await submit(harness, 1)
    await harness.claim(1, max_attempts=1)
    harness.clock.advance(LEASE_MS / 1000 + 1)
    await harness.broker.reap(10)
    assert await states(harness, "b.then0") == [None]
    await harness.claim(1, lane=Lane.SUSPECT, max_attempts=1)
    harness.clock.advance(LEASE_MS / 1000 + 1)
    await harness.broker.reap(10)
    assert await states(harness, "b.0", "b.then0") == ["dead", "queued"]


async def test_a_member_that_expired_or_that_nobody_serves_has_ended(
    harness: BrokerHarness,
) -> None:
    expires = harness.job({}, id="b.0", expires_at=harness.clock.now_ms() + 1)
    await harness.broker.enqueue_batch(
        in_batch(replaced(batch_of(harness), members=(expires, harness.job({}, id="b.1"))))
    )
    harness.clock.advance(10)
    [other] = await harness.claim(10)
    assert other.job.id == "b.1"
    assert await states(harness, "b.0", "b.then0") == ["dead", None]
    await harness.complete(other)
    assert await states(harness, "b.then0") == ["queued"]
    harness.clock.advance(10)
    assert await harness.control.bury_unserved(older_than=harness.clock.now_ms(), limit=10) == 1
    assert (await view_of(harness)).state is BatchState.ENDED


def replaced(batch: NewBatch, **fields: Any) -> NewBatch:
    return msgspec.structs.replace(batch, **fields)


async def test_a_member_whose_unique_key_is_held_has_ended_at_once(harness: BrokerHarness) -> None:
    await harness.enqueue(harness.job({}, id="holder", unique_key="k"))
    held = harness.job({}, id="b.0", unique_key="k")
    await harness.broker.enqueue_batch(in_batch(replaced(batch_of(harness), members=(held,))))
    assert await states(harness, "b.0", "b.then0") == ["rejected", "queued"]
    detail = await harness.detail("b.0")
    assert (detail.view.reason, detail.view.batch) == ("unique", "b")
    assert "holder" in detail.view.detail
    assert ("job.rejected", "b.0") in await harness.events()
    assert [group.reason for group in await harness.inspection.failures()] == ["unique"]


async def test_where_all_must_complete_what_follows_waits_for_a_retry(
    harness: BrokerHarness,
) -> None:
    await submit(harness, 2, when=When.COMPLETED)
    failed = await end(harness, State.DEAD)
    await end(harness, State.COMPLETED)
    found = await view_of(harness)
    assert (found.state, found.failed, found.ended) == (BatchState.STOPPED, 1, 2)
    assert await states(harness, "b.then0") == [None]
    await act(harness, Act.RETRY, failed)
    assert (await view_of(harness)).state is BatchState.RUNNING
    assert (await view_of(harness)).ended_at is None
    await end(harness, State.COMPLETED)
    assert await states(harness, "b.then0") == ["queued"]


async def test_several_that_follow_are_made_one_after_the_other(harness: BrokerHarness) -> None:
    await submit(harness, 1, then=3, when=When.COMPLETED)
    made = ["b.then0", "b.then1", "b.then2"]
    await end(harness, State.COMPLETED)
    assert await states(harness, *made) == ["queued", None, None]
    await end(harness, State.COMPLETED, DONE)
    assert await states(harness, *made) == ["completed", "queued", None]
    await end(harness, State.CANCELLED, DONE)
    assert await states(harness, *made) == ["completed", "cancelled", None]
    found = await view_of(harness)
    assert (found.state, found.next and found.next.id) == (BatchState.STOPPED, "b.then2")


async def test_an_undone_end_goes_back_and_nothing_is_made_twice(harness: BrokerHarness) -> None:
    await submit(harness, 2)
    await end(harness, State.COMPLETED)
    await act(harness, Act.CANCEL, "b.1", batch="cancelled")
    assert await states(harness, "b.then0") == ["queued"]
    assert [each.done for each in await harness.control.undo("cancelled")] == [True]
    found = await view_of(harness)
    assert (found.counts, found.ended) == ({"completed": 1, "queued": 2}, 1)
    await end(harness, State.COMPLETED)
    await end(harness, State.COMPLETED, DONE)
    assert (await view_of(harness)).counts == {"completed": 3}
    assert await harness.counts(DONE) == {"completed": 1}


async def test_a_retry_that_is_undone_ends_the_batch_again(harness: BrokerHarness) -> None:
    await submit(harness, 1, then=0)
    await end(harness, State.DEAD)
    assert (await view_of(harness)).state is BatchState.ENDED
    await act(harness, Act.RETRY, "b.0", batch="retried")
    assert (await view_of(harness)).state is BatchState.RUNNING
    await harness.control.undo("retried")
    assert (await view_of(harness)).state is BatchState.ENDED


async def test_an_empty_batch_is_followed_at_once(harness: BrokerHarness) -> None:
    await submit(harness, 0)
    assert await states(harness, "b.then0") == ["queued"]


async def test_a_repetition_changes_nothing_and_another_batch_is_refused(
    harness: BrokerHarness,
) -> None:
    batch = await submit(harness, 2)
    assert await harness.broker.enqueue_batch(batch) == EnqueuedBatch(Acceptance.EXISTS)
    other = in_batch(batch_of(harness, 3))
    assert await harness.broker.enqueue_batch(other) == EnqueuedBatch(Acceptance.CONFLICT)
    assert await harness.counts() == {"queued": 2}


@pytest.mark.parametrize("taken", ["c.1", "c.then0"])
async def test_a_member_with_the_id_of_another_job_refuses_the_batch(
    harness: BrokerHarness, taken: str
) -> None:
    await harness.enqueue(harness.job({}, id=taken))
    batch = in_batch(batch_of(harness, 2, id="c"))
    assert await harness.broker.enqueue_batch(batch) == EnqueuedBatch(Acceptance.CONFLICT, taken)
    assert await harness.inspection.batch("c") is None
    assert await states(harness, "c.0") == [None]


async def test_a_submission_that_broke_off_leaves_an_open_batch_that_is_continued(
    harness: BrokerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = in_batch(batch_of(harness, 510))
    with monkeypatch.context() as patched:
        fail_at(patched, 2)
        with pytest.raises(BrokerUnavailable):
            await harness.broker.enqueue_batch(batch)
    assert await harness.counts() == {"queued": 500}
    for job in await harness.claim(600):
        assert await harness.complete(job)
    found = await view_of(harness)
    assert (found.state, found.ended, found.total) == (BatchState.OPEN, 500, 511)
    assert await states(harness, "b.then0") == [None]
    assert await harness.broker.enqueue_batch(batch) == EnqueuedBatch(Acceptance.ACCEPTED)
    assert await harness.counts() == {"queued": 10, "completed": 500}
    for job in await harness.claim(600):
        assert await harness.complete(job)
    assert await states(harness, "b.then0") == ["queued"]


async def test_a_batch_that_its_producer_left_is_found_by_the_time_of_its_last_members(
    harness: BrokerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def left_open(limit: int = 5) -> tuple[list[str], int]:
        before = harness.clock.now_ms() - LONG_OPEN_MS
        return await harness.inspection.left_open_batches(before=before, limit=limit)

    batches = [in_batch(batch_of(harness, 1010, id=id)) for id in ("a", "b", "c")]
    for batch in batches:
        with monkeypatch.context() as patched:
            fail_at(patched, 2)
            with pytest.raises(BrokerUnavailable):
                await harness.broker.enqueue_batch(batch)
        harness.clock.advance(60)
    await submit(harness, id="whole")
    assert await left_open() == ([], 0)
    harness.clock.advance(86_400)
    assert await left_open() == (["a", "b", "c"], 3)
    assert await left_open(2) == (["a", "b"], 3)
    with monkeypatch.context() as patched:
        fail_at(patched, 3)
        with pytest.raises(BrokerUnavailable):
            await harness.broker.enqueue_batch(batches[0])
    assert await left_open() == (["b", "c"], 2), "the first one has new members"
    assert await harness.broker.enqueue_batch(batches[1]) == EnqueuedBatch(Acceptance.ACCEPTED)
    assert await left_open() == (["c"], 1), "the second one has all"
    harness.clock.advance(86_401)
    assert await left_open() == (["c", "a"], 2)


async def test_a_batch_stays_open_after_the_removal_of_all_jobs_that_were_submitted(
    harness: BrokerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = in_batch(batch_of(harness, 510, when=When.COMPLETED))
    remove = partial(end_and_remove, harness)
    with monkeypatch.context() as patched:
        call_before(patched, 2, remove)
        assert await harness.broker.enqueue_batch(batch) == EnqueuedBatch(Acceptance.ACCEPTED)
    for job in await harness.claim(600):
        assert await harness.complete(job)
    assert await states(harness, "b.then0") == ["queued"]
    found = await view_of(harness)
    assert found.counts == {"completed": 510, "queued": 1}
    assert (found.ended, found.total) == (510, 511)


async def end_and_remove(harness: BrokerHarness) -> None:
    for job in await harness.claim(600):
        assert await harness.complete(job)
    harness.clock.advance(8 * 86_400)
    while await harness.control.trim(limit=1000):
        pass


@pytest.mark.parametrize("make_backend", ["fakeredis", "redis"], indirect=True)
async def test_a_server_that_is_emptied_during_a_submission_gets_all_of_it_again(
    harness: BrokerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = in_batch(batch_of(harness, 510))
    link = harness.broker._link  # type: ignore[attr-defined]  # what an operator may do
    with monkeypatch.context() as patched:
        call_before(patched, 2, partial(link.ask, "FLUSHALL"))
        with pytest.raises(BrokerUnavailable, match="batch b is gone"):
            await harness.broker.enqueue_batch(batch)
    assert await harness.broker.enqueue_batch(batch) == EnqueuedBatch(Acceptance.ACCEPTED)
    assert await harness.counts() == {"queued": 510}


def call_before(
    patched: pytest.MonkeyPatch, number: int, interrupt: Callable[[], Awaitable[Any]]
) -> None:
    """Call a function once before the given step of a submission."""
    steps = 0

    def interrupted(call: Any) -> Any:
        async def run(*args: Any, **kwargs: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == number:
                await interrupt()
            return await call(*args, **kwargs)

        return run

    patched.setattr(QueueFile, "write", interrupted(QueueFile.write))
    patched.setattr(Link, "run_reported", interrupted(Link.run_reported))


async def test_what_follows_gets_priority_time_and_unique_key_as_if_it_were_submitted_then(
    harness: BrokerHarness,
) -> None:
    harness.register(TYPE, DONE, priorities=((DONE, 7),))
    later = harness.job({}, DONE, id="later", not_before=harness.clock.now_ms() + 60_000)
    keyed = harness.job({}, DONE, id="keyed", unique_key="k")
    await harness.enqueue(harness.job({}, DONE, id="holder", unique_key="k", not_before=2**42))
    batch = replaced(batch_of(harness, 1), follow_ups=(keyed, later))
    await harness.broker.enqueue_batch(in_batch(batch))
    await end(harness, State.COMPLETED)
    assert await states(harness, "keyed", "later") == ["rejected", "scheduled"]
    assert [(await harness.detail(id)).view.priority for id in ("keyed", "later")] == [7, 7]
    assert ("job.rejected", "keyed") in await harness.events()
    harness.clock.advance(60)
    await harness.broker.promote(10)
    await end(harness, State.COMPLETED, DONE)
    assert (await view_of(harness)).state is BatchState.ENDED


async def test_the_jobs_of_a_batch_are_found_by_its_id(harness: BrokerHarness) -> None:
    await submit(harness, 5)
    await submit(harness, 2, id="c")
    await harness.accept(3)
    await end(harness, State.COMPLETED)
    found, cursor = list[str](), None
    while True:
        page = await harness.inspection.page(parse_filter("batch:b"), limit=2, cursor=cursor)
        found += [job.id for job in page.jobs]
        cursor = page.cursor
        if cursor is None:
            break
    assert sorted(found) == [f"b.{number}" for number in range(5)]
    for where, number in (("batch:b state:completed", 1), ("batch:b,c", 7), ("batch:none", 0)):
        page = await harness.inspection.page(parse_filter(where), limit=0, cursor=None)
        assert len(page.jobs) == number
    page = await harness.inspection.page(parse_filter("-batch:b"), limit=0, cursor=None)
    assert len(page.jobs) == 5


async def test_batches_are_listed_last_first(harness: BrokerHarness) -> None:
    for id in "xyz":
        await submit(harness, 1, id=id)
    harness.clock.advance(1)
    await submit(harness, 1, id="a")
    found, cursor = list[str](), None
    while True:
        page = await harness.inspection.batches(limit=2, cursor=cursor)
        found += [batch.id for batch in page.batches]
        cursor = page.cursor
        if cursor is None:
            break
    assert found == ["a", "z", "y", "x"]
    assert await harness.inspection.batch("none") is None


async def test_a_job_that_is_not_made_yet_names_its_batch(harness: BrokerHarness) -> None:
    await submit(harness, 1)
    assert await harness.inspection.batch_to_make("b.then0") == "b"
    assert await harness.inspection.batch_to_make("b.0") is None
    await end(harness, State.COMPLETED)
    assert await harness.inspection.batch_to_make("b.then0") is None


async def test_a_batch_is_removed_with_the_last_of_its_jobs(harness: BrokerHarness) -> None:
    await submit(harness, 2, when=When.COMPLETED)
    await end(harness, State.COMPLETED)
    await end(harness, State.DEAD)
    harness.clock.advance(8 * 86_400)
    assert await harness.control.trim(limit=100) >= 1
    found = await view_of(harness)
    assert (found.counts, found.state) == ({"completed": 1, "dead": 1}, BatchState.STOPPED)
    [failed] = await harness.control.to_archive(older_than=harness.clock.now_ms(), limit=10)
    await harness.control.forget([failed.view.id])
    assert await harness.inspection.batch("b") is None
    assert await harness.inspection.batch_to_make("b.then0") is None
    assert (await harness.inspection.batches(limit=10, cursor=None)).batches == ()


async def test_a_member_that_was_removed_as_failed_still_stops_its_batch(
    harness: BrokerHarness,
) -> None:
    await submit(harness, 2, when=When.COMPLETED)
    failed = await end(harness, State.DEAD)
    await harness.control.forget([failed])
    await end(harness, State.COMPLETED)
    assert await states(harness, "b.then0") == [None]
    assert (await view_of(harness)).state is BatchState.STOPPED


async def test_an_erased_member_stays_in_its_batch(harness: BrokerHarness) -> None:
    await submit(harness, 2)
    erased = await end(harness, State.COMPLETED)
    assert [each.done for each in await harness.control.erase([erased])] == [True]
    assert (await harness.detail(erased)).view.batch == "b"
    await end(harness, State.COMPLETED)
    assert await states(harness, "b.then0") == ["queued"]


@pytest.mark.parametrize("make_backend", ["fakeredis", "redis"], indirect=True)
async def test_a_member_whose_record_is_lost_has_ended(harness: BrokerHarness) -> None:
    await submit(harness, 2)
    link = harness.broker._link  # type: ignore[attr-defined]  # what an eviction does
    await link.ask("DEL", link.keys.ours("job", "b.0"))
    [other] = await harness.claim(10)
    assert await states(harness, "b.0", "b.then0") == ["dead", None]
    await harness.complete(other)
    assert await states(harness, "b.then0") == ["queued"]


@pytest.mark.parametrize("make_backend", ["fakeredis", "redis"], indirect=True)
async def test_a_batch_whose_members_are_not_known_waits_until_they_are(
    harness: BrokerHarness,
) -> None:
    await submit(harness, 2)
    link = harness.broker._link  # type: ignore[attr-defined]  # what another program may do
    await link.ask("DEL", link.keys.ours("members", "b"))
    await end(harness, State.COMPLETED)
    assert await states(harness, "b.then0") == [None]
    await harness.broker.reap(10)
    await end(harness, State.COMPLETED)
    assert await states(harness, "b.then0") == ["queued"]


@pytest.mark.parametrize("raw", [b"\xff", b"\xc1", b"\x07", b"\x93\x01\x02\x03", b"{}"])
async def test_what_is_to_follow_and_cannot_be_read_is_dead_and_stops_nothing(
    harness: BrokerHarness, raw: bytes
) -> None:
    await submit(harness, 1, then=2)
    await submit(harness, 1, id="c", then=2)
    await spoil(harness, raw)
    assert [each.done for each in await harness.control.erase(["b.then0"])] == [False]
    assert await end(harness, State.COMPLETED) == "b.0"
    assert await states(harness, "b.0", "b.then0", "b.then1") == ["completed", "dead", "queued"]
    lost = (await harness.detail("b.then0")).view
    assert (lost.type, lost.batch, lost.reason, lost.detail) == (DONE, "b", REASON_LOST, UNREADABLE)
    assert ("job.dead", "b.then0") in await harness.events()
    await end(harness, State.COMPLETED, DONE)
    found = await view_of(harness)
    assert (found.state, found.ended, found.total) == (BatchState.ENDED, 3, 3)
    assert await end(harness, State.COMPLETED) == "c.0"
    assert await states(harness, "c.then0") == ["queued"]


async def spoil(harness: BrokerHarness, raw: bytes) -> None:
    """Overwrite the first job that is to follow the batch `b`."""
    broker: Any = harness.broker
    if hasattr(broker, "_file"):
        change = "UPDATE follow_ups SET job = ? WHERE batch = 'b' AND number = 0"
        await broker._file.write(lambda transaction: transaction.connection.execute(change, (raw,)))
    else:
        await broker._link.ask("HSET", broker._link.keys.ours("follow-ups", "b"), "0", raw)


async def test_what_is_to_follow_is_erased_once_its_batch_has_ended(harness: BrokerHarness) -> None:
    await submit(harness, 1, then=2, when=When.COMPLETED)
    [refused] = await harness.control.erase(["b.then0"])
    assert (refused.done, "is to follow batch b" in refused.why) == (False, True)
    await end(harness, State.DEAD)
    [erased] = await harness.control.erase(["b.then0"])
    assert (erased.done, erased.why) == (True, "")
    assert await harness.inspection.batch_to_make("b.then0") is None
    await act(harness, Act.RETRY, "b.0")
    await end(harness, State.COMPLETED)
    assert await states(harness, "b.then0", "b.then1") == [None, "queued"]
    found = await view_of(harness)
    assert (found.total, found.ended) == (2, 1)


async def test_what_is_to_follow_a_batch_that_was_left_open_is_erased(
    harness: BrokerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = in_batch(batch_of(harness, 510, then=2))
    with monkeypatch.context() as patched:
        fail_at(patched, 2)
        with pytest.raises(BrokerUnavailable):
            await harness.broker.enqueue_batch(batch)
    [erased] = await harness.control.erase(["b.then0"])
    assert (erased.done, erased.why) == (True, "")
    assert await harness.broker.enqueue_batch(batch) == EnqueuedBatch(Acceptance.ACCEPTED)
    for job in await harness.claim(600):
        assert await harness.complete(job)
    assert await states(harness, "b.then0", "b.then1") == [None, "queued"]


@pytest.mark.parametrize("make_backend", ["redis"], indirect=True)
async def test_a_check_looks_at_a_sample_of_the_batches(harness: BrokerHarness) -> None:
    for number in range(BATCH_SAMPLE + 50):
        await submit(harness, 1, id=f"b{number}")
    link = harness.broker._link  # type: ignore[attr-defined]  # counts what it asks
    await harness.broker.reap(10)
    before = await commands_of(link)
    await link.run(repair_calls.check([]))
    after = await commands_of(link)
    assert after["zcard"] - before["zcard"] == BATCH_SAMPLE


async def commands_of(link: Link) -> dict[str, int]:
    """Return how many calls of each command the server has counted."""
    found = await link.ask("INFO", "commandstats")
    return {name.removeprefix("cmdstat_"): stats["calls"] for name, stats in found.items()}


async def test_a_job_that_is_to_follow_another_batch_is_not_taken(harness: BrokerHarness) -> None:
    await submit(harness, 1)
    member = replaced(batch_of(harness, 0, id="c"), members=(harness.job({}, id="b.then0"),))
    refused = EnqueuedBatch(Acceptance.CONFLICT, "b.then0")
    assert await harness.broker.enqueue_batch(in_batch(member)) == refused
    follow_up = replaced(batch_of(harness, 1, id="c"), follow_ups=(harness.job({}, id="b.then0"),))
    assert await harness.broker.enqueue_batch(in_batch(follow_up)) == refused


async def test_a_job_with_the_id_of_one_that_is_to_follow_stands_in_its_place(
    harness: BrokerHarness,
) -> None:
    await submit(harness, 1, then=2)
    await harness.enqueue(harness.job({"other": 1}, id="b.then0", not_before=2**42))
    await end(harness, State.COMPLETED)
    assert await states(harness, "b.then0", "b.then1") == ["scheduled", "queued"]
    assert (await harness.detail("b.then0")).view.batch is None
    await end(harness, State.COMPLETED, DONE)
    found = await view_of(harness)
    assert (found.state, found.ended, found.total) == (BatchState.ENDED, 2, 2)


async def test_the_archive_keeps_the_batch_of_a_job(
    harness: BrokerHarness, settings: Settings, clock: ManualClock
) -> None:
    await submit(harness, 1, then=0)
    await end(harness, State.DEAD)
    ended = await harness.control.to_archive(older_than=clock.now_ms() + 1, limit=10)
    database = bootstrap.database(settings, clock)
    await database.open()
    assert await transfer_between(harness, database).move(ended) == 1
    archived = await database.archive.get("b.0")
    await database.close()
    assert archived is not None
    assert archived.view.batch == "b"
    assert await harness.inspection.batch("b") is None
