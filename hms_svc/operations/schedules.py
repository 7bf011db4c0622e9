"""The schedules that live workers keep: running one of them now, pausing and resuming it."""

from __future__ import annotations

import msgspec

from hms_svc.domain.errors import Refused, UnknownId
from hms_svc.domain.job import Job, make_job
from hms_svc.domain.lifecycle import State
from hms_svc.domain.overlap import Overlap
from hms_svc.domain.schedule import read_schedule, tick_id
from hms_svc.domain.strict_json import decode
from hms_svc.operations.action_table import AUDITED
from hms_svc.operations.journal import Journal
from hms_svc.ports.broker import Broker
from hms_svc.ports.clock import Clock
from hms_svc.ports.control import NOT_KNOWN, Control
from hms_svc.ports.inspection import Inspection
from hms_svc.ports.schedules import ScheduleState
from hms_svc.sdk.job_defaults import complete
from hms_svc.sdk.registry import Registry


class ScheduleView(msgspec.Struct, frozen=True, kw_only=True):
    """One type's schedule. `next_job` is the id that the job of the next run will have.

    The last run is the last one that began, None if there was none; its state is None if its job is not
    known any more. `skipped` runs were skipped since the schedule exists, the last at `skipped_at`.
    """

    type: str
    cron: str
    description: str
    overlap: Overlap
    catch_up: int
    next_at: int
    next_job: str
    last_at: int | None
    last_job: str | None
    last_state: State | None
    skipped: int
    skipped_at: int | None
    skip_reason: str
    paused_by: str
    paused_at: int | None
    pause_reason: str

    @property
    def is_paused(self) -> bool:
        """Whether an operator has paused it: its runs are skipped."""
        return bool(self.paused_by)


class ScheduleService:
    """Reads the schedules that live workers report, and does an operator's audited actions on them."""

    def __init__(
        self,
        inspection: Inspection,
        clock: Clock,
        *,
        broker: Broker,
        control: Control,
        journal: Journal,
        registry: Registry | None,
    ) -> None:
        self._inspection = inspection
        self._clock = clock
        self._registry = registry
        self._broker = broker
        self._control = control
        self._journal = journal

    async def all(self) -> list[ScheduleView]:
        """Return all schedules that a live worker keeps, by type; three reads, however many there are."""
        workers = await self._inspection.workers()
        kept = dict(kept for worker in workers for kept in worker.schedules)
        if not kept:
            return []
        states = await self._inspection.schedules()
        now = self._clock.now_ms()
        known = {
            type: states.get(type) or ScheduleState(cron=kept[type], decided=now) for type in kept
        }
        last = [state.last_job for state in known.values() if state.last_job]
        details = await self._inspection.details(last) if last else []
        ended_as = {id: found.view.state for id, found in zip(last, details, strict=True) if found}
        return [_view(type, kept[type], known[type], ended_as, now) for type in sorted(kept)]

    async def run(self, type: str, *, note: str = "") -> str:
        """Run the job of a type's schedule now, and return its id; its ticks are not affected.

        Raises UnknownId for a schedule that no worker has declared, and Refused while the run before has not
        ended, if they must not overlap.
        """
        self._journal.check_allowed(AUDITED["run-now"])
        states = await self._inspection.schedules()
        if type not in states:
            raise _unknown(type, states)
        action, job = AUDITED["run-now"], self._job_of(type, states[type])
        await self._journal.intend(action, job.id, {"type": type, "schedule": True, "note": note})
        why = await self._broker.run_now(job)
        await self._journal.conclude(action, [(job.id, {"done": not why, "why": why})])
        if why:
            raise Refused(f"schedule of {type}: {why}")
        return job.id

    def _job_of(self, type: str, state: ScheduleState) -> Job:
        """Return the job of a run. As the job of a tick, it is due at once, and gets its unique key at the claim."""
        now = self._clock.now_ms()
        job = make_job(type, decode(state.data), now_ms=now, version=state.version)
        if self._registry is None:
            return job
        completed = complete(job, self._registry)
        return msgspec.structs.replace(completed, unique_key=None, unique=None, not_before=None)

    async def pause(self, type: str, *, reason: str = "") -> None:
        """Skip the runs of a schedule until it is resumed. Raises UnknownId as `run` does."""
        await self._act("pause-schedule", type, reason)

    async def resume(self, type: str) -> None:
        """Let the runs of a paused schedule begin that come due from now on. Raises UnknownId as `run` does."""
        await self._act("resume-schedule", type, "")

    async def _act(self, name: str, type: str, reason: str) -> None:
        action, subject = AUDITED[name], f"schedule:{type}"
        self._journal.check_allowed(action)
        states = await self._inspection.schedules()
        if type not in states:
            raise _unknown(type, states)
        await self._journal.intend(action, subject, {"note": reason})
        if name == "pause-schedule":
            done = await self._control.pause_schedule(type, by=self._journal.actor, reason=reason)
        else:
            done = await self._control.resume_schedule(type)
        outcome = {"done": True} if done else {"done": False, "why": NOT_KNOWN}
        await self._journal.conclude(action, [(subject, outcome)])


def _unknown(type: str, states: dict[str, ScheduleState]) -> UnknownId:
    known = ", ".join(sorted(states)) or "none"
    return UnknownId(f"no worker has declared a schedule for {type!r}; the schedules are: {known}")


def _view(
    type: str, text: str, state: ScheduleState, ended_as: dict[str, State], now: int
) -> ScheduleView:
    schedule = read_schedule(text)
    next_at = schedule.next_after(now)
    return ScheduleView(
        type=type,
        cron=text,
        description=schedule.description,
        overlap=state.overlap,
        catch_up=state.catch_up,
        next_at=next_at,
        next_job=tick_id(type, next_at),
        last_at=state.last_at or None,
        last_job=state.last_job or None,
        last_state=ended_as.get(state.last_job),
        skipped=state.skipped,
        skipped_at=state.skipped_at or None,
        skip_reason=state.skip_reason,
        paused_by=state.paused_by,
        paused_at=state.paused_at or None,
        pause_reason=state.pause_reason,
    )
