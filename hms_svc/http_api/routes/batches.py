"""Batches: jobs that were submitted as one."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from hms_svc.http_api.action_routes import Operator, action_route
from hms_svc.http_api.requests import Admitted, Note, admitted, answer, read_body
from hms_svc.http_api.route_description import describes
from hms_svc.http_api.routes.jobs import Cursor, Limit
from hms_svc.operations.answers.batches import BatchAnswer, BatchClosedAnswer, BatchPageAnswer
from hms_svc.operations.tokens import Scope

router: Final = APIRouter(tags=["batches"])
Viewer = Annotated[Admitted, Depends(admitted(Scope.VIEW))]


@router.get("/batches", **describes("BatchPage"))
async def list_batches(caller: Viewer, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """List batches, the one that was submitted last first."""
    return answer(BatchPageAnswer.of(await caller.api.reads.batches(limit=limit, cursor=cursor)))


@router.get("/batches/{batch_id}", **describes("Batch", problems=(404,)))
async def get_batch(batch_id: str, caller: Viewer) -> Response:
    """Return a batch. Its jobs are those that match the filter `batch:ID`."""
    return answer(BatchAnswer.of(await caller.api.reads.batch(batch_id)))


@action_route(
    router,
    "close-batch",
    operation="close_batch",
    detail="409 if it is not open.",
    **describes("BatchClosed", body="Note", problems=(404, 409)),
)
async def _close(batch_id: str, caller: Operator) -> Response:
    body = await read_body(caller.request, Note)
    closed = await caller.operations.actions.close_batch(batch_id, note=body.note)
    return answer(BatchClosedAnswer.of(batch_id, closed))
