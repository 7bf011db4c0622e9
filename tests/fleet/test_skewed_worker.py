"""A worker whose clock is wrong: delays are those of the server's clock."""

from __future__ import annotations

import msgspec
import pytest

from hms_svc.domain.lifecycle import State, Trigger
from hms_svc.domain.outcome import Disposition
from hms_svc.ports.clock import SystemClock
from tests.support.fleet import Fleet

HOUR_MS = 3_600_000


class Skewed(SystemClock):
    """A wall clock that is off by a fixed time."""

    def __init__(self, by_ms: int) -> None:
        self._by_ms = by_ms

    def now_ms(self) -> int:
        return super().now_ms() + self._by_ms


@pytest.mark.parametrize("skew", [-HOUR_MS, HOUR_MS])
async def test_a_retry_waits_for_its_delay_by_the_servers_clock(fleet: Fleet, skew: int) -> None:
    fleet.broker._link.clock = Skewed(skew)  # type: ignore[attr-defined]  # the port has no such attribute, Redis's implementation has
    soon, later = await fleet.accept(2)
    jobs = await fleet.claim(2)
    delays = {soon: 0, later: 600_000}
    settlements = [
        msgspec.structs.replace(
            fleet.settlement(job),
            disposition=Disposition(
                state=State.RETRYING, trigger=Trigger.FAILED, delay_ms=delays[job.token.job_id]
            ),
        )
        for job in jobs
    ]
    assert await fleet.broker.settle(settlements) == []
    assert await fleet.broker.promote(10) == 1
    assert (await fleet.state(soon), await fleet.state(later)) == (State.QUEUED, State.RETRYING)
    seconds, micros = fleet.server.cli("TIME")
    detail = await fleet.detail(later)
    assert detail is not None
    assert detail.view.due_at is not None
    ahead = detail.view.due_at - (seconds * 1000 + micros // 1000)
    assert 500_000 < ahead <= 600_000
