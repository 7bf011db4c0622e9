"""Traces: a span for each attempt of a job and each request, joined by W3C `traceparent`.

Where no collector is set there is no tracer at all, and each caller's check for None is the
whole cost.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from hms_svc.domain.job import ClaimedJob
from hms_svc.domain.outcome import Disposition
from hms_svc.domain.trace_context import TraceContext


class AttemptSpan(Protocol):
    """The span of one attempt, and those within it."""

    @property
    def context(self) -> TraceContext:
        """The context of whatever runs now, for what leaves from here."""
        ...

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Open a span within, for as long as the context lasts: `validate`, `vet`, `handle`, `commit`.

        A commit serves many jobs: each has a span of its own over the time that it
        waited for the shared one.
        """
        ...

    def finish(self, disposition: Disposition | None) -> None:
        """End the attempt; None where the job is not ours any more. Only the first call counts."""
        ...


class ServerSpan(Protocol):
    """The span of one request."""

    @property
    def context(self) -> TraceContext:
        """The context for jobs that this request submits."""
        ...

    def link(self, context: TraceContext) -> None:
        """Point to the trace of a job that came with a context of its own."""
        ...

    def set_status(self, code: int, fault: str = "") -> None:
        """Note the HTTP status that was answered; 500 and above is an error of ours, a `fault`."""
        ...


class RequestFacts(NamedTuple):
    """What a span tells of a request. `route` is the template, `host` and `port` as its sender named them."""

    method: str
    route: str
    path: str
    scheme: str
    host: str = ""
    port: int | None = None


class Tracer(Protocol):
    """Makes spans. A `traceparent` that is none is ignored: a trace of its own begins."""

    def start_attempt(self, job: ClaimedJob) -> AttemptSpan:
        """Begin the span of an attempt, under the context that the job's envelope carries."""
        ...

    def server_span(
        self, request: RequestFacts, caller: TraceContext | None = None
    ) -> AbstractContextManager[ServerSpan]:
        """Open the span of a request, under the caller's context."""
        ...

    async def close(self) -> None:
        """Send what is left, for at most three seconds."""
        ...
