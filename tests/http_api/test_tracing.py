"""The spans of requests, read as a collector reads them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.support.api import NOTICE, ApiService, ServiceMaker
from tests.support.local_http import LocalHttp, local_http

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OWN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
JOB = {"type": "crew.notify", "data": NOTICE}
EVENT = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/agency",
    "type": "tree.fell",
    "data": {"ward": 7},
    "traceparent": OWN,
    "tracestate": "own=1",
}


@pytest.fixture
async def collector() -> AsyncIterator[LocalHttp]:
    async with local_http() as told:
        told.body = b""
        yield told


@pytest.fixture
async def traced_service(make_service: ServiceMaker, collector: LocalHttp) -> ApiService:
    return await make_service(otlp_endpoint=collector.url)


async def spans_of(service: ApiService, collector: LocalHttp) -> list[Span]:
    """End the tracing, and return what was sent."""
    assert service.api.tracer is not None
    await service.api.tracer.close()
    return [
        span
        for received in collector.received
        for each in ExportTraceServiceRequest.FromString(received.body).resource_spans
        for scope in each.scope_spans
        for span in scope.spans
    ]


def attributes(span: Span) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


async def test_a_callers_fault_leaves_the_status_of_its_span_unset(
    traced_service: ApiService, collector: LocalHttp
) -> None:
    refused = [
        await traced_service.post({"type": "crew.notify", "data": {"case_id": 1}}),
        await traced_service.client.post(
            "/jobs", content="{", headers={"content-type": "application/json"}
        ),
    ]
    assert [answer.status_code for answer in refused] == [422, 400]
    spans = await spans_of(traced_service, collector)
    for span, status in zip(spans, (422, 400), strict=True):
        told = attributes(span)
        assert told["http.response.status_code"] == status
        assert "error.type" not in told
        assert span.status.code == Status.STATUS_CODE_UNSET
        assert (told["url.path"], told["url.scheme"]) == ("/jobs", "http")
        assert (told["server.address"], told["server.port"]) == ("127.0.0.1", traced_service.port)


async def test_a_request_is_linked_to_the_trace_that_a_job_or_an_envelope_came_with(
    traced_service: ApiService, collector: LocalHttp
) -> None:
    caller = {"traceparent": CALLER, "tracestate": "caller=1"}
    own = {**JOB, "traceparent": OWN, "tracestate": "own=1"}
    answers = [
        await traced_service.client.post("/jobs", json=JOB, headers=caller),
        await traced_service.client.post("/jobs", json=own, headers=caller),
        await traced_service.client.post(
            "/envelopes",
            json=EVENT,
            headers={**caller, "content-type": "application/cloudevents+json"},
        ),
    ]
    assert [answer.status_code for answer in answers] == [202, 202, 202]
    plain, *linked = await spans_of(traced_service, collector)
    assert list(plain.links) == []
    _, trace_id, span_id, _ = OWN.split("-")
    for span in linked:
        [link] = span.links
        assert (link.trace_id.hex(), link.span_id.hex()) == (trace_id, span_id)
        assert (span.trace_id.hex(), span.trace_state) == (CALLER.split("-")[1], "caller=1")
