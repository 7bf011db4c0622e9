"""The trace of a request, which its jobs continue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from hms_svc.domain.errors import HmsError
from hms_svc.domain.job import Job
from hms_svc.domain.trace_context import (
    TraceContext,
    context_of,
    read_trace_context,
    with_context,
)
from hms_svc.http_api.context import ApiContext
from hms_svc.http_api.problems import status_of
from hms_svc.ports.tracing import RequestFacts, ServerSpan

OUR_FAULT = 500


class Traced:
    """The trace context for the jobs of a request; None if the request has none, and none is created."""

    def __init__(self, context: TraceContext | None, span: ServerSpan | None = None) -> None:
        self.context = context
        self._span = span

    def adopt(self, job: Job) -> Job:
        """Return a job with the request's context; a job that has its own keeps it, and is linked."""
        own = context_of(job)
        if own is None:
            return with_context(job, self.context)
        if self._span is not None:
            self._span.link(own)
        return job

    def answered(self, response: Response) -> Response:
        """Record the answer."""
        if self._span is not None:
            self._span.set_status(response.status_code)
        return response


@contextmanager
def traced(api: ApiContext, request: Request, route: str) -> Iterator[Traced]:
    """Continue the caller's trace, with a span of our own if traces are exported."""
    headers = request.headers
    # Lists of several headers are one, in their order (RFC 9110, 5.3).
    caller = read_trace_context(
        headers.get("traceparent"), ",".join(headers.getlist("tracestate")) or None
    )
    if api.tracer is None:
        yield Traced(caller)
        return
    url = request.url
    facts = RequestFacts(request.method, route, url.path, url.scheme, url.hostname or "", url.port)
    with api.tracer.server_span(facts, caller) as span:
        try:
            yield Traced(span.context, span)
        except HTTPException as error:
            span.set_status(error.status_code, type(error).__name__)
            raise
        except HmsError as error:
            span.set_status(status_of(error), type(error).__name__)
            raise
        except Exception as error:
            span.set_status(OUR_FAULT, type(error).__name__)
            raise
