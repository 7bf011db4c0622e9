"""Limits of types in workers: never more than declared, never stuck, and no hold on others."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hms_svc import Concurrency, Rate, RunningJob
from hms_svc.domain.errors import BadInput
from hms_svc.domain.lifecycle import State
from hms_svc.operations.reads import Reads
from hms_svc.sdk.registry import Registry
from tests.support.waiting import until
from tests.support.worker import HarnessMaker, WorkerHarness

SEVERAL = 3


class Rooms:
    """Counts the jobs inside, by key, and the most that were inside at the same time."""

    def __init__(self) -> None:
        self.inside: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.began: list[float] = []
        self.leave = asyncio.Event()

    async def visit(self, job: RunningJob) -> None:
        self._enter(job)
        await asyncio.sleep(0.01)
        self.inside[self._key(job)] -= 1

    async def stay(self, job: RunningJob) -> None:
        self._enter(job)
        await self.leave.wait()
        self.inside[self._key(job)] -= 1

    def _enter(self, job: RunningJob) -> None:
        key = self._key(job)
        self.inside[key] += 1
        self.most[key] = max(self.most[key], self.inside[key])
        self.began.append(time.monotonic())

    @staticmethod
    def _key(job: RunningJob) -> str:
        return str(job.data["ward"])


def ward_of(data: Any) -> Any:
    return data["ward"]


async def enqueued(harness: WorkerHarness, type: str, *wards: Any) -> list[str]:
    return [await harness.enqueue({"ward": ward}, type=type) for ward in wards]


@asynccontextmanager
async def several(
    open_harness: HarnessMaker, registry: Registry
) -> AsyncIterator[list[WorkerHarness]]:
    """Open the engines of several workers, as several processes would."""
    async with AsyncExitStack() as opened:
        yield [await opened.enter_async_context(open_harness(registry)) for _ in range(SEVERAL)]


async def all_reach(harness: WorkerHarness, ids: list[str], state: State) -> None:
    for job_id in ids:
        await harness.reaches(job_id, state)


async def test_several_workers_keep_to_one_limit(open_harness: HarnessMaker) -> None:
    rooms, registry = Rooms(), Registry()
    registry.job("limited.job", limits=[Concurrency(2)])(rooms.visit)
    registry.job("other.job")(rooms.visit)
    async with several(open_harness, registry) as harnesses:
        ids = await enqueued(harnesses[0], "limited.job", *["all"] * 40)
        ids += await enqueued(harnesses[0], "other.job", *["free"] * 40)
        for harness in harnesses:
            harness.start(slots=8)
        await all_reach(harnesses[0], ids, State.COMPLETED)
    assert rooms.most["all"] == 2
    assert rooms.most["free"] > 2


async def test_a_limit_for_each_key_holds_back_no_other_key(open_harness: HarnessMaker) -> None:
    rooms, registry = Rooms(), Registry()
    registry.job("limited.job", limits=[Concurrency(1, key=ward_of)])(rooms.visit)
    async with several(open_harness, registry) as harnesses:
        wards = [1] * 30 + [2, 3, 4] * 10
        ids = await enqueued(harnesses[0], "limited.job", *wards)
        for harness in harnesses:
            harness.start(slots=8)
        await all_reach(harnesses[0], ids, State.COMPLETED)
        attempts = [(await harness.detail(job_id)).view.attempt for job_id in ids]
    assert set(rooms.most.values()) == {1}
    assert len(rooms.most) == 4
    assert set(attempts) == {1}


async def test_one_full_key_lets_all_others_run(open_harness: HarnessMaker) -> None:
    rooms, registry = Rooms(), Registry()
    registry.job("limited.job", limits=[Concurrency(1, key=ward_of)])(rooms.stay)
    async with open_harness(registry) as harness:
        await enqueued(harness, "limited.job", *[1] * 30)
        ids = await enqueued(harness, "limited.job", 2, 3)
        harness.start(slots=4)
        await until("one of each runs", lambda: rooms.inside == Counter({"1": 1, "2": 1, "3": 1}))
        rooms.leave.set()
        await all_reach(harness, ids, State.COMPLETED)


async def test_why_names_the_limit(open_harness: HarnessMaker) -> None:
    rooms, registry = Rooms(), Registry()
    registry.job("ward.job", limits=[Concurrency(1, key=ward_of)])(rooms.stay)
    registry.job("type.job", limits=[Concurrency(1), Rate(100, 60)])(rooms.stay)
    async with open_harness(registry) as harness:
        _, waiting = await enqueued(harness, "ward.job", 7, 7)
        _, behind = await enqueued(harness, "type.job", 1, 2)
        harness.start()
        await until("both run", lambda: rooms.inside.total() == 2)
        engines = harness.engines
        reads = Reads(
            inspection=engines.inspection, bus=engines.bus, database=None, clock=engines.clock
        )
        await until("one waits", lambda: engines.inspection.limit_of(waiting))
        text = await reads.why(waiting)
        assert text.endswith(
            "for a limit that its type declares: at most 1 job at the same time for '7'."
        )
        assert (await reads.why(behind)).endswith(
            "for a limit that its type declares: at most 1 job at the same time, and 1 run."
        )
        why = await reads.why_queue("ward.job")
        assert "has no ready job, but 1 job waiting for a limit with a key, the oldest for" in why
        assert "declares at most 1 job at the same time for each value of a key, in the" in why
        assert "its type lets 1 job run at the same time, and 1 run" in await reads.why_queue(
            "type.job"
        )
        rooms.leave.set()


async def test_of_a_rate_no_more_begin_within_its_window(open_harness: HarnessMaker) -> None:
    rooms, registry = Rooms(), Registry()
    registry.job("limited.job", limits=[Rate(5, per_seconds=0.5)])(rooms.visit)
    before = time.monotonic()
    async with several(open_harness, registry) as harnesses:
        ids = await enqueued(harnesses[0], "limited.job", *["all"] * 14)
        for harness in harnesses:
            harness.start()
        await all_reach(harnesses[0], ids, State.COMPLETED)
    # Claims count, and a handler begins after its claim: so many begin after one window, and after two.
    for windows, jobs in ((1, 9), (2, 4)):
        assert sum(at - before > windows * 0.49 for at in rooms.began) >= jobs


async def test_a_key_that_cannot_be_made_is_an_error_of_its_job(open_harness: HarnessMaker) -> None:
    rooms, registry = Rooms(), Registry()
    registry.job("limited.job", limits=[Concurrency(1, key=ward_of)])(rooms.visit)
    async with open_harness(registry) as harness:
        [none, good, wrong] = await enqueued(harness, "limited.job", None, 1, [2])
        lacking = await harness.enqueue({}, type="limited.job", max_attempts=1)
        harness.start()
        await all_reach(harness, [none, good], State.COMPLETED)
        dead = await harness.reaches(lacking, State.DEAD)
        assert "limit of limited.job: ward_of (" in dead.view.detail
        failed = await harness.reaches(wrong, State.RETRYING)
        assert "returned [2], not text, a whole number, or None for no limit" in (
            failed.view.failure
        )


async def test_the_example_of_the_documentation_runs(open_harness: HarnessMaker) -> None:
    page = Path(__file__).parents[2] / "docs" / "limits.md"
    [example] = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)
    async with open_harness(names["app"]) as harness:
        ids = await enqueued(harness, "notify.citizen", 7, 7, 8)
        harness.start()
        for job_id in ids:
            assert (await harness.reaches(job_id)).result in (
                b'"notified ward 7"',
                b'"notified ward 8"',
            )


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Concurrency(1), "is not a list or tuple of Concurrency and Rate"),
        ([3], "limits[0] 3 is not a limit, such as Concurrency(3) or Rate(10, per_seconds=1)"),
        ([Concurrency(0)], "limits[0].most 0 is not a whole number from 1 to 10000"),
        ([Rate(1, 0)], "limits[0].per_seconds 0 is not a number of seconds, 0.01 to 604800"),
        ([Rate(1), Rate(1, key="ward")], "limits[1].key 'ward' is not a function"),  # type: ignore[arg-type]  # the mistake under test
    ],
)
def test_a_limit_is_checked_where_it_is_declared(limits: Any, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        Registry().job("limited.job", limits=limits)(lambda: None)
    assert message in str(caught.value)
