"""Unique keys amid random acts: after each, one job at most stands for a key, and the next one is told which."""

from __future__ import annotations

import random
from collections import Counter

import msgspec
import pytest

from hms_svc.domain.filter import parse_filter
from hms_svc.domain.job import ClaimedJob
from hms_svc.domain.lifecycle import TERMINAL, State
from hms_svc.domain.uniqueness import UniqueRule
from hms_svc.domain.views import JobView
from hms_svc.ports.broker import Enqueued
from hms_svc.ports.control import Act, ActRequest
from tests.support.broker_engines import TYPE, BrokerHarness

KEYS = ("ward-1", "ward-2")
RULES = {
    "ended": UniqueRule("ended"),
    "started": UniqueRule("started"),
    "debounced": UniqueRule("started", delay_ms=10_000, most_ms=30_000),
}
STEPS = 120


class Ward:
    """A broker with jobs of one rule, and what its jobs say about who stands."""

    def __init__(self, harness: BrokerHarness, rule: UniqueRule, seed: int) -> None:
        self.harness = harness
        self.rule = rule
        self.chance = random.Random(seed)
        self.running: list[ClaimedJob] = []
        self.batches = 0

    async def views(self) -> list[JobView]:
        page = await self.harness.inspection.page(
            parse_filter(f"type:{TYPE}"), limit=0, cursor=None
        )
        return list(page.jobs)

    async def standing(self) -> dict[str, list[str]]:
        """Return by key the jobs that stand, by their states alone."""
        found: dict[str, list[str]] = {key: [] for key in KEYS}
        for view in await self.views():
            waits = view.state in (State.SCHEDULED, State.QUEUED) and view.fence == 0
            if view.unique_key and (
                waits if self.rule.until == "started" else view.state not in TERMINAL
            ):
                found[view.unique_key].append(view.id)
        return found

    async def hand_in(self) -> None:
        before, key = await self.standing(), self.chance.choice(KEYS)
        now = self.harness.clock.now_ms()
        due = now + self.rule.delay_ms if self.rule.delay_ms else None
        job = self.harness.job({"n": 1}, unique_key=key, not_before=due)
        [answer] = await self.harness.enqueue(msgspec.structs.replace(job, unique=self.rule))
        self.compare(answer, before[key])

    def compare(self, answer: Enqueued, before: list[str]) -> None:
        if not before:
            assert (answer.held_by, answer.replaced) == (None, None)
            assert answer.state is not State.REJECTED
        elif self.rule.delay_ms:
            assert [answer.replaced] == before
        else:
            assert (answer.state, [answer.held_by]) == (State.REJECTED, before)

    async def claim(self) -> None:
        self.running += await self.harness.claim(self.chance.randint(1, 2))

    async def settle(self) -> None:
        if self.running:
            job = self.running.pop(self.chance.randrange(len(self.running)))
            state = self.chance.choice((State.COMPLETED, State.RETRYING, State.DEAD))
            fields = {"delay_ms": 5000} if state is State.RETRYING else {}
            await self.harness.settle(job, state, **fields)

    async def act(self) -> None:
        views = await self.views()
        if views:
            act = self.chance.choice((Act.RETRY, Act.CANCEL, Act.DISCARD))
            job_id = self.chance.choice(views).id
            seen = await self.harness.seen(job_id)
            self.batches += 1
            request = ActRequest(
                act=act, job_ids=(job_id,), by="ravi", batch=f"b-{self.batches}", seen=seen
            )
            await self.harness.control.act(request)

    async def undo(self) -> None:
        if self.batches:
            await self.harness.control.undo(f"b-{self.chance.randint(1, self.batches)}")

    async def let_pass(self) -> None:
        self.harness.clock.advance(self.chance.choice((1, 6)))
        await self.harness.broker.promote(100)

    async def check(self) -> None:
        for key, holders in (await self.standing()).items():
            assert len(holders) <= 1, (key, holders)
        counted = Counter(view.state.value for view in await self.views())
        assert await self.harness.counts() == dict(counted)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.interop)])
async def test_one_job_at_most_stands_for_a_key(
    harness: BrokerHarness, name: str, seed: int
) -> None:
    ward = Ward(harness, RULES[name], seed)
    acts = [ward.hand_in] * 4 + [ward.claim, ward.settle, ward.act, ward.undo, ward.let_pass]
    for _ in range(STEPS):
        await ward.chance.choice(acts)()
        await ward.check()
