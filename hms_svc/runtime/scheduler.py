"""Lets the runs of schedules begin when they are due."""

from __future__ import annotations

import logging
from typing import Final

from hms_svc.domain import failpoints
from hms_svc.domain.job import Job, encode_data, make_job
from hms_svc.domain.schedule import tick_id
from hms_svc.domain.timestamps import to_rfc3339
from hms_svc.ports.broker import Broker
from hms_svc.ports.clock import Clock
from hms_svc.ports.schedules import DueRuns
from hms_svc.runtime.loop import Service
from hms_svc.sdk.job_defaults import stamped
from hms_svc.sdk.job_type import JobType
from hms_svc.sdk.registry import Registry

log: Final = logging.getLogger("hms_svc.runtime")
CLOCK_TOLERANCE_MS: Final = 60_000
LOOKED_BACK_MS: Final = 7 * 86_400_000
"""Runs that were due earlier than this are not counted as missed: each of them takes time."""
MOST_LOGGED: Final = 10
"""Of runs that are skipped at once only the last ones have a line each in the log."""


class Scheduler(Service):
    """Has the broker decide on each run that is due: it begins or is skipped once, whoever asks first.

    The broker keeps up to which time that was decided, so that it goes on from there after an outage. Here it is
    remembered only to save calls, and so is by how much the broker's clock, which counts, is ahead of this one.
    """

    def __init__(self, broker: Broker, registry: Registry, clock: Clock) -> None:
        super().__init__(interval_seconds=1.0)
        self._broker = broker
        self._clock = clock
        self._declared = [each for each in registry if each.schedule is not None]
        self._decided: dict[str, int] = {}
        self._next: dict[str, int] = {}
        self._ahead_ms = 0

    @property
    def texts(self) -> tuple[tuple[str, str], ...]:
        """The types that have a schedule, each with its cron text."""
        return tuple((each.type, each.schedule.text) for each in self._declared if each.schedule)

    async def run_once(self) -> None:
        """Declare the schedules that are not declared yet, and decide on the runs that are due."""
        now = self._clock.now_ms()
        await self._decide(
            [_runs(each) for each in self._declared if each.type not in self._decided]
        )
        due = [self._due(each, now) for each in self._declared]
        await self._decide([each for each in due if each is not None])

    async def _decide(self, due: list[DueRuns]) -> None:
        if not due:
            return
        answers = await self._broker.decide_runs(due)
        now = self._clock.now_ms()
        if failpoints.armed is not None:
            failpoints.reached("scheduler.enqueued")
        for each, decided in zip(due, answers, strict=True):
            self._decided[each.type] = decided.until
            self._ahead_ms = decided.now - now
            self._next.pop(each.type, None)
            if (earlier := len(decided.skipped) - MOST_LOGGED) > 0:
                log.warning("schedule of %s: runs skipped before these: %d", each.type, earlier)
            for skipped in decided.skipped[-MOST_LOGGED:]:
                at = to_rfc3339(skipped.tick)
                log.warning(
                    "schedule of %s: the run of %s is skipped, %s", each.type, at, skipped.why
                )

    def _due(self, declared: JobType, now: int) -> DueRuns | None:
        type, schedule = declared.type, declared.schedule
        assert schedule is not None
        if self._decided[type] > now + CLOCK_TOLERANCE_MS:
            # That was decided while a clock was ahead. Runs that have begun have their ids.
            self._decided[type] = now
            self._next.pop(type, None)
        if type not in self._next:
            self._next[type] = schedule.next_after(self._decided[type])
        by_broker = now + self._ahead_ms
        if self._next[type] > max(now, by_broker):
            return None
        # Either clock may have been set since: if none is due by the broker's, it says again what time it is.
        after = max(self._decided[type], min(now, by_broker) - LOOKED_BACK_MS)
        ticks = list(schedule.between(after, by_broker)) or list(schedule.between(after, now))
        if not ticks:
            return None
        first = max(0, len(ticks) - max(1, declared.catch_up))
        jobs = tuple(tick_job(declared, tick, now) for tick in ticks[first:])
        return _runs(declared, jobs, tuple(ticks[:first]))


def _runs(declared: JobType, jobs: tuple[Job, ...] = (), earlier: tuple[int, ...] = ()) -> DueRuns:
    assert declared.schedule is not None
    return DueRuns(
        type=declared.type,
        cron=declared.schedule.text,
        overlap=declared.overlap,
        catch_up=declared.catch_up,
        data=encode_data(declared.schedule_data).decode(),
        version=declared.version,
        jobs=jobs,
        earlier=earlier,
    )


def tick_job(declared: JobType, tick_ms: int, now_ms: int) -> Job:
    """Return the job of one run.

    It has no unique key of its type: the worker that claims it takes one.
    """
    job = make_job(
        declared.type,
        declared.schedule_data,
        now_ms=now_ms,
        id=tick_id(declared.type, tick_ms),
        not_before=tick_ms,
        priority=declared.priority,
    )
    return stamped(job, declared)
