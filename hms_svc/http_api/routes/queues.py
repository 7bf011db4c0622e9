"""Queues, workers, schedules, failures: the state of the service."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends
from pydantic import Field
from starlette.responses import Response

from hms_svc.domain.views import WorkerState
from hms_svc.http_api.requests import Admitted, Body, Note, admitted, answer, read_body
from hms_svc.http_api.route_description import describes
from hms_svc.operations.action_table import ROUTES
from hms_svc.operations.answers.acts import OutcomeAnswer
from hms_svc.operations.answers.jobs import FailureGroupAnswer, FailureList
from hms_svc.operations.answers.service import (
    Paused,
    QueueAnswer,
    QueueList,
    ScheduleAnswer,
    ScheduleList,
    ScheduleRun,
    StatusAnswer,
    WorkerAnswer,
    WorkerList,
    WorkerStateRequested,
)
from hms_svc.operations.tokens import Scope

router: Final = APIRouter(tags=["queues"])
Viewer = Annotated[Admitted, Depends(admitted(Scope.VIEW))]
Operator = Annotated[Admitted, Depends(admitted(Scope.OPERATE))]


class Pause(Body):
    """The reason; and whether new jobs are rejected over HTTP and in envelopes too."""

    reason: str = Field(default="", max_length=1000)
    intake: bool = False


class Reason(Body):
    """The reason; recorded in the audit log, and shown with the worker."""

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


@router.post(ROUTES["pause"], **describes("Paused", body="Pause", problems=(404,)))
async def pause_queue(type: str, caller: Operator) -> Response:
    """Stop claiming jobs of a type. With `intake`, new ones are rejected over HTTP and in envelopes too."""
    body = await read_body(caller.request, Pause)
    await caller.operations.actions.pause(type, reason=body.reason, intake=body.intake)
    return answer(Paused(type=type, paused=True, intake_paused=body.intake))


@router.post(ROUTES["resume"], **describes("Paused", body="Nothing", problems=(404,)))
async def resume_queue(type: str, caller: Operator) -> Response:
    """Claim and accept jobs of a paused type again."""
    await read_body(caller.request, Nothing)
    await caller.operations.actions.resume(type)
    return answer(Paused(type=type, paused=False, intake_paused=False))


@router.post(ROUTES["purge"], **describes("Outcome", body="Note", problems=(404,)))
async def purge_queue(type: str, caller: Operator) -> Response:
    """Cancel all waiting jobs of a type."""
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


@router.post(
    ROUTES["quiet"], **describes("WorkerStateRequested", 202, body="Reason", problems=(404, 409))
)
async def quiet_worker(worker: str, caller: Operator) -> Response:
    """Make a worker finish its running jobs and claim no more until it is resumed."""
    return await _request_state(worker, caller, WorkerState.QUIET)


@router.post(
    ROUTES["resume-worker"],
    **describes("WorkerStateRequested", 202, body="Reason", problems=(404, 409)),
)
async def resume_worker(worker: str, caller: Operator) -> Response:
    """Make a quiet worker claim jobs again."""
    return await _request_state(worker, caller, WorkerState.WORKING)


@router.post(
    ROUTES["stop"], **describes("WorkerStateRequested", 202, body="Reason", problems=(404, 409))
)
async def stop_worker(worker: str, caller: Operator) -> Response:
    """Make a worker finish its running jobs within its grace period, and exit. It is not replaced."""
    return await _request_state(worker, caller, WorkerState.STOPPING)


async def _request_state(worker: str, caller: Admitted, state: WorkerState) -> Response:
    body = await read_body(caller.request, Reason)
    await caller.operations.actions.ask_worker(worker, state, reason=body.reason)
    return answer(WorkerStateRequested(worker=worker, wanted=state), 202)


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


@router.post(ROUTES["enqueue"], **describes("ScheduleRun", 202, body="Note", problems=(404,)))
async def run_schedule(type: str, caller: Operator) -> Response:
    """Run the scheduled job of a type now."""
    body = await read_body(caller.request, Note)
    answers = (await caller.operations.schedules.run(type, note=body.note)).answers
    return answer(ScheduleRun(type=type, id=answers[0].job_id, enqueued=len(answers)), 202)
