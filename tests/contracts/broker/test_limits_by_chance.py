"""Whatever happens in whatever order: no limit is exceeded, every job is let in, and no place is left over."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from hms_svc.domain.job import ClaimedJob, Lane
from hms_svc.domain.job_limits import KeyedLimit, Limit
from hms_svc.domain.lifecycle import State
from hms_svc.ports.broker import KnownEffects
from hms_svc.ports.control import Act, ActRequest
from hms_svc.ports.key_claims import PlaceClaim
from tests.support.broker_engines import LEASE_MS, TYPE, BrokerHarness, ManualClock

OF_TYPE = (Limit(5), Limit(20, 1000))
RATE = Limit(3, 4000)
MOST = 3
ENDS = (State.COMPLETED, State.RETRYING, State.DEAD, State.QUEUED, State.HELD, State.SCHEDULED)
WAITING = ("queued", "processing", "retrying", "scheduled")


class World:
    """Jobs of four keys, of which two have a rate as well, and all that can happen to them."""

    def __init__(self, harness: BrokerHarness, clock: ManualClock, seed: int) -> None:
        self.harness = harness
        self.clock = clock
        self.chance = random.Random(seed)
        self.key: dict[str, int] = {}
        self.running: dict[str, ClaimedJob] = {}
        self.starts: list[tuple[int, int]] = []
        self.batches: list[str] = []
        self.highest = 0
        self.declare(1)

    def declare(self, most: int) -> None:
        self.most, self.highest = most, max(self.highest, most)
        keyed = (None, None, Limit(most), RATE)
        self.harness.register(limits=((TYPE, OF_TYPE),), keyed_limits=((TYPE, keyed),))

    async def accept(self) -> None:
        chance, now, key = self.chance, self.clock.now_ms(), self.chance.randrange(4)
        ids = await self.harness.accept(
            chance.randint(1, 4),
            expires_at=chance.choice([None, now + chance.randint(1, 3000)]),
            not_before=chance.choice([None, None, now + chance.randint(1, 3000)]),
            priority=chance.randint(-3, 3),
        )
        self.key |= dict.fromkeys(ids, key)

    def limits_for(self, key: int) -> tuple[KeyedLimit, ...]:
        running = KeyedLimit(f"aa{key}", "running", Limit(self.most), 2)
        return (running, KeyedLimit(f"bb{key}", "rate", RATE, 3)) if key % 2 else (running,)

    async def claim(self, lane: Lane = Lane.NORMAL) -> None:
        found = await self.harness.claim(self.chance.randint(1, 6), lane=lane)
        claims = [PlaceClaim(job, self.limits_for(self.key[job.job.id]), LEASE_MS) for job in found]
        for job, may_run in zip(found, await self.harness.broker.take_places(claims), strict=True):
            if may_run:
                self.running[job.job.id] = job
                self.starts.append((self.key[job.job.id], self.clock.lease))
        self.check()

    def check(self) -> None:
        assert len(self.running) <= OF_TYPE[0].most
        inside = Counter(self.key[job_id] for job_id in self.running)
        assert all(number <= self.highest for number in inside.values()), inside
        since = self.clock.lease - RATE.window_ms
        begun = Counter(key for key, at in self.starts if key % 2 and at > since)
        assert all(number <= RATE.most for number in begun.values()), begun

    async def settle(self) -> None:
        if self.running:
            job = self.running.pop(self.chance.choice(sorted(self.running)))
            await self.harness.settle(job, self.chance.choice(ENDS), give_back=False)

    async def complete_all(self) -> None:
        while self.running:
            await self.harness.complete(self.running.popitem()[1])

    async def act(self) -> None:
        if not self.key:
            return
        job_id = self.chance.choice(sorted(self.key))
        self.batches.append(f"b{len(self.batches)}")
        request = ActRequest(
            act=self.chance.choice([Act.CANCEL, Act.RETRY, Act.DISCARD]),
            job_ids=(job_id,),
            by="ravi",
            batch=self.batches[-1],
            seen=await self.harness.seen(job_id),
        )
        await self.harness.control.act(request)

    async def undo(self) -> None:
        if self.batches:
            await self.harness.control.undo(self.chance.choice(self.batches))

    async def pass_time(self) -> None:
        self.clock.advance(self.chance.choice([0.01, 0.5, 1.1, 5]))
        await self.harness.broker.promote(100)

    async def lose_worker(self) -> None:
        self.clock.advance(LEASE_MS / 1000 + 1)
        await self.reap()
        self.running.clear()

    async def reap(self) -> None:
        report = await self.harness.broker.reap(100)
        known = {job_id: KnownEffects(fence, has_case=False) for job_id, fence in report.undecided}
        await self.harness.broker.reap(100, known)

    async def change(self) -> None:
        if self.chance.random() < 0.1:
            self.declare(self.chance.randint(1, MOST))

    async def drain(self) -> dict[str, int]:
        """Run all that is left; return how many jobs of each state could not be run."""
        for _ in range(500):
            await self.claim()
            await self.complete_all()
            await self.claim(Lane.SUSPECT)
            await self.complete_all()
            await self.pass_time()
            await self.reap()
            counts = await self.harness.counts()
            if not any(counts.get(state) for state in WAITING):
                return {}
        return counts


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.interop) for seed in (2, 3, 4))]
)
async def test_limits_hold_and_let_in(
    harness: BrokerHarness, clock: ManualClock, seed: int
) -> None:
    world = World(harness, clock, seed)
    steps = [world.accept] * 3 + [world.claim] * 6 + [world.settle] * 5 + [world.act] * 3
    steps += [world.undo, world.pass_time, world.pass_time, world.lose_worker, world.change]
    for _ in range(200):
        await world.chance.choice(steps)()
    assert await world.drain() == {}
    [queue] = await harness.inspection.queues()
    assert queue.limited == 0
    # A place that was left over would be missing here.
    clock.advance(10)
    world.key |= dict.fromkeys(await harness.accept(MOST), 0)
    world.declare(MOST)
    while len(world.running) < MOST:
        before = len(world.running)
        await world.claim()
        assert len(world.running) > before
    await world.complete_all()
