"""Keeps the next tick of every schedule with the broker, as a job that waits for its time."""

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
from hms_svc.sdk.registry import JobType, Registry

log: Final = logging.getLogger("hms_svc.runtime")
LEAD_MS: Final = 5_000


class Scheduler(Service):
    """Hands the next tick in before the one now waiting is due, so that one always waits.

    A tick's job has the tick's id, so any number of workers make one job of it. What was handed
    in is remembered to ask less, and never believed about what comes next. Nobody need
    remember anything: while no worker lives, the tick that waits is the one that is caught up.
    """

    def __init__(self, broker: Broker, registry: Registry, clock: Clock) -> None:
        super().__init__(interval_seconds=1.0)
        self._broker = broker
        self._clock = clock
        self._declared = [each for each in registry if each.schedule is not None]
        self._handed: dict[str, set[int]] = {}

    @property
    def texts(self) -> tuple[tuple[str, str], ...]:
        """The types that have a schedule, each with its text."""
        return tuple((each.type, each.schedule.text) for each in self._declared if each.schedule)

    async def run_once(self) -> None:
        """Submit the ticks that come next."""
        now = self._clock.now_ms()
        wanted = {each.type: set(_ticks(each, now)) for each in self._declared}
        jobs = [
            tick_job(declared, tick, now)
            for declared in self._declared
            for tick in sorted(wanted[declared.type] - self._handed.get(declared.type, set()))
        ]
        if jobs:
            # Only we make such ids: there stands the tick, with the data of its time or erased.
            for job_id in conflicts(await self._broker.enqueue(jobs)):
                log.warning("tick %s is there already, with other data", job_id)
            if failpoints.armed is not None:
                failpoints.reached("scheduler.enqueued")
        self._handed = wanted


def _ticks(declared: JobType, now_ms: int) -> Iterator[int]:
    """Return the ticks that are to wait, by the present clock alone: up to the first that is some seconds ahead."""
    assert declared.schedule is not None
    tick = now_ms
    while tick <= now_ms + LEAD_MS:
        tick = declared.schedule.next_after(tick)
        yield tick


def tick_job(declared: JobType, tick_ms: int, now_ms: int) -> Job:
    """Make the job of one tick.

    It waits without the unique key of its type, which the worker that claims it takes: held by
    a tick that only waits, the key would have the next one rejected before it is due.
    """
    return make_job(
        declared.type,
        declared.schedule_data,
        now_ms=now_ms,
        id=tick_id(declared.type, tick_ms),
        not_before=tick_ms,
        priority=declared.priority,
    )
