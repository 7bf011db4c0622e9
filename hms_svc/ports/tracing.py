"""Tracing: a span for each attempt of a job and each request, joined by W3C `traceparent`.

If no collector is configured there is no tracer, and the check for None is the only cost.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from hms_svc.domain.job import ClaimedJob
from hms_svc.domain.outcome import Disposition
from hms_svc.domain.trace_context import TraceContext


class AttemptSpan(Protocol):
    """The span of one attempt, and its child spans."""

    @property
    def context(self) -> TraceContext:
        """The context of the current span, for outgoing calls."""
        ...

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Open a child span for the duration of the context: `validate`, `vet`, `handle`, `commit`.

        A commit serves many jobs: each has its own span over the time that it waited for the
        shared commit.
        """
        ...

    def finish(self, disposition: Disposition | None) -> None:
        """End the attempt; None if this worker no longer owns the job. Only the first call counts."""
        ...


class ServerSpan(Protocol):
    """The span of one request."""

    @property
    def context(self) -> TraceContext:
        """The context for jobs that this request submits."""
        ...

    def link(self, context: TraceContext) -> None:
        """Link to the trace of a job that was submitted with its own context."""
        ...

    def set_status(self, code: int, fault: str = "") -> None:
        """Record the HTTP status; 500 and above is a server error, described by `fault`."""
        ...


class RequestFacts(NamedTuple):
    """The attributes of a request: `route` is the template, `host` and `port` are the client's."""

    method: str
    route: str
    path: str
    scheme: str
    host: str = ""
    port: int | None = None


class Tracer(Protocol):
    """Makes spans. An invalid `traceparent` is ignored: a new trace begins."""

    def start_attempt(self, job: ClaimedJob) -> AttemptSpan:
        """Begin the span of an attempt, as a child of the context in the job's envelope."""
        ...

    def server_span(
        self, request: RequestFacts, caller: TraceContext | None = None
    ) -> AbstractContextManager[ServerSpan]:
        """Open the span of a request, as a child of the caller's context."""
        ...

    async def close(self) -> None:
        """Send the remaining spans, for at most three seconds."""
        ...
