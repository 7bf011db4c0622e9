"""The schedules that live workers keep, and running one of them now."""

from __future__ import annotations

import msgspec

from hms_svc.domain.errors import UnknownId
from hms_svc.domain.lifecycle import State
from hms_svc.domain.schedule import read_schedule, tick_id
from hms_svc.domain.strict_json import JsonValue, decode
from hms_svc.operations.actions import Actions
from hms_svc.operations.intake import Draft
from hms_svc.operations.trial_jobs import TrialReport
from hms_svc.ports.clock import Clock
from hms_svc.ports.inspection import Inspection


class ScheduleView(msgspec.Struct, frozen=True, kw_only=True):
    """One type's schedule. The states are None if a tick's job is unknown, or no longer known."""

    type: str
    cron: str
    description: str
    next_at: int
    next_job: str
    next_state: State | None
    last_at: int
    last_job: str
    last_state: State | None


class ScheduleService:
    """Reads the schedules that live workers report, and runs one now as an audited action."""

    def __init__(self, inspection: Inspection, clock: Clock, actions: Actions) -> None:
        self._inspection = inspection
        self._clock = clock
        self._actions = actions

    async def all(self) -> list[ScheduleView]:
        """Return all schedules, by type; two reads, however many there are."""
        kept = await self._kept()
        now = self._clock.now_ms()
        ticks = {
            type: (schedule.next_after(now), schedule.last_before(now))
            for type, schedule in ((type, read_schedule(text)) for type, text in kept)
        }
        ids = [tick_id(type, tick) for type, both in ticks.items() for tick in both]
        details = await self._inspection.details(ids) if ids else []
        states = {
            id: found.view.state if found else None for id, found in zip(ids, details, strict=True)
        }
        return [_view(type, text, *ticks[type], states) for type, text in kept]

    async def run(self, type: str, *, note: str = "") -> TrialReport:
        """Enqueue the job of a type's schedule now; its ticks are not affected.

        Raises UnknownId if no live worker keeps a schedule of the type, or if the
        job of its next tick, whose data it uses, does not exist.
        """
        kept = dict(await self._kept())
        if type not in kept:
            known = ", ".join(kept) or "none"
            raise UnknownId(
                f"no live worker has a schedule for {type!r}; the schedules are: {known}"
            )
        tick = tick_id(type, read_schedule(kept[type]).next_after(self._clock.now_ms()))
        [found] = await self._inspection.details([tick])
        if found is None:
            raise UnknownId(f"job {tick} of the next tick does not exist, so its data is not known")
        value: dict[str, JsonValue] = {"type": type, "data": decode(found.view.data)}
        return await self._actions.enqueue_test(Draft(f"schedule of {type}", value), note=note)

    async def _kept(self) -> list[tuple[str, str]]:
        workers = await self._inspection.workers()
        return sorted(dict(kept for worker in workers for kept in worker.schedules).items())


def _view(
    type: str, text: str, next_at: int, last_at: int, states: dict[str, State | None]
) -> ScheduleView:
    next_job, last_job = tick_id(type, next_at), tick_id(type, last_at)
    return ScheduleView(
        type=type,
        cron=text,
        description=read_schedule(text).description,
        next_at=next_at,
        next_job=next_job,
        next_state=states[next_job],
        last_at=last_at,
        last_job=last_job,
        last_state=states[last_job],
    )
