"""Traces over OTLP/HTTP: the OpenTelemetry SDK behind the tracing port.

Spans have ids, types and outcomes, but never payloads or texts derived from them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from hms_svc.domain.errors import ActionHeld, ValidationFailed
from hms_svc.domain.job import ClaimedJob
from hms_svc.domain.lifecycle import State
from hms_svc.domain.outcome import Disposition
from hms_svc.domain.trace_context import TraceContext, context_of
from hms_svc.observability.collector import CollectorExporter
from hms_svc.ports.tracing import RequestFacts
from hms_svc.sdk.payload import PayloadFault
from hms_svc.sdk.validation import ValidatorFault

SERVICE: Final = "hms-svc"
TRACES_PATH: Final = "/v1/traces"
CLOSE_SECONDS: Final = 3.0
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_VERDICTS: Final = (ValidationFailed, ActionHeld, PayloadFault)
_FAILED: Final = frozenset({State.RETRYING, State.DEAD})


class OtlpTracer:
    """Implements ports.tracing.Tracer. Sending happens on a thread; a full queue drops spans.

    `endpoint` is the collector's base address, `instance` a unique name of this process.
    OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME override the attributes set here.
    """

    def __init__(self, endpoint: str, *, namespace: str, instance: str) -> None:
        attributes = {
            "service.name": SERVICE,
            "service.namespace": namespace,
            "service.version": metadata.version(SERVICE),
            "service.instance.id": instance,
        }
        resource = Resource.create(attributes).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        address = endpoint.rstrip("/").removesuffix(TRACES_PATH) + TRACES_PATH
        self._provider.add_span_processor(BatchSpanProcessor(CollectorExporter(address)))
        self._tracer = self._provider.get_tracer("hms_svc")

    def start_attempt(self, job: ClaimedJob) -> OtlpAttempt:
        """Begin the span of an attempt, as a child of the context in the job's envelope."""
        type = job.job.type
        span = self._tracer.start_span(
            f"process {type}",
            context=_context_of(context_of(job.job)),
            kind=SpanKind.CONSUMER,
            attributes={
                "messaging.system": SERVICE,
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": type,
                "messaging.message.id": job.job.id,
                "hms.attempt": job.attempt,
            },
        )
        return OtlpAttempt(self._tracer, span)

    @contextmanager
    def server_span(
        self, request: RequestFacts, caller: TraceContext | None = None
    ) -> Iterator[OtlpRequest]:
        """Open the span of a request, as a child of the caller's context."""
        attributes: dict[str, str | int] = {
            "http.request.method": request.method,
            "http.route": request.route,
            "url.path": request.path,
            "url.scheme": request.scheme,
        }
        if request.host:
            attributes["server.address"] = request.host
        if request.port:
            attributes["server.port"] = request.port
        with self._tracer.start_as_current_span(
            f"{request.method} {request.route}",
            _context_of(caller),
            SpanKind.SERVER,
            attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield OtlpRequest(span)

    async def close(self) -> None:
        """Send the remaining spans, for at most three seconds."""
        ending = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        ending.start()
        await asyncio.get_running_loop().run_in_executor(None, ending.join, CLOSE_SECONDS)


class OtlpAttempt:
    """Implements ports.tracing.AttemptSpan."""

    def __init__(self, tracer: trace.Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span

    @property
    def context(self) -> TraceContext:
        """The context of the current span."""
        return _written(self._innermost().get_span_context())

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Open a child of the innermost span."""
        context = trace.set_span_in_context(self._innermost())
        with _opened(self._tracer, name, context, SpanKind.INTERNAL, {}):
            yield

    def finish(self, disposition: Disposition | None) -> None:
        """End the attempt with its outcome; a second call does nothing."""
        if not self._span.is_recording():
            return
        outcome = "lost" if disposition is None else disposition.state.value
        self._span.set_attribute("hms.outcome", outcome)
        if disposition is not None and disposition.reason:
            self._span.set_attribute("hms.reason", disposition.reason)
        if disposition is None or disposition.state in _FAILED:
            failure = disposition.failure if disposition is not None else None
            self._span.set_attribute("error.type", failure.kind if failure else outcome)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()

    def _innermost(self) -> Span:
        """Return the current span if it belongs to this trace, otherwise the attempt's own."""
        current = trace.get_current_span()
        ours = self._span.get_span_context().trace_id
        return current if current.get_span_context().trace_id == ours else self._span


class OtlpRequest:
    """Implements ports.tracing.ServerSpan."""

    def __init__(self, span: Span) -> None:
        self._span = span

    @property
    def context(self) -> TraceContext:
        """The context for jobs that this request submits."""
        return _written(self._span.get_span_context())

    def link(self, context: TraceContext) -> None:
        """Link to the trace of a job that was submitted with its own context."""
        found = trace.get_current_span(_context_of(context)).get_span_context()
        if found.is_valid:
            self._span.add_link(found)

    def set_status(self, code: int, fault: str = "") -> None:
        """Record the HTTP status of the response; client errors are not errors of the server."""
        self._span.set_attribute("http.response.status_code", code)
        if code >= 500:
            self._span.set_attribute("error.type", fault or str(code))
            self._span.set_status(Status(StatusCode.ERROR))


@contextmanager
def _opened(
    tracer: trace.Tracer, name: str, context: Context, kind: SpanKind, attributes: dict[str, str]
) -> Iterator[Span]:
    """Open a span as the current one; an error is recorded by its class, a verdict is not an error."""
    with tracer.start_as_current_span(
        name,
        context,
        kind,
        attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except _VERDICTS:
            raise
        except BaseException as error:
            cause = error.__cause__ if isinstance(error, ValidatorFault) else error
            span.set_attribute("error.type", type(cause).__name__)
            span.set_status(Status(StatusCode.ERROR))
            raise


def _context_of(given: TraceContext | None) -> Context:
    return _PROPAGATOR.extract({} if given is None else given.headers(), Context())


def _written(context: SpanContext) -> TraceContext:
    return TraceContext(
        f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}",
        context.trace_state.to_header() or None,
    )
