"""One job through a real worker, its spans read as a collector reads them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from hms_svc import aio, bootstrap
from hms_svc.domain.backoff import RetryPolicy
from hms_svc.domain.job import make_job
from hms_svc.domain.lifecycle import State
from hms_svc.domain.trace_context import TraceContext, context_of, with_context
from hms_svc.observability.collector import CollectorExporter
from hms_svc.observability.tracing import OtlpTracer
from hms_svc.ports.tracing import RequestFacts
from hms_svc.sdk.captured_output import captured_output
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.running_job import RunningJob
from hms_svc.settings import Settings, load_settings
from tests.support.local_http import LocalHttp, local_http
from tests.support.waiting import until
from tests.support.worker import PLACE, TYPE, WorkerHarness, registry_of

TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER: Final = "00f067aa0ba902b7"
TRACEPARENT: Final = f"00-{TRACE}-{CALLER}-01"
STATE: Final = "city=t61rcWkgMzE,rojo=00f067aa0ba902b7"


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
    """Return what was sent."""
    return [
        span for each in requests(collector) for scope in each.scope_spans for span in scope.spans
    ]


def attributes(holder: Any) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in holder.attributes}


def traced(tmp_path: Path, collector: LocalHttp) -> Settings:
    given = {"data_dir": str(tmp_path), "otlp_endpoint": collector.url, "namespace": "city-1"}
    return load_settings(given, environ={"HMS_SVC_CONFIG": ""}).settings


@asynccontextmanager
async def harness_of(settings: Settings, registry: Registry) -> AsyncIterator[WorkerHarness]:
    async with bootstrap.engines(settings, registry, "worker-7") as engines:
        harness = WorkerHarness(engines, settings)
        with captured_output(pass_on=True):
            harness.start()
            yield harness
            await harness.stop()


async def test_a_report_and_its_notice_are_one_trace_from_the_callers_span(
    tmp_path: Path, collector: LocalHttp
) -> None:
    settings = traced(tmp_path, collector)
    registry = bootstrap.application(settings, only={"pothole.report", "crew.notify"})
    async with harness_of(settings, registry) as harness:
        job_id = await harness.enqueue(PLACE, "pothole.report", traceparent=TRACEPARENT)
        await harness.reaches(job_id, State.COMPLETED)

        async def is_completed() -> bool:
            return (await harness.engines.inspection.queues())[0].counts.completed == 1

        await until("the follow-up is completed", is_completed)
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
    async with harness_of(settings, registry_of(handler, retry=RetryPolicy(1))) as harness:
        await harness.run({**PLACE, "photo": "s3cret"}, traceparent="rubbish")
    found = {span.name: span for span in spans(collector)}
    attempt, handle = found[f"process {TYPE}"], found["handle"]
    assert handle.parent_span_id == attempt.span_id
    assert attempt.parent_span_id == b""
    assert attributes(handle) == {"error.type": "RuntimeError"}
    assert (attributes(attempt)["hms.reason"], attempt.status.code) == (
        "error",
        Status.STATUS_CODE_ERROR,
    )
    assert not any(b"s3cret" in received.body for received in collector.received)


async def test_a_job_enqueued_by_a_handler_goes_on_with_its_context(
    tmp_path: Path, collector: LocalHttp
) -> None:
    carried: dict[str, TraceContext | None] = {}

    async def handler(job: RunningJob) -> None:
        carried[job.id] = context_of(job.claimed.job)
        if not job.id.startswith("after-"):
            await aio.Job(TYPE, PLACE, id=f"after-{job.id}").enqueue()

    settings = traced(tmp_path, collector)
    for each, id in ((settings, "traced"), (replace(settings, otlp_endpoint=""), "passed-on")):
        async with harness_of(each, registry_of(handler)) as harness:
            await harness.run(id=id, traceparent=TRACEPARENT, tracestate=STATE)
            await harness.reaches(f"after-{id}", State.COMPLETED)
    found = spans(collector)
    handles = [span.span_id.hex() for span in found if span.name == "handle"]
    assert carried["after-traced"] in {(f"00-{TRACE}-{handle}-01", STATE) for handle in handles}
    assert carried["after-passed-on"] == (TRACEPARENT, STATE)
    assert {span.trace_state for span in found} == {STATE}


async def test_webhooks_carry_the_trace_of_their_job(tmp_path: Path, collector: LocalHttp) -> None:
    async with local_http() as crew:
        settings = replace(
            traced(tmp_path, collector),
            webhook_url=crew.url,
            webhook_secret="a secret of the crew",
            webhook_allowed_hosts=("127.0.0.1",),
        )
        registry = bootstrap.application(settings, only={"crew.notify"})
        async with harness_of(settings, registry) as harness:
            id = await harness.enqueue(
                {"case_id": "case-1"}, "crew.notify", traceparent=TRACEPARENT, tracestate=STATE
            )
            await harness.reaches(id, State.COMPLETED)
    [told] = crew.received
    [handle] = [span for span in spans(collector) if span.name == "handle"]
    assert told.headers["traceparent"] == f"00-{TRACE}-{handle.span_id.hex()}-01"
    assert told.headers["tracestate"] == STATE


FACTS: Final = RequestFacts("POST", "/jobs", "/hms/jobs", "https", "city.example", 8443)


async def test_a_request_is_a_span_whose_context_its_jobs_carry(collector: LocalHttp) -> None:
    tracer = OtlpTracer(collector.url + "/", namespace="city-1", instance="one")
    with tracer.server_span(FACTS, TraceContext(TRACEPARENT, STATE)) as request:
        carried = with_context(make_job(TYPE, PLACE, now_ms=0), request.context)
        request.set_status(503, "BrokerUnavailable")
    await tracer.close()
    [span] = spans(collector)
    assert (carried.traceparent, carried.tracestate) == (
        f"00-{TRACE}-{span.span_id.hex()}-01",
        STATE,
    )
    assert (span.name, span.kind) == ("POST /jobs", Span.SPAN_KIND_SERVER)
    assert (span.parent_span_id.hex(), span.status.code) == (CALLER, Status.STATUS_CODE_ERROR)
    assert attributes(span) == {
        "http.request.method": "POST",
        "http.route": "/jobs",
        "url.path": "/hms/jobs",
        "url.scheme": "https",
        "server.address": "city.example",
        "server.port": 8443,
        "http.response.status_code": 503,
        "error.type": "BrokerUnavailable",
    }


async def test_what_a_caller_did_wrong_is_no_error_of_the_server(collector: LocalHttp) -> None:
    tracer = OtlpTracer(collector.url, namespace="city-1", instance="one")
    with tracer.server_span(FACTS) as request:
        request.set_status(422, "MalformedJob")
    await tracer.close()
    [span] = spans(collector)
    assert attributes(span)["http.response.status_code"] == 422
    assert "error.type" not in attributes(span)
    assert span.status.code == Status.STATUS_CODE_UNSET


async def test_the_variables_of_opentelemetry_name_the_service(
    collector: LocalHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "potholes")
    monkeypatch.setenv(
        "OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.namespace=east"
    )
    tracer = OtlpTracer(collector.url, namespace="city-1", instance="one")
    with tracer.server_span(FACTS):
        pass
    await tracer.close()
    [resource] = [attributes(each.resource) for each in requests(collector)]
    assert (resource["service.name"], resource["service.namespace"]) == ("potholes", "east")
    assert resource["deployment.environment.name"] == "test"
    assert resource["service.instance.id"] == "one"


async def test_each_process_has_an_instance_of_its_own(
    tmp_path: Path, collector: LocalHttp
) -> None:
    for _ in range(2):
        tracer = bootstrap.tracer(traced(tmp_path, collector))
        assert tracer is not None
        with tracer.server_span(FACTS):
            pass
        await tracer.close()
    named = {attributes(each.resource)["service.instance.id"] for each in requests(collector)}
    assert len(named) == 2


async def test_a_collector_that_is_away_costs_a_line_and_one_when_it_is_back(
    collector: LocalHttp, caplog: pytest.LogCaptureFixture
) -> None:
    exporter = CollectorExporter(f"{collector.url}/v1/traces")
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def send() -> None:
        provider.get_tracer("tests").start_span("one").end()

    logging.getLogger("hms_svc").propagate = True
    caplog.set_level(logging.INFO)
    collector.status = 400
    for _ in range(3):
        await asyncio.to_thread(send)
    collector.status = 200
    for _ in range(3):
        await asyncio.to_thread(send)
    provider.shutdown()
    away, back = [record.getMessage() for record in caplog.records]
    assert f"the collector at {collector.url}/v1/traces does not accept traces" in away
    assert "400" in away
    assert "accepts traces again" in back
