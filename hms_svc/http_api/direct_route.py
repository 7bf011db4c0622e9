"""A route that is served without the layers of the framework: they cost more than the route itself."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

LEFT: Final = 499
"""For the counters, as is customary: the client left before it was answered."""


class DirectRoute:
    """Calls the function of one route itself, and leaves all other requests to the application.

    The path of the route has no parameters, and its function takes the request only. What the function raises is
    raised: `RequestGuard` answers it as the application does. A request with a query is left to the
    application, which lists the parameters at fault.
    """

    def __init__(self, app: FastAPI, route: APIRoute) -> None:
        self._app = app
        self._route = route
        self._path, self._methods = route.path, frozenset(route.methods or ())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or one WebSocket."""
        if not self._is_meant(scope):
            await self._app(scope, receive, send)
            return
        scope["app"], scope["route"] = self._app, self._route
        try:
            response = await self._route.endpoint(Request(scope, receive))
        except ClientDisconnect:
            response = Response(status_code=LEFT)
        await response(scope, receive, send)

    def _is_meant(self, scope: Scope) -> bool:
        if scope["type"] != "http" or scope["path"] != self._path:
            return False
        return scope["method"] in self._methods and not scope["query_string"]
