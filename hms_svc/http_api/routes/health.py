"""Is it alive, is it ready, and what was measured."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import PlainTextResponse, Response

from hms_svc.domain.errors import Outage
from hms_svc.http_api.describing import measures, one_word
from hms_svc.http_api.door import Door, door_of
from hms_svc.http_api.requests import Admitted, admitted
from hms_svc.operations.tokens import Scope

BROKER: Final = "broker"
DATABASE: Final = "database"
WORKER: Final = "worker"
FULL: Final = "broker full: new jobs are refused"
router: Final = APIRouter(tags=["health"])
Scraper = Annotated[Admitted, Depends(admitted(Scope.METRICS))]


@router.get("/healthz", **one_word("`alive`, or `stuck`, or `no worker`"))
async def get_health(request: Request) -> Response:
    """Tell whether the workers of this service turn: one that waits for work does.

    None at all for half a minute counts, too, unless broker or database is away: an outage is not
    ended by starting this process again.
    """
    door = door_of(request)
    if not door.measures.is_alive():
        return _word("stuck", 503)
    if door.measures.lacks_workers() and await _missing(door) == WORKER:
        return _word("no worker", 503)
    return _word("alive")


@router.get("/readyz", **one_word("`ready`, or what is not there"))
async def get_readiness(request: Request) -> Response:
    """Tell whether broker and database answer, the schema is ours, workers and room for jobs are there."""
    missing = await _missing(door_of(request))
    return _word(missing, 503) if missing else _word("ready")


@router.get("/metrics", **measures("Prometheus text"))
async def get_metrics(asked: Scraper) -> Response:
    """Give what was measured, for Prometheus."""
    accept = asked.request.headers.get("accept", "")
    body, media_type = await asked.door.measures.render(asked.door.reads, accept)
    return Response(body, media_type=media_type)


async def _missing(door: Door) -> str:
    """Return what is not there: `broker`, `database`, `worker` or room in the broker; empty where all is."""
    try:
        broker, database = await door.reads.health()
    except Outage:
        return BROKER
    if not broker.ok:
        return BROKER
    if database is None or not database.ok:
        return DATABASE
    if door.measures.lacks_workers():
        return WORKER
    return FULL if broker.room is not None and broker.room.is_full else ""


def _word(word: str, status: int = 200) -> Response:
    return PlainTextResponse(word + "\n", status)
