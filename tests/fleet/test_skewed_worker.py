"""A worker whose clock is wrong: delays are those of the server's clock."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hms_svc import bootstrap
from hms_svc.domain.job import make_job
from hms_svc.domain.lifecycle import State, Trigger
from hms_svc.domain.outcome import Disposition
from hms_svc.ports.broker import ClaimRequest, ServedType
from hms_svc.ports.clock import SystemClock
from hms_svc.sdk.registry import Registry
from hms_svc.settings import load_settings
from tests.support.fleet import TYPE, Fleet
from tests.support.redis_server import RedisServer
from tests.support.waiting import PATIENCE_SECONDS

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


async def test_the_engines_of_a_worker_lease_by_the_time_of_the_server(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    settings = load_settings(
        {"data_dir": str(tmp_path), "broker_url": redis_server.url()},
        environ={"HMS_SVC_CONFIG": ""},
    ).settings
    async with bootstrap.engines(settings, Registry()) as engines:
        job = make_job(TYPE, {}, now_ms=engines.clock.now_ms())
        await engines.broker.enqueue([job])
        served = (ServedType(TYPE, 1),)
        [claimed] = await engines.broker.claim(ClaimRequest("worker-1", served, 1, 30_000))
        end = float(redis_server.cli("ZSCORE", f"hms:default:processing:{TYPE}", job.id))
        seconds, _ = redis_server.cli("TIME")
        assert claimed.token.job_id == job.id
        # The worker's own lease clock counts from the start of the machine.
        assert abs(end / 1000 - 30 - int(seconds)) < PATIENCE_SECONDS
