"""Envelopes of other agencies: CloudEvents 1.0, single, in batches, or in headers."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from hms_svc.http_api.requests import Admitted, admitted, answer
from hms_svc.http_api.route_description import envelope
from hms_svc.http_api.tracing import traced
from hms_svc.operations.tokens import Scope
from hms_svc.ports.side_thread import aside

router: Final = APIRouter(tags=["envelopes"])
Producer = Annotated[Admitted, Depends(admitted(Scope.PRODUCE))]


@router.post("/envelopes", **envelope())
async def receive_envelopes(caller: Producer) -> Response:
    """Accept envelopes. Each becomes one job, however often it is sent, even if no mapping matches it."""
    headers = dict(caller.request.headers)
    with traced(caller.api, caller.request, "/envelopes") as trace:
        body, intake = await caller.request.body(), caller.api.envelopes
        jobs = await aside(len(body), lambda: intake.receive(headers, body))
        taken = await caller.api.submission.accept_once([trace.adopt(job) for job in jobs])
        return trace.answered(answer(taken, 202))
