"""Queues, workers, schedules, failures: how the service stands."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from pydantic import Field
from starlette.responses import Response

from hms_svc.domain.timestamps import to_rfc3339
from hms_svc.domain.views import WorkerState
from hms_svc.http_api.requests import Admitted, Body, Note, admitted, answer, read_body
from hms_svc.http_api.route_description import describes
from hms_svc.operations.shapes import (
    failure_group_shape,
    queue_shape,
    status_shape,
    worker_shape,
)
from hms_svc.operations.tokens import Scope

router: Final = APIRouter(tags=["queues"])
Viewer = Annotated[Admitted, Depends(admitted(Scope.VIEW))]
Operator = Annotated[Admitted, Depends(admitted(Scope.OPERATE))]


class Pause(Body):
    """Why; and whether nothing more may come in through the HTTP servers either."""

    reason: str = Field(default="", max_length=1000)
    intake: bool = False


class Reason(Body):
    """Why; kept in the audit log, and shown to everyone who looks at the worker."""

    reason: str = Field(default="", max_length=1000)


class Nothing(Body):
    """A body without members."""


@router.get("/status", **describes("Status"))
async def get_status(asked: Viewer) -> Response:
    """Return queues, workers, totals and health."""
    return answer(status_shape(await asked.api.reads.status(), ""))


@router.get("/queues", **describes("QueueList"))
async def list_queues(asked: Viewer) -> Response:
    """List queues with their counts: at most 1000, those that are served first."""
    reads = asked.api.reads
    now = reads.now_ms()
    queues, left_off = await reads.listed_queues(await reads.workers())
    shapes = [queue_shape(queue, now) for queue in queues]
    return answer({"queues": shapes, "types_left_off": left_off})


@router.post("/queues/{type}/pause", **describes("Paused", body="Pause", problems=(404,)))
async def pause_queue(type: str, asked: Operator) -> Response:
    """Stop claiming jobs of a type; with `intake` the HTTP servers take none either."""
    body = await read_body(asked.request, Pause)
    await asked.operations.actions.pause(type, reason=body.reason, intake=body.intake)
    return answer({"type": type, "paused": True, "intake_paused": body.intake})


@router.post("/queues/{type}/resume", **describes("Paused", body="Nothing", problems=(404,)))
async def resume_queue(type: str, asked: Operator) -> Response:
    """Claim jobs of a paused type again, and let them in."""
    await read_body(asked.request, Nothing)
    await asked.operations.actions.resume(type)
    return answer({"type": type, "paused": False, "intake_paused": False})


@router.post("/queues/{type}/purge", **describes("Outcome", body="Note", problems=(404,)))
async def purge_queue(type: str, asked: Operator) -> Response:
    """Cancel all jobs of a type that wait."""
    body = await read_body(asked.request, Note)
    report = await asked.operations.actions.purge(type, note=body.note)
    shape = {"failed": 0, "failures": [], "left": report.left}
    return answer({"batch": report.batch, "done": report.done, **shape})


@router.get("/workers", **describes("WorkerList"))
async def list_workers(asked: Viewer) -> Response:
    """List the live workers, with the jobs that they run."""
    reads = asked.api.reads
    now = reads.now_ms()
    return answer({"workers": [worker_shape(worker, now) for worker in await reads.workers()]})


@router.post(
    "/workers/{worker}/quiet", **describes("WorkerAsked", 202, body="Reason", problems=(404, 409))
)
async def quiet_worker(worker: str, asked: Operator) -> Response:
    """Let a worker finish its running jobs and claim no more until it is resumed."""
    return await _ask_worker(worker, asked, WorkerState.QUIET)


@router.post(
    "/workers/{worker}/resume", **describes("WorkerAsked", 202, body="Reason", problems=(404, 409))
)
async def resume_worker(worker: str, asked: Operator) -> Response:
    """Let a quiet worker claim jobs again."""
    return await _ask_worker(worker, asked, WorkerState.WORKING)


@router.post(
    "/workers/{worker}/stop", **describes("WorkerAsked", 202, body="Reason", problems=(404, 409))
)
async def stop_worker(worker: str, asked: Operator) -> Response:
    """Let a worker finish the jobs that it runs within its grace, and end; nothing starts another."""
    return await _ask_worker(worker, asked, WorkerState.STOPPING)


async def _ask_worker(worker: str, asked: Admitted, wanted: WorkerState) -> Response:
    body = await read_body(asked.request, Reason)
    await asked.operations.actions.ask_worker(worker, wanted, reason=body.reason)
    return answer({"worker": worker, "wanted": wanted}, 202)


@router.get("/failures", **describes("FailureList"))
async def list_failures(asked: Viewer) -> Response:
    """List why jobs are retrying, dead or rejected: ten thousand failures of one bug are one row."""
    groups = await asked.api.reads.failures()
    return answer({"failures": [failure_group_shape(group) for group in groups]})


@router.get("/schedules", **describes("ScheduleList"))
async def list_schedules(asked: Viewer) -> Response:
    """List what live workers run by the clock."""
    found = await asked.operations.schedules.all()
    return answer({"schedules": [_schedule_shape(each) for each in found]})


@router.post("/schedules/{type}/run", **describes("Ran", 202, body="Note", problems=(404,)))
async def run_schedule(type: str, asked: Operator) -> Response:
    """Enqueue the job of a type's schedule now."""
    body = await read_body(asked.request, Note)
    report = await asked.operations.schedules.run(type, note=body.note)
    return answer({"type": type, "enqueued": len(report.answers)}, 202)


def _schedule_shape(view: Any) -> dict[str, Any]:
    return {
        "type": view.type,
        "cron": view.cron,
        "words": view.words,
        "next_at": to_rfc3339(view.next_at),
        "next_job": view.next_job,
        "last_at": to_rfc3339(view.last_at),
        "last_job": view.last_job,
    }
