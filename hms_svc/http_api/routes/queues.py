"""Queues, workers, schedules, failures: the state of the service."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends
from pydantic import Field
from starlette.responses import Response

from hms_svc.domain.views import WorkerState
from hms_svc.http_api.action_routes import Operator, action_route
from hms_svc.http_api.requests import Admitted, Body, Note, admitted, answer, read_body
from hms_svc.http_api.route_description import describes
from hms_svc.operations.action_table import ON_WORKERS
from hms_svc.operations.answers.acts import OutcomeAnswer
from hms_svc.operations.answers.jobs import FailureGroupAnswer, FailureList
from hms_svc.operations.answers.schedules import (
    ScheduleAnswer,
    ScheduleList,
    SchedulePaused,
    ScheduleRun,
)
from hms_svc.operations.answers.service import (
    Paused,
    QueueAnswer,
    QueueList,
    StatusAnswer,
    WorkerAnswer,
    WorkerList,
    WorkerStateRequested,
)
from hms_svc.operations.tokens import Scope

router: Final = APIRouter(tags=["queues"])
Viewer = Annotated[Admitted, Depends(admitted(Scope.VIEW))]


class Pause(Body):
    """The reason; and whether new jobs are rejected over HTTP and in envelopes too."""

    reason: str = Field(default="", max_length=1000)
    intake: bool = False


class Reason(Body):
    """The reason; recorded in the audit log, and shown with the worker or the schedule."""

    reason: str = Field(default="", max_length=1000)


class Nothing(Body):
    """An empty object."""


@router.get("/status", **describes("Status"))
async def get_status(caller: Viewer) -> Response:
    """Return queues, workers, totals and health."""
    return answer(StatusAnswer.of(await caller.api.reads.status()))


@router.get("/queues", **describes("QueueList"))
async def list_queues(caller: Viewer) -> Response:
    """List queues with their counts: at most 1000, those with workers first."""
    reads = caller.api.reads
    now = reads.now_ms()
    queues, left_off = await reads.listed_queues(await reads.workers())
    return answer(QueueList(tuple(QueueAnswer.of(queue, now) for queue in queues), left_off))


@action_route(
    router,
    "pause",
    operation="pause_queue",
    detail="With `intake`, new ones are rejected over HTTP and in envelopes.",
    **describes("Paused", body="Pause"),
)
async def _pause(type: str, caller: Operator) -> Response:
    body = await read_body(caller.request, Pause)
    await caller.operations.actions.pause(type, reason=body.reason, intake=body.intake)
    return answer(Paused(type=type, paused=True, intake_paused=body.intake))


@action_route(
    router,
    "resume",
    operation="resume_queue",
    **describes("Paused", body="Nothing"),
)
async def _resume(type: str, caller: Operator) -> Response:
    await read_body(caller.request, Nothing)
    await caller.operations.actions.resume(type)
    return answer(Paused(type=type, paused=False, intake_paused=False))


@action_route(
    router,
    "purge",
    operation="purge_queue",
    **describes("Outcome", body="Note", problems=(404,)),
)
async def _purge(type: str, caller: Operator) -> Response:
    body = await read_body(caller.request, Note)
    report = await caller.operations.actions.purge(type, note=body.note)
    return answer(OutcomeAnswer.of("purge", report))


@router.get("/workers", **describes("WorkerList"))
async def list_workers(caller: Viewer) -> Response:
    """List the live workers, with the jobs that they are running."""
    reads = caller.api.reads
    now = reads.now_ms()
    workers = await reads.workers()
    return answer(WorkerList(tuple(WorkerAnswer.of(worker, now) for worker in workers)))


def _add_route(state: WorkerState) -> None:
    """Add the route that requests a state of a worker."""
    action = ON_WORKERS[state]

    @action_route(
        router,
        action.name,
        operation=f"{action.verb}_worker",
        **describes("WorkerStateRequested", 202, body="Reason", problems=(404, 409)),
    )
    async def request_state(worker: str, caller: Operator) -> Response:
        body = await read_body(caller.request, Reason)
        await caller.operations.actions.ask_worker(worker, state, reason=body.reason)
        return answer(WorkerStateRequested(worker=worker, wanted=state), 202)


for _state in WorkerState:
    _add_route(_state)


@router.get("/failures", **describes("FailureList"))
async def list_failures(caller: Viewer) -> Response:
    """List retrying, dead and rejected jobs by cause: ten thousand failures of one bug are one row."""
    groups = await caller.api.reads.failures()
    return answer(FailureList(tuple(map(FailureGroupAnswer.of, groups))))


@router.get("/schedules", **describes("ScheduleList"))
async def list_schedules(caller: Viewer) -> Response:
    """List the schedules of the live workers."""
    found = await caller.operations.schedules.all()
    return answer(ScheduleList(tuple(map(ScheduleAnswer.of, found))))


@action_route(
    router,
    "run-now",
    operation="run_schedule",
    detail="409 if runs must not overlap, and the run before has not ended.",
    **describes("ScheduleRun", 202, body="Note", problems=(404, 409)),
)
async def _run_now(type: str, caller: Operator) -> Response:
    body = await read_body(caller.request, Note)
    job_id = await caller.operations.schedules.run(type, note=body.note)
    return answer(ScheduleRun(type=type, id=job_id, enqueued=1), 202)


@action_route(
    router,
    "pause-schedule",
    operation="pause_schedule",
    **describes("SchedulePaused", body="Reason", problems=(404,)),
)
async def _pause_schedule(type: str, caller: Operator) -> Response:
    body = await read_body(caller.request, Reason)
    await caller.operations.schedules.pause(type, reason=body.reason)
    return answer(SchedulePaused(type=type, paused=True))


@action_route(
    router,
    "resume-schedule",
    operation="resume_schedule",
    **describes("SchedulePaused", body="Nothing", problems=(404,)),
)
async def _resume_schedule(type: str, caller: Operator) -> Response:
    await read_body(caller.request, Nothing)
    await caller.operations.schedules.resume(type)
    return answer(SchedulePaused(type=type, paused=False))
