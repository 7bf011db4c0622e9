"""`serve --drain` is not done while a job of another process may still leave a follow-up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from hms_svc.domain.job import ClaimedJob
from hms_svc.ports.stores import OutboxEntry, OutboxStore
from hms_svc.runtime.drainer import Drainer
from hms_svc.runtime.in_flight import InFlight
from hms_svc.runtime.settler import Settler
from tests.support.broker_engines import TYPE, BrokerHarness, ManualClock


class OtherProcess:
    """An outbox that is empty when it is read; `meanwhile` is what another process does just then."""

    def __init__(self, meanwhile: Callable[[], Awaitable[object]]) -> None:
        self.meanwhile = meanwhile

    async def waiting(self, limit: int) -> list[OutboxEntry]:
        await self.meanwhile()
        return []


class Nothing:
    backlog = 0


async def is_drained(
    harness: BrokerHarness, clock: ManualClock, meanwhile: Callable[[], Awaitable[object]]
) -> bool:
    drained: list[bool] = []
    outbox = cast("OutboxStore", OtherProcess(meanwhile))
    drainer = Drainer(
        harness.inspection,
        outbox,
        (TYPE,),
        InFlight(),
        cast("Settler", Nothing()),
        clock,
        lambda: True,
        lambda: drained.append(True),
    )
    await drainer.run_once()
    return bool(drained)


async def nothing() -> Any:
    """Do nothing meanwhile."""


@pytest.mark.parametrize("moment", ["before", "meanwhile"])
async def test_a_job_that_ends_while_it_is_looked_is_seen(
    harness: BrokerHarness, clock: ManualClock, moment: str
) -> None:
    async def run_one() -> None:
        [claimed] = await harness.claim(1)
        await harness.complete(claimed)

    async def follow_up() -> None:
        await harness.accept()
        await run_one()

    async def end(running: ClaimedJob) -> None:
        if not (await harness.inspection.queues([TYPE]))[0].counts.completed:
            await harness.complete(running)

    await harness.accept()
    if moment == "before":
        [running] = await harness.claim(1)
        assert not await is_drained(harness, clock, lambda: end(running))
        await end(running)
    else:
        await run_one()
        assert not await is_drained(harness, clock, follow_up)
    assert await is_drained(harness, clock, nothing)
