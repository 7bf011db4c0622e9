"""The relay rests between rounds, so that under load a round has what many jobs have committed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from hms_svc import Registry
from hms_svc.domain.event import Event
from hms_svc.runtime.outbox_relay import LONGEST_REST_SECONDS, RESTS, OutboxRelay
from tests.support.database_requests import effect
from tests.support.waiting import until
from tests.support.worker import HarnessMaker, WorkerHarness


class HeldRelay(OutboxRelay):
    """Rests until it may go on."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.rests = 0
        self.may_go_on = asyncio.Event()

    async def _rest(self) -> None:
        self.rests += 1
        await self.may_go_on.wait()


def parts_of(harness: WorkerHarness) -> tuple[Any, Any, Any]:
    engines = harness.engines
    return engines.database.outbox, engines.bus, engines.broker


async def test_what_is_committed_while_the_relay_rests_leaves_in_one_round(
    open_harness: HarnessMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_harness(Registry()) as harness:
        rounds: list[int] = []
        effects, bus = harness.engines.database.effects, harness.engines.bus
        publish = bus.publish

        async def counted(events: Sequence[Event]) -> None:
            rounds.append(len(events))
            await publish(events)

        monkeypatch.setattr(bus, "publish", counted)
        relay = HeldRelay(*parts_of(harness))
        await effects.commit([effect("first", placed=False)])
        running = asyncio.create_task(relay.run())
        await until("it rests", lambda: relay.rests == 1)
        for number in range(3):
            await effects.commit([effect(f"later-{number}", placed=False)])
            relay.wake()
        assert rounds == [1]
        relay.may_go_on.set()
        await until("the others are relayed", lambda: sum(rounds) == 4)
        assert rounds == [1, 3]
        relay.stop()
        await running


@pytest.mark.parametrize(("seconds", "rest"), [(0.002, RESTS * 0.002), (2.0, LONGEST_REST_SECONDS)])
async def test_the_rest_is_in_proportion_to_the_round_and_bounded(
    open_harness: HarnessMaker, seconds: float, rest: float
) -> None:
    async with open_harness(Registry()) as harness:
        relay = OutboxRelay(*parts_of(harness))
        moments = iter((10.0, 10.0 + seconds))
        relay._loop = SimpleNamespace(time=lambda: next(moments))  # type: ignore[assignment]  # its clock only
        await relay.run_once()
        assert relay.rest_seconds == pytest.approx(rest)
