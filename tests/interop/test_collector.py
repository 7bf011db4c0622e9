"""Traces through a collector that others wrote: rotel takes them from `serve`, and hands them on."""

from __future__ import annotations

import gzip
import importlib
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from tests.chaos.site import Site
from tests.interop.conftest import is_ready
from tests.interop.parts import python_part
from tests.support.proxy import LOOPBACK, free_port
from tests.support.waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.interop
TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER: Final = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "tracestate": "city=1"}
JOB: Final = {"type": "crew.notify", "data": {"case_id": "case-1"}}


class Sink(ThreadingHTTPServer):
    """Where the collector hands spans on to."""

    def __init__(self) -> None:
        super().__init__((LOOPBACK, 0), _Operator)
        self.received: list[ResourceSpans] = []

    @property
    def spans(self) -> list[Span]:
        return [
            span for each in self.received for scope in each.scope_spans for span in scope.spans
        ]


class _Operator(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        assert isinstance(self.server, Sink)
        self.server.received += ExportTraceServiceRequest.FromString(body).resource_spans
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.end_headers()
        self.wfile.write(ExportTraceServiceResponse().SerializeToString())

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Rotel:
    """The collector, on a port that it keeps. Use `start` and `stop`."""

    def __init__(self, folder: Path, sink: Sink) -> None:
        python_part("rotel")
        place = importlib.import_module("rotel").__file__
        assert place is not None
        self.address = f"{LOOPBACK}:{free_port()}"
        self._log = folder / "rotel.log"
        self._command = [
            str(Path(place).with_name("rotel-agent")),
            "start",
            "--otlp-http-endpoint",
            self.address,
            "--otlp-grpc-endpoint",
            f"{LOOPBACK}:{free_port()}",
            "--exporter",
            "otlp",
            "--otlp-exporter-endpoint",
            f"http://{LOOPBACK}:{sink.server_port}",
            "--otlp-exporter-protocol",
            "http",
            "--batch-timeout",
            "100ms",
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_until("the collector listens", self._listens)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(PATIENCE_SECONDS)
            self._process = None

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        try:
            httpx.get(f"http://{self.address}/")
        except httpx.TransportError:
            return False
        return True


@pytest.fixture
def rotel(tmp_path: Path, sink: Sink) -> Iterator[Rotel]:
    collector = Rotel(tmp_path, sink)
    collector.start()
    yield collector
    collector.stop()


def test_a_trace_goes_through_a_collector_which_may_be_away_for_a_while(
    site: Site, sink: Sink, rotel: Rotel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "potholes")
    address = f"{LOOPBACK}:{free_port()}"
    served = site.serve(http=address, otlp_endpoint=f"http://{rotel.address}")
    served.wait_until("it is ready", lambda: is_ready(address))

    def names() -> list[str]:
        return [span.name for span in sink.spans]

    def post() -> None:
        answer = httpx.post(f"http://{address}/jobs", json=JOB, headers=CALLER)
        assert answer.status_code == 202

    def log_lines(words: str) -> int:
        return served.log.read_text().count(words)

    post()
    served.wait_until("the trace is there", lambda: {"POST /jobs", "handle"} <= set(names()))
    assert {span.trace_id.hex() for span in sink.spans} == {TRACE}
    assert {span.trace_state for span in sink.spans} == {"city=1"}
    told = [
        {each.key: each.value.string_value for each in found.resource.attributes}
        for found in sink.received
    ]
    assert {each["service.name"] for each in told} == {"potholes"}
    assert len({each["service.instance.id"] for each in told}) == 2, "the HTTP API and a worker"

    rotel.stop()
    for batch in range(1, 4):
        post()
        served.wait_until(
            "both processes have told it", lambda: log_lines("does not accept traces") == 2
        )
        assert len(site.jobs("crew.notify")) == batch + 1
    rotel.start()
    before = len(sink.spans)

    def is_back() -> bool:
        post()
        return log_lines("accepts traces again") == 2

    served.wait_until("both are told of it", is_back)
    served.wait_until("spans go through again", lambda: len(sink.spans) > before)
    assert log_lines("does not accept traces") == 2
    assert "ERROR" not in served.log.read_text()
