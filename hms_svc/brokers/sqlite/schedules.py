"""Decides on the runs of schedules, and keeps their states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from hms_svc.brokers.codes import FIRST_TERMINAL, STATE_OF
from hms_svc.brokers.schedules import (
    ON_TIME_MS,
    SKIPPED_MISSED,
    SKIPPED_OVERLAP,
    SKIPPED_PAUSED,
    read_state,
)
from hms_svc.brokers.sqlite.enqueue import enqueue
from hms_svc.brokers.sqlite.statements import statements_of
from hms_svc.brokers.sqlite.transaction import FileTransaction
from hms_svc.domain.job import Job
from hms_svc.ports.control import NOT_KNOWN
from hms_svc.ports.schedules import DecidedRuns, DueRuns, ScheduleState, SkippedRun

SQL: Final = statements_of("schedules.sql")


def decide_runs(
    transaction: FileTransaction, due: Sequence[DueRuns], now: int
) -> list[DecidedRuns]:
    """Begin or skip each run that no call has decided yet."""
    return [_decide(transaction, each, now) for each in due]


def _decide(transaction: FileTransaction, due: DueRuns, now: int) -> DecidedRuns:
    state = _state_of(transaction, due.type)
    if not due.jobs:
        state = _declared(state, due, now)
        _keep(transaction, due.type, state)
        return DecidedRuns(state.decided, now)
    # If the state was lost, or is of a clock that was set back, the ids of jobs keep runs from beginning twice.
    decided = state.decided if state is not None and state.decided <= now else 0
    state = state or _declared(None, due, now)
    earlier = [tick for tick in due.earlier if decided < tick <= now]
    fresh = [job for job in due.jobs if decided < (job.not_before or 0) <= now]
    if not fresh:
        return DecidedRuns(state.decided, now)
    skipped = [SkippedRun(tick, SKIPPED_MISSED) for tick in earlier]
    is_on_time = now - (fresh[-1].not_before or 0) <= ON_TIME_MS
    missed = len(fresh) - max(due.catch_up, int(is_on_time))
    for number, job in enumerate(fresh):
        tick = job.not_before or 0
        why = SKIPPED_MISSED if number < missed else _obstacle(transaction, state, due.overlap)
        if why:
            skipped.append(SkippedRun(tick, why))
        else:
            enqueue(transaction, [job], now)
            state = msgspec.structs.replace(state, last_at=tick, last_job=job.id)
    state = msgspec.structs.replace(state, decided=fresh[-1].not_before or 0)
    _keep(transaction, due.type, _with_skips(state, skipped))
    return DecidedRuns(state.decided, now, tuple(skipped))


def _declared(state: ScheduleState | None, due: DueRuns, now: int) -> ScheduleState:
    if state is None:
        state = ScheduleState(cron=due.cron, decided=now)
    return msgspec.structs.replace(
        state,
        cron=due.cron,
        decided=state.decided if state.cron == due.cron else now,
        overlap=due.overlap,
        catch_up=due.catch_up,
        data=due.data,
        version=due.version,
    )


def _obstacle(transaction: FileTransaction, state: ScheduleState, overlap: str) -> str:
    """Return why a run is skipped, empty if it begins."""
    if state.paused_by:
        return SKIPPED_PAUSED.format(by=state.paused_by)
    return _overlap(transaction, state) if overlap == "skip" else ""


def _overlap(transaction: FileTransaction, state: ScheduleState) -> str:
    found = transaction.connection.execute(SQL["state_of_job"], (state.last_job,)).fetchone()
    if found is None or found[0] >= FIRST_TERMINAL:
        return ""
    return SKIPPED_OVERLAP.format(job=state.last_job, state=STATE_OF[found[0]].value)


def _with_skips(state: ScheduleState, skipped: Sequence[SkippedRun]) -> ScheduleState:
    if not skipped:
        return state
    last = skipped[-1]
    return msgspec.structs.replace(
        state,
        skipped=state.skipped + len(skipped),
        skipped_at=last.tick,
        skip_reason=last.why,
    )


def run_now(transaction: FileTransaction, job: Job, now: int) -> str:
    """Begin a run that an operator asks for; return why not, empty if it begins."""
    state = _state_of(transaction, job.type)
    if state is None:
        return NOT_KNOWN
    if state.overlap == "skip" and (why := _overlap(transaction, state)):
        return why
    enqueue(transaction, [job], now)
    _keep(transaction, job.type, msgspec.structs.replace(state, last_at=now, last_job=job.id))
    return ""


def pause(transaction: FileTransaction, type: str, by: str, reason: str, now: int) -> bool:
    """Pause a schedule, or resume it if `by` is empty; return whether it is known."""
    state = _state_of(transaction, type)
    if state is None:
        return False
    decided = state.decided if by or not state.paused_by else max(state.decided, now)
    paused = {"paused_by": by, "paused_at": now if by else 0, "pause_reason": reason}
    _keep(transaction, type, msgspec.structs.replace(state, decided=decided, **paused))
    return True


def _state_of(transaction: FileTransaction, type: str) -> ScheduleState | None:
    found = transaction.connection.execute(SQL["state"], (type,)).fetchone()
    return None if found is None else read_state(found[0])


def _keep(transaction: FileTransaction, type: str, state: ScheduleState) -> None:
    transaction.connection.execute(SQL["keep"], (type, msgspec.json.encode(state)))
