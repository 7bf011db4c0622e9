"""Batches amid random acts: what follows is made when it may be, never before, and once; counts are those of the jobs."""

from __future__ import annotations

import random
from collections import Counter

import msgspec
import pytest

from hms_svc.domain.batches import DISCARDED, BatchState, NewBatch, When
from hms_svc.domain.job import ClaimedJob, Lane
from hms_svc.domain.lifecycle import TERMINAL, State
from hms_svc.ports.control import BATCH_IS_WHOLE, Act, ActRequest, ClosedBatch
from tests.support.broken_submissions import leave_open
from tests.support.broker_engines import LEASE_MS, TYPE, BrokerHarness

MEMBERS = 5
STEPS = 120
NEXT = (
    State.RETRYING,
    State.QUEUED,
    State.HELD,
    State.SCHEDULED,
    *[State.COMPLETED] * 4,
    *sorted(TERMINAL),
)
ACTS = (Act.RETRY, Act.CANCEL, Act.DISCARD, Act.APPROVE, Act.DENY)


class Play:
    """One batch of two jobs to follow, and what is known of it from its jobs alone."""

    def __init__(self, harness: BrokerHarness, chance: random.Random, when: When) -> None:
        self.harness = harness
        self.chance = chance
        self.when = when
        self.members = [f"b.{number}" for number in range(MEMBERS)]
        self.follow_ups = ["b.then0", "b.then1"]
        self.made = 0
        self.is_open = False
        self.running: list[ClaimedJob] = []
        self.acts = 0

    async def begin(self, *, leaves_open: bool) -> None:
        """Submit the batch; if it is left open, without two more members, which never come."""
        jobs = [self.harness.job({"id": id}, id=id) for id in (*self.members, *self.follow_ups)]
        batch = NewBatch(
            id="b",
            members=tuple(jobs[:MEMBERS]),
            follow_ups=tuple(jobs[MEMBERS:]),
            when=self.when,
        )
        self.is_open = leaves_open
        if leaves_open:
            rest = tuple(self.harness.job({"id": f"rest.{n}"}, id=f"rest.{n}") for n in range(2))
            batch = msgspec.structs.replace(batch, members=batch.members + rest)
            await leave_open(self.harness.broker, batch, MEMBERS)
        else:
            await self.harness.broker.enqueue_batch(batch.with_its_id())

    async def close(self) -> None:
        """Close the batch if it is open."""
        closed = await self.harness.control.close_batch("b", by="ann")
        assert closed == (
            ClosedBatch("", MEMBERS, 2) if self.is_open else ClosedBatch(BATCH_IS_WHOLE)
        )
        self.is_open = False
        await self.check()

    async def step(self) -> None:
        """Do something at random."""
        harness, chance = self.harness, self.chance
        match chance.randrange(8):
            case 0 | 1:
                lane = chance.choice(list(Lane))
                self.running += await harness.claim(chance.randint(1, 3), TYPE, lane=lane)
            case 2 | 3 | 4 if self.running:
                job = self.running.pop(chance.randrange(len(self.running)))
                await harness.settle(job, chance.choice(NEXT), reason="chance", delay_ms=1000)
            case 5:
                await self.act()
            case 6 if self.acts:
                await harness.control.undo(f"act-{chance.randint(1, self.acts)}")
            case _:
                harness.clock.advance(chance.choice([1, LEASE_MS / 1000 + 1]))
                await harness.broker.promote(100)
                await harness.broker.reap(100)

    async def act(self) -> None:
        ids = tuple(self.chance.sample([*self.members, *self.follow_ups], 2))
        self.acts += 1
        request = ActRequest(
            act=self.chance.choice(ACTS),
            job_ids=ids,
            by="ravi",
            batch=f"act-{self.acts}",
            seen=await self.harness.seen(*ids),
        )
        await self.harness.control.act(request)

    async def finish(self) -> None:
        """End every job that has not ended: those that are held are denied, all others complete."""
        harness, ids = self.harness, [*self.members, *self.follow_ups]
        for _ in range(MEMBERS + len(self.follow_ups)):
            harness.clock.advance(LEASE_MS / 1000 + 1)
            await harness.broker.reap(100)
            await harness.broker.promote(100)
            seen = await harness.seen(*ids)
            request = ActRequest(act=Act.DENY, job_ids=tuple(ids), by="ravi", seen=seen)
            await harness.control.act(request)
            await self.check()
            for lane in Lane:
                for job in await harness.claim(10, TYPE, lane=lane):
                    await harness.complete(job)
                    await self.check()

    async def check(self) -> None:
        """Compare the batch with its jobs; a discarded job is one that is not found."""
        ids = [*self.members, *self.follow_ups]
        details = await self.harness.inspection.details(ids)
        state_of = {
            id: None if each is None else each.view.state
            for id, each in zip(ids, details, strict=True)
        }
        view = await self.harness.inspection.batch("b")
        assert view is not None
        made = [each.id for each in view.follow_ups if each.is_made]
        known = [state_of[id] for id in (*self.members, *made)]
        names = Counter(DISCARDED if state is None else state.value for state in known)
        assert Counter(view.counts) == names
        is_over = not self.is_open and all(state is None or state in TERMINAL for state in known)
        assert view.total == len(self.members) + len(self.follow_ups) + 2 * self.is_open
        is_good = all(state is State.COMPLETED for state in known)
        if len(made) > self.made:
            before = [state_of[id] for id in (*self.members, *made[: self.made])]
            assert len(made) == self.made + 1
            assert all(state is None or state in TERMINAL for state in before)
            if self.when is When.COMPLETED:
                assert all(state is State.COMPLETED for state in before)
            self.made = len(made)
        must_go_on = is_over and (self.when is When.ENDED or is_good)
        assert not (must_go_on and len(made) < len(self.follow_ups)), (made, names)
        assert all(state_of[id] is None for id in self.follow_ups[self.made :])
        assert (view.ended_at is not None) == is_over
        assert (view.state is BatchState.OPEN) == self.is_open
        if is_over:
            ends_well = len(made) == len(self.follow_ups)
            assert view.state is (BatchState.ENDED if ends_well else BatchState.STOPPED)


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("leaves_open", [False, True])
@pytest.mark.parametrize(
    "seed", [0, 2, *(pytest.param(seed, marks=pytest.mark.interop) for seed in (1, 3))]
)
async def test_a_batch_goes_on_exactly_when_its_jobs_let_it(
    harness: BrokerHarness, seed: int, leaves_open: bool, when: When
) -> None:
    play = Play(harness, random.Random(seed), when)
    await play.begin(leaves_open=leaves_open)
    closes_at = (seed + 1) * STEPS // 5
    for number in range(STEPS):
        await play.step()
        await play.check()
        if number == closes_at:
            await play.close()
    await play.finish()
    found = await harness.inspection.batch("b")
    assert found is not None
    assert found.state in {BatchState.ENDED, BatchState.STOPPED}
    assert found.state is BatchState.ENDED or (when is When.COMPLETED and found.failed)
