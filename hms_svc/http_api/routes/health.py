"""Is it alive, is it ready, and what was measured."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import PlainTextResponse, Response

from hms_svc.domain.errors import Outage
from hms_svc.http_api.describing import plain_text
from hms_svc.http_api.door import door_of
from hms_svc.http_api.requests import Admitted, admitted
from hms_svc.operations.tokens import Scope

router: Final = APIRouter(tags=["health"])
Scraper = Annotated[Admitted, Depends(admitted(Scope.METRICS))]


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", **plain_text("`alive`, or `stuck`", 503))
async def healthz(request: Request) -> Response:
    """Tell whether the workers of this service turn: one that waits for work does."""
    return _word("alive") if door_of(request).measures.is_alive() else _word("stuck", 503)


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", **plain_text("`ready`, or what is not there", 503))
async def readyz(request: Request) -> Response:
    """Tell whether broker and database answer and the schema is ours."""
    try:
        broker, database = await door_of(request).reads.health()
    except Outage:
        return _word("broker", 503)
    if not broker.ok:
        return _word("broker", 503)
    if database is None or not database.ok:
        return _word("database", 503)
    return _word("ready")


@router.get("/metrics", **plain_text("Prometheus text"))
async def metrics(asked: Scraper) -> Response:
    """Give what was measured, for Prometheus."""
    accept = asked.request.headers.get("accept", "")
    body, media_type = await asked.door.measures.render(asked.door.reads, accept)
    return Response(body, media_type=media_type)


def _word(word: str, status: int = 200) -> Response:
    return PlainTextResponse(word + "\n", status)
