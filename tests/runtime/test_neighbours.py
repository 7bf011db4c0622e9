"""Jobs share queries and commits: one that asks for nonsense harms itself alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hms_svc import RunningJob
from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.lifecycle import State
from tests.support.worker import HarnessMaker, registry_of

Question = tuple[str, tuple[Any, ...], dict[str, Any]]
CAUGHT_AT_ONCE: list[Question] = [
    ("insert_case", ({},), {"key": "\ud800"}),
    ("insert_case", ({},), {"kind": "\ud800"}),
    ("insert_case", ({},), {"kind": object()}),
    ("insert_case", ({},), {"urgency": object()}),
    ("insert_case", ({},), {"events": [{"type": "\ud800"}]}),
]
CAUGHT_BY_THE_DATABASE: list[Question] = [
    ("case_exists", (1.0, 2.0), {"radius_m": 10_000.0}),
    ("case_exists", (1.0, 2.0), {"radius_m": "far"}),
    ("case_exists", (1.0, 2.0), {"kind": "\ud800"}),
    ("case_exists", (1.0, 2.0), {"kind": object()}),
    ("count_reports", ("\ud800",), {}),
    ("count_reports", (object(),), {}),
    ("insert_case", ({},), {"urgency": 2**70}),
]


@pytest.mark.parametrize(("name", "arguments", "options"), CAUGHT_AT_ONCE)
async def test_nonsense_is_refused_where_it_is_asked(
    open_harness: HarnessMaker, name: str, arguments: Any, options: Any
) -> None:
    await fails_alone(open_harness, name, arguments, options)


@pytest.mark.parametrize(("name", "arguments", "options"), CAUGHT_BY_THE_DATABASE)
async def test_nonsense_in_a_batch_fails_alone(
    open_harness: HarnessMaker, name: str, arguments: Any, options: Any
) -> None:
    await fails_alone(open_harness, name, arguments, options)


async def fails_alone(open_harness: HarnessMaker, name: str, arguments: Any, options: Any) -> None:
    together = asyncio.Barrier(4)

    async def handler(job: RunningJob) -> Any:
        await together.wait()
        number = job.data["number"]
        if number == 0:
            return await getattr(job.dao, name)(*arguments, **options)
        sane = {"case_exists": (number, 5.0), "count_reports": (f"usr-{number}",)}
        return await getattr(job.dao, name)(*sane.get(name, ({"lat": number, "lon": 5.0},)))

    async with open_harness(registry_of(handler, retry=RetryPolicy(max_attempts=1))) as harness:
        harness.start()
        ids = [await harness.enqueue({"number": number}) for number in range(4)]
        ends = [(await harness.reaches(job_id)).view for job_id in ids]
        assert [view.state for view in ends[1:]] == [State.COMPLETED] * 3
        assert (ends[0].state, ends[0].reason) == (State.DEAD, "error")
