"""The trace of a request, so that its jobs go on with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Request
from starlette.responses import Response

from hms_svc.domain.trace_context import read_traceparent
from hms_svc.http_api.door import Door
from hms_svc.ports.tracing import ServerSpan


class Traced:
    """The context that the jobs of a request carry; None where it came with none, and none is made."""

    def __init__(self, traceparent: str | None, span: ServerSpan | None = None) -> None:
        self.traceparent = traceparent
        self._span = span

    def answered(self, response: Response) -> Response:
        """Note what was answered."""
        if self._span is not None:
            self._span.set_status(response.status_code)
        return response


@contextmanager
def traced(door: Door, request: Request, route: str) -> Iterator[Traced]:
    """Go on with the caller's trace, by a span of our own where traces are sent anywhere."""
    caller = read_traceparent(request.headers.get("traceparent"))
    if door.tracer is None:
        yield Traced(caller)
        return
    with door.tracer.server_span(method=request.method, route=route, traceparent=caller) as span:
        yield Traced(span.traceparent, span)
