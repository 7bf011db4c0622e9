"""Liveness, readiness and metrics."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import PlainTextResponse, Response

from hms_svc.domain.errors import Outage
from hms_svc.domain.health import TroubleKind
from hms_svc.http_api.context import ApiContext, context_of
from hms_svc.http_api.requests import Admitted, admitted
from hms_svc.http_api.route_description import metrics, plain_status
from hms_svc.http_api.service_metrics import STUCK_SECONDS
from hms_svc.operations.tokens import Scope

BROKER: Final = "broker"
DATABASE: Final = "database"
WORKER: Final = "worker"
_AWAY: Final = {TroubleKind.BROKER_DOWN: BROKER, TroubleKind.DATABASE_DOWN: DATABASE}
_FULL: Final = {
    TroubleKind.BROKER_FULL: "broker full: new jobs are rejected",
    TroubleKind.DATABASE_FULL: "database full: no case can be written",
}
router: Final = APIRouter(tags=["health"])
Scraper = Annotated[Admitted, Depends(admitted(Scope.METRICS))]


@router.get("/healthz", **plain_status("`alive`, or `stuck`, or `no worker`"))
async def get_health(request: Request) -> Response:
    """Check that the workers of this service are alive.

    503 if one is stuck, or if there has been none for half a minute (for a lease, if that is longer) while broker
    and database are reachable (restarting this process does not end an outage).
    """
    api = context_of(request)
    if not api.metrics.is_alive():
        return _plain("stuck", 503)
    if api.metrics.lacks_workers(STUCK_SECONDS) and await _missing(api) == WORKER:
        return _plain("no worker", 503)
    return _plain("alive")


@router.get("/readyz", **plain_status("`ready`, or what is missing"))
async def get_readiness(request: Request) -> Response:
    """Check that broker and database answer and have space, the schema is current, and a worker was live within a lease."""
    missing = await _missing(context_of(request))
    return _plain(missing, 503) if missing else _plain("ready")


@router.get("/metrics", **metrics("Prometheus text"))
async def get_metrics(caller: Scraper) -> Response:
    """Return the metrics, for Prometheus."""
    accept = caller.request.headers.get("accept", "")
    body, media_type = await caller.api.metrics.render(caller.api.reads, accept)
    return Response(body, media_type=media_type)


async def _missing(api: ApiContext) -> str:
    """Return what is missing: `broker`, `database`, `worker` or memory for more; empty if nothing is."""
    try:
        health = api.reads.judge_engines(*await api.reads.health())
    except Outage:
        return BROKER
    away = [_AWAY[each.kind] for each in health.troubles if each.kind in _AWAY]
    if away:
        return away[0]
    if api.metrics.lacks_workers(api.settings.lease_seconds):
        return WORKER
    return next((_FULL[each.kind] for each in health.troubles if each.kind in _FULL), "")


def _plain(word: str, status: int = 200) -> Response:
    return PlainTextResponse(word + "\n", status)
