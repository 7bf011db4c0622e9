"""What brokers keep of schedules, and which of their runs have come due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from hms_svc.domain.job import FIRST_VERSION, Job
from hms_svc.domain.overlap import Overlap


class DueRuns(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as it is declared, and its runs that may have come due since the last decision.

    `jobs` are the newest of them, oldest first, each with its tick as `not_before`: as many as the
    schedule catches up, and at least one. `earlier` are the ticks before those. Without any the schedule
    is only declared: from then on its runs come due. `data` is that of its jobs (JSON), of this `version`.
    """

    type: str
    cron: str
    overlap: Overlap = "allow"
    catch_up: int = 1
    data: str = "null"
    version: int = FIRST_VERSION
    jobs: tuple[Job, ...] = ()
    earlier: tuple[int, ...] = ()


class SkippedRun(msgspec.Struct, frozen=True):
    """A run that was skipped: its tick (Unix ms), and why."""

    tick: int
    why: str


class DecidedRuns(msgspec.Struct, frozen=True):
    """What became of due runs: up to which time all are decided, and those that this call skipped.

    `now` is the time of the broker, by which it decided (Unix ms).
    """

    until: int
    now: int
    skipped: tuple[SkippedRun, ...] = ()


class ScheduleState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the broker keeps of a schedule; times are Unix milliseconds.

    All ticks up to `decided` are decided. `last_at` is the tick of the last run, or when an operator asked for it,
    0 if there was none, and `last_job` its job. `paused_by` is empty if the schedule is not paused.
    """

    cron: str
    decided: int
    overlap: Overlap = "allow"
    catch_up: int = 1
    data: str = "null"
    version: int = FIRST_VERSION
    last_at: int = 0
    last_job: str = ""
    skipped: int = 0
    skipped_at: int = 0
    skip_reason: str = ""
    paused_by: str = ""
    paused_at: int = 0
    pause_reason: str = ""


class ScheduleKeeper(Protocol):
    """Decides on the runs of schedules: a part of the broker."""

    async def decide_runs(self, due: Sequence[DueRuns]) -> list[DecidedRuns]:
        """Begin or skip each run of a schedule that no call has decided yet, in one step for each schedule.

        Of the runs that come due together the newest `catch_up` are kept, and one that is due since less than a
        minute; the others are skipped as missed. A run is also skipped while its schedule is paused, and, if
        `overlap` is "skip", while the job of the run before has not ended. A schedule that is declared for the first
        time, or with other cron fields, comes due from then on.
        """
        ...

    async def run_now(self, job: Job) -> str:
        """Begin a run of the job's type's schedule that an operator asks for, also while it is paused.

        Return why not, empty if it begins: `overlap` is "skip" and the job of the run before has not
        ended, or the schedule is not known. Calling again after a lost reply begins no other.
        """
        ...
