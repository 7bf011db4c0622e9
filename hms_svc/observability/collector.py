"""Sends traces to the collector; an outage is logged once, and its end once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

log: Final = logging.getLogger("hms_svc.traces")
SEND_SECONDS: Final = 5
_QUIET: Final = ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal")
"""Loggers that log every attempt, every failed batch and every dropped span."""


class CollectorExporter(SpanExporter):
    """Sends spans over OTLP/HTTP. Batches that are not accepted within five seconds are dropped."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._exporter = OTLPSpanExporter(endpoint=address, timeout=SEND_SECONDS)
        self._is_down = False
        for name in _QUIET:
            logger = logging.getLogger(name)
            logger.propagate = False
            logger.handlers = [_sdk_log]

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send one batch."""
        _sdk_log.first = ""
        result = self._exporter.export(spans)
        is_down = result is not SpanExportResult.SUCCESS
        if is_down and not self._is_down:
            log.warning(
                "the collector at %s does not accept traces, which are dropped until it does: %s",
                self._address,
                _sdk_log.first or "it does not respond",
            )
        elif self._is_down and not is_down:
            log.info("the collector at %s accepts traces again", self._address)
        self._is_down = is_down
        return result

    def shutdown(self) -> None:
        """Shut down the exporter."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # untyped upstream

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return immediately: spans are sent as soon as they are submitted."""
        return self._exporter.force_flush(timeout_millis)


class _SdkLog(logging.Handler):
    """Keeps the first message of the SDK about a batch, which is the reason of a failure."""

    first = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message of a record; internal errors of the SDK are logged."""
        if record.exc_info:
            log.error("%s", record.getMessage(), exc_info=record.exc_info)
        self.first = self.first or record.getMessage()


_sdk_log: Final = _SdkLog()
