"""The application: middleware, routes, errors in one shape, and its OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp

from hms_svc.domain.errors import HmsError
from hms_svc.domain.version import version
from hms_svc.http_api.context import ApiContext, context_of
from hms_svc.http_api.direct_route import LEFT, DirectRoute
from hms_svc.http_api.methods import allowed
from hms_svc.http_api.middleware import RequestGuard, internal_error
from hms_svc.http_api.openapi import describe, operation_id, server
from hms_svc.http_api.problems import FieldFaultAnswer, Problem, problem, problem_of
from hms_svc.http_api.proxies import prefix_of
from hms_svc.http_api.query import check_query
from hms_svc.http_api.requests import Note, answer
from hms_svc.http_api.routes import batches, cases, envelopes, health, jobs, queues, streams

BODIES: Final[tuple[type[BaseModel], ...]] = (
    Note,
    jobs.Acts,
    jobs.Undo,
    jobs.Edit,
    queues.Pause,
    queues.Reason,
    queues.Nothing,
)
ROUTERS: Final = (jobs, batches, streams, queues, cases, envelopes, health)
FAULTS: Final = (500, 503)
"""The errors of every route."""
MOST_FAULTS: Final = 50


def routed() -> FastAPI:
    """Return the application with the routes of the OpenAPI document."""
    app = FastAPI(
        title="hms-svc",
        version=version(),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        exception_handlers={
            HmsError: _hms_error,
            HTTPException: _http_error,
            RequestValidationError: _bad_parameters,
            ClientDisconnect: _left,
            Exception: _broken,
        },
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
    )
    for module in ROUTERS:
        app.include_router(module.router)
    return app


def make_app(api: ApiContext, *, hosts: Iterable[str], web: bool = False) -> ASGIApp:
    """Return the application of an HTTP server that answers to these names; `web` adds the console."""
    app = routed()
    app.state.api = api
    for module in ROUTERS:
        _expect_answers(module.router, api)
    app.state.paths = [route for module in ROUTERS for route in module.router.routes]
    if web:
        from hms_svc.http_api.routes import web_console

        app.include_router(web_console.router)
        app.state.paths += web_console.router.routes
    document: dict[str, Any] = {}

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> Response:
        await context_of(request).admit(request.headers.get("authorization"), None)
        check_query(request)
        if not document:
            document.update(describe(app, api.registry, BODIES))
        return answer({**document, "servers": server(prefix_of(request))})

    app.state.paths += app.routes
    return RequestGuard(
        DirectRoute(app, _route_of(jobs.enqueue_jobs, jobs.router)),
        hosts=hosts,
        guard=api.authentication.check_forwarded,
        is_open=api.authentication.is_open,
        origins=api.settings.http_origins,
        proxies=api.settings.http_proxies,
        observe=api.metrics.observe,
    )


def _route_of(endpoint: Callable[..., Any], router: APIRouter) -> APIRoute:
    [route] = (
        each for each in router.routes if isinstance(each, APIRoute) and each.endpoint is endpoint
    )
    return route


def _expect_answers(router: APIRouter, api: ApiContext) -> None:
    """Start the counters of the answers that each route describes at 0."""
    for route in router.routes:
        if isinstance(route, APIRoute):
            described = (int(code) for code in route.responses if str(code).isdecimal())
            statuses = {route.status_code or 200, *described, *FAULTS}
            for method in route.methods or ():
                api.metrics.expect(route.path, method, sorted(statuses))


async def _hms_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HmsError)
    if request.scope["type"] == "websocket":
        raise error  # The middleware knows whether the handshake is complete.
    return problem_of(error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if request.scope["type"] == "websocket" and isinstance(error, Problem):
        raise error
    if isinstance(error, Problem):
        return error.response()
    if error.status_code == 404:
        return problem(404, "not-found", "there is no such path")
    if error.status_code == 405:
        methods = allowed(request.url.path, request.app.state.paths)
        detail = f"this path does not allow {request.method}, only {methods}"
        return problem(405, "method-not-allowed", detail, headers={"allow": methods})
    return problem(error.status_code, "http-error", str(error.detail))


async def _bad_parameters(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        FieldFaultAnswer(
            field=".".join(str(step) for step in fault["loc"][1:]), detail=str(fault["msg"])
        )
        for fault in error.errors()[:MOST_FAULTS]
    ]
    detail = "; ".join(f"{each.field}: {each.detail}" for each in errors)
    return problem(400, "bad-input", detail, errors=errors)


async def _left(_request: Request, _error: Exception) -> Response:
    return Response(status_code=LEFT)


async def _broken(_request: Request, _error: Exception) -> Response:
    return internal_error()
