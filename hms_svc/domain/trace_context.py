"""W3C Trace Context: the trace that a job continues."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

from hms_svc.domain.job import MAX_TRACESTATE_CHARACTERS, Job

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE: Final = re.compile(rf"[\x20-\x7e]{{1,{MAX_TRACESTATE_CHARACTERS}}}", re.ASCII)


class TraceContext(NamedTuple):
    """`traceparent` (section 3.2), and the `tracestate` (3.3) of the systems that it passed through."""

    traceparent: str
    tracestate: str | None = None

    def headers(self) -> dict[str, str]:
        """Return the headers that propagate it."""
        found = {"traceparent": self.traceparent, "tracestate": self.tracestate}
        return {name: value for name, value in found.items() if value}


def read_traceparent(value: object) -> str | None:
    """Return a valid `traceparent` unchanged, None for an invalid one."""
    return value if isinstance(value, str) and _TRACEPARENT.fullmatch(value) else None


def read_trace_context(traceparent: object, tracestate: object = None) -> TraceContext | None:
    """Return the context of two headers; None without a valid `traceparent`; an invalid `tracestate` is dropped."""
    parent = read_traceparent(traceparent)
    if parent is None:
        return None
    is_state = isinstance(tracestate, str) and _TRACESTATE.fullmatch(tracestate)
    return TraceContext(parent, str(tracestate) if is_state else None)


def context_of(job: Job) -> TraceContext | None:
    """Return the trace context of a job."""
    return None if job.traceparent is None else TraceContext(job.traceparent, job.tracestate)


def with_context(job: Job, context: TraceContext | None) -> Job:
    """Return the job with this context, unless it has its own."""
    if context is None or job.traceparent:
        return job
    return msgspec.structs.replace(
        job, traceparent=context.traceparent, tracestate=context.tracestate
    )
