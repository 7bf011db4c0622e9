"""One job through a real worker, its spans read as a collector reads them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from hms_svc import aio, bootstrap
from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.job import make_job
from hms_svc.domain.lifecycle import State
from hms_svc.handling.context import RunningJob
from hms_svc.handling.output import captured_output
from hms_svc.handling.registry import Registry
from hms_svc.observability.tracing import OtlpTracer
from hms_svc.settings import Settings, load_settings
from tests.runtime.conftest import PLACE, TYPE, Floor, registry_of
from tests.unit.local_http import LocalHttp, local_http

TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER: Final = "00f067aa0ba902b7"
TRACEPARENT: Final = f"00-{TRACE}-{CALLER}-01"


@pytest.fixture
async def collector() -> AsyncIterator[LocalHttp]:
    async with local_http() as told:
        told.body = b""
        yield told


def requests(collector: LocalHttp) -> Iterator[Any]:
    for received in collector.received:
        assert received.path == "/v1/traces"
        yield from ExportTraceServiceRequest.FromString(received.body).resource_spans


def spans(collector: LocalHttp) -> list[Span]:
    """Give what was sent."""
    return [
        span for each in requests(collector) for scope in each.scope_spans for span in scope.spans
    ]


def attributes(holder: Any) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in holder.attributes}


def traced(tmp_path: Path, collector: LocalHttp) -> Settings:
    given = {"data_dir": str(tmp_path), "otlp_endpoint": collector.url, "namespace": "city-1"}
    return load_settings(given, environ={"HMS_SVC_CONFIG": ""}).settings


@asynccontextmanager
async def floor_of(settings: Settings, registry: Registry) -> AsyncIterator[Floor]:
    async with bootstrap.engines(settings, registry, "worker-7") as engines:
        floor = Floor(engines, settings)
        with captured_output(pass_on=True):
            floor.start()
            yield floor
            await floor.stop()


async def test_a_report_and_its_notice_are_one_trace_from_the_callers_span(
    tmp_path: Path, collector: LocalHttp
) -> None:
    settings = traced(tmp_path, collector)
    registry = bootstrap.application(settings, only={"pothole.report", "crew.notify"})
    async with floor_of(settings, registry) as floor:
        job_id = await floor.enqueue(PLACE, "pothole.report", traceparent=TRACEPARENT)
        await floor.reaches(job_id, State.COMPLETED)
        async with asyncio.timeout(30):
            while (await floor.engines.inspection.queues())[0].counts.completed != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    found = spans(collector)
    assert {span.trace_id.hex() for span in found} == {TRACE}
    names = {span.span_id.hex(): span.name for span in found}
    parents = sorted(
        (span.name, names.get(span.parent_span_id.hex(), span.parent_span_id.hex()))
        for span in found
    )
    assert parents == [
        ("commit", "handle"),
        ("handle", "process crew.notify"),
        ("handle", "process pothole.report"),
        ("process crew.notify", "handle"),
        ("process pothole.report", CALLER),
        ("validate", "process crew.notify"),
        ("validate", "process pothole.report"),
        ("vet", "process pothole.report"),
    ]
    [report] = [span for span in found if span.name == "process pothole.report"]
    assert report.kind == Span.SPAN_KIND_CONSUMER
    assert attributes(report) == {
        "messaging.system": "hms-svc",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "pothole.report",
        "messaging.message.id": job_id,
        "hms.attempt": 1,
        "hms.outcome": "completed",
    }
    [resource] = {str(attributes(each.resource)): each.resource for each in requests(collector)}
    assert all(word in resource for word in ("'hms-svc'", "'city-1'", "'worker-7'"))


async def test_plain_jobs_failures_and_foreign_contexts(
    tmp_path: Path, collector: LocalHttp
) -> None:
    def handler(job: RunningJob) -> None:
        secret = job.data["photo"]
        raise RuntimeError(f"no luck with {secret}")

    settings = traced(tmp_path, collector)
    async with floor_of(settings, registry_of(handler, retry=RetryPolicy(1))) as floor:
        await floor.run({**PLACE, "photo": "s3cret"}, traceparent="rubbish")
    found = {span.name: span for span in spans(collector)}
    attempt, handle = found[f"process {TYPE}"], found["handle"]
    assert handle.parent_span_id == attempt.span_id
    assert attempt.parent_span_id == b""
    assert attributes(handle) == {"error.type": "RuntimeError"}
    assert (attributes(attempt)["hms.reason"], attempt.status.code) == (
        "error", Status.STATUS_CODE_ERROR,
    )  # fmt: skip
    assert not any(b"s3cret" in received.body for received in collector.received)


async def test_a_job_enqueued_by_a_handler_goes_on_with_its_context(
    tmp_path: Path, collector: LocalHttp
) -> None:
    carried: dict[str, str | None] = {}

    async def handler(job: RunningJob) -> None:
        carried[job.id] = job.claimed.job.traceparent
        if not job.id.startswith("after-"):
            await aio.Job(TYPE, PLACE, id=f"after-{job.id}").enqueue()

    settings = traced(tmp_path, collector)
    for each, id in ((settings, "traced"), (replace(settings, otlp_endpoint=""), "passed-on")):
        async with floor_of(each, registry_of(handler)) as floor:
            await floor.run(id=id, traceparent=TRACEPARENT)
            await floor.reaches(f"after-{id}", State.COMPLETED)
    handles = [span.span_id.hex() for span in spans(collector) if span.name == "handle"]
    assert carried["after-traced"] in {f"00-{TRACE}-{handle}-01" for handle in handles}
    assert carried["after-passed-on"] == TRACEPARENT


async def test_a_request_is_a_span_whose_context_its_jobs_carry(collector: LocalHttp) -> None:
    tracer = OtlpTracer(collector.url + "/", namespace="city-1", instance="door")
    with tracer.server_span(method="POST", route="/jobs", traceparent=TRACEPARENT) as request:
        carried = make_job(TYPE, PLACE, now_ms=0, traceparent=request.traceparent).traceparent
        request.set_status(503)
    await tracer.close()
    [span] = spans(collector)
    assert carried == f"00-{TRACE}-{span.span_id.hex()}-01"
    assert (span.name, span.kind) == ("POST /jobs", Span.SPAN_KIND_SERVER)
    assert (span.parent_span_id.hex(), span.status.code) == (CALLER, Status.STATUS_CODE_ERROR)
