"""The answer about one job type."""

from __future__ import annotations

import msgspec

from hms_svc.domain.timestamps import to_rfc3339
from hms_svc.operations.answers.jobs import EndedJobAnswer, FailureGroupAnswer
from hms_svc.operations.answers.schedules import ScheduleAnswer
from hms_svc.operations.answers.service import QueueAnswer, queue_fields
from hms_svc.operations.answers.times import Time, time_or_none
from hms_svc.operations.type_detail import Percentiles, ServingWorker, TypeDetail, TypeSettings


class ServingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that serves the type: at most `max_slots` of its `slots` run its jobs, and `running` of them do."""

    worker: str
    slots: int
    max_slots: int
    busy: int
    running: int
    last_seen_at: Time
    is_silent: bool

    @classmethod
    def of(cls, worker: ServingWorker) -> ServingAnswer:
        """Return the answer for a worker."""
        return ServingAnswer(
            worker=worker.worker,
            slots=worker.slots,
            max_slots=worker.most,
            busy=worker.busy,
            running=worker.running,
            last_seen_at=to_rfc3339(worker.last_seen_at),
            is_silent=worker.is_silent,
        )


class TypeDetailAnswer(QueueAnswer, frozen=True, kw_only=True):
    """Everything that is known about a job type; `settings` are null if this program has no code for it."""

    why: str
    paused_at: Time | None
    duration_ms: Percentiles | None
    workers: tuple[ServingAnswer, ...]
    failures: tuple[FailureGroupAnswer, ...]
    newest: tuple[EndedJobAnswer, ...]
    settings: TypeSettings | None
    schedule: ScheduleAnswer | None

    @classmethod
    def of_type(cls, detail: TypeDetail) -> TypeDetailAnswer:
        """Return the answer for a type."""
        schedule = detail.schedule
        return TypeDetailAnswer(
            **queue_fields(detail.queue, detail.at),
            why=detail.why,
            paused_at=time_or_none(detail.paused_at),
            duration_ms=detail.took,
            workers=tuple(map(ServingAnswer.of, detail.workers)),
            failures=tuple(map(FailureGroupAnswer.of, detail.groups)),
            newest=tuple(map(EndedJobAnswer.of, detail.newest)),
            settings=detail.settings,
            schedule=None if schedule is None else ScheduleAnswer.of(schedule),
        )
