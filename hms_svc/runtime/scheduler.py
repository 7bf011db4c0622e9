"""Keeps the next tick of every schedule in the broker, as a scheduled job."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final

from hms_svc.domain import failpoints
from hms_svc.domain.job import Job, make_job
from hms_svc.domain.schedule import tick_id
from hms_svc.ports.broker import Broker, conflicts
from hms_svc.ports.clock import Clock
from hms_svc.runtime.loop import Service
from hms_svc.sdk.job_type import JobType
from hms_svc.sdk.registry import Registry

log: Final = logging.getLogger("hms_svc.runtime")
LEAD_MS: Final = 5_000


class Scheduler(Service):
    """Submits the next tick before the waiting one is due, so that there is always one in the broker.

    The job id is derived from the tick, so any number of workers create one job for it. Submitted
    ticks are remembered only to save calls. No state is needed across restarts: while no worker
    runs, the waiting tick is the one that is caught up.
    """

    def __init__(self, broker: Broker, registry: Registry, clock: Clock) -> None:
        super().__init__(interval_seconds=1.0)
        self._broker = broker
        self._clock = clock
        self._declared = [each for each in registry if each.schedule is not None]
        self._submitted: dict[str, set[int]] = {}

    @property
    def texts(self) -> tuple[tuple[str, str], ...]:
        """The types that have a schedule, each with its cron text."""
        return tuple((each.type, each.schedule.text) for each in self._declared if each.schedule)

    async def run_once(self) -> None:
        """Submit the next ticks."""
        now = self._clock.now_ms()
        wanted = {each.type: set(_ticks(each, now)) for each in self._declared}
        jobs = [
            tick_job(declared, tick, now)
            for declared in self._declared
            for tick in sorted(wanted[declared.type] - self._submitted.get(declared.type, set()))
        ]
        if jobs:
            # Only this code makes such ids: it is the tick, with the data of its time or erased.
            for job_id in conflicts(await self._broker.enqueue(jobs)):
                log.warning("tick %s exists already, with other data", job_id)
            if failpoints.armed is not None:
                failpoints.reached("scheduler.enqueued")
        self._submitted = wanted


def _ticks(declared: JobType, now_ms: int) -> Iterator[int]:
    """Return the ticks to submit: those from now up to the first that is more than LEAD_MS ahead."""
    assert declared.schedule is not None
    tick = now_ms
    while tick <= now_ms + LEAD_MS:
        tick = declared.schedule.next_after(tick)
        yield tick


def tick_job(declared: JobType, tick_ms: int, now_ms: int) -> Job:
    """Return the job of one tick.

    It waits without the unique key of its type, which the worker takes when it claims the job:
    if a waiting tick held the key, the next tick would be rejected before it is due.
    """
    return make_job(
        declared.type,
        declared.schedule_data,
        now_ms=now_ms,
        id=tick_id(declared.type, tick_ms),
        not_before=tick_ms,
        priority=declared.priority,
    )
