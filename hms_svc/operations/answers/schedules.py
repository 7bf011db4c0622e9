"""Answers about schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import msgspec
from msgspec import UNSET, UnsetType

from hms_svc.domain.lifecycle import State
from hms_svc.domain.overlap import Overlap
from hms_svc.domain.timestamps import to_rfc3339
from hms_svc.operations.answers.times import Time

if TYPE_CHECKING:
    from hms_svc.operations.schedules import ScheduleView


class ScheduleAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The schedule of a job type: its rules, its next run and its last one.

    `next_job` is the id that the job of the next run will have. `last_state` is null if the last job is not
    known any more. `skipped` runs were skipped since the schedule exists, the last at `skipped_at` for
    `skip_reason`.
    """

    type: str
    cron: str
    description: str
    overlap: Overlap
    catch_up: int
    next_at: Time
    next_job: str
    last_at: Time | None
    last_job: str | None
    last_state: State | None
    skipped: int
    paused: bool
    skipped_at: Time | UnsetType = UNSET
    skip_reason: str | UnsetType = UNSET
    paused_by: str | UnsetType = UNSET
    paused_at: Time | UnsetType = UNSET
    pause_reason: str | UnsetType = UNSET

    @classmethod
    def of(cls, view: ScheduleView) -> Self:
        """Return the answer for a schedule."""
        return cls(
            type=view.type,
            cron=view.cron,
            description=view.description,
            overlap=view.overlap,
            catch_up=view.catch_up,
            next_at=to_rfc3339(view.next_at),
            next_job=view.next_job,
            last_at=None if view.last_at is None else to_rfc3339(view.last_at),
            last_job=view.last_job,
            last_state=view.last_state,
            skipped=view.skipped,
            paused=view.is_paused,
            skipped_at=UNSET if view.skipped_at is None else to_rfc3339(view.skipped_at),
            skip_reason=view.skip_reason or UNSET,
            paused_by=view.paused_by or UNSET,
            paused_at=UNSET if view.paused_at is None else to_rfc3339(view.paused_at),
            pause_reason=view.pause_reason if view.is_paused else UNSET,
        )


class ScheduleList(msgspec.Struct, frozen=True):
    """All schedules."""

    schedules: tuple[ScheduleAnswer, ...]


class ScheduleRun(msgspec.Struct, frozen=True, kw_only=True):
    """The job that a schedule has enqueued, and the number of jobs."""

    type: str
    id: str
    enqueued: int


class SchedulePaused(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a schedule is paused."""

    type: str
    paused: bool
