"""The way to the collector. One that is away costs a line of the log, and one when it is back."""

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
"""Loggers that speak of every try, every batch that was not taken, and every span that was dropped."""


class CollectorExporter(SpanExporter):
    """Sends spans over OTLP/HTTP. What is not taken within five seconds is dropped."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._exporter = OTLPSpanExporter(endpoint=address, timeout=SEND_SECONDS)
        self._is_away = False
        for name in _QUIET:
            logger = logging.getLogger(name)
            logger.propagate = False
            logger.handlers = [_words]

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send one batch."""
        _words.first = ""
        result = self._exporter.export(spans)
        is_away = result is not SpanExportResult.SUCCESS
        if is_away and not self._is_away:
            log.warning(
                "the collector at %s takes no traces, which are dropped until it does: %s",
                self._address,
                _words.first or "it does not answer",
            )
        elif self._is_away and not is_away:
            log.info("the collector at %s takes traces again", self._address)
        self._is_away = is_away
        return result

    def shutdown(self) -> None:
        """End."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # untyped upstream

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait for nothing: what is submitted is sent at once."""
        return self._exporter.force_flush(timeout_millis)


class _Words(logging.Handler):
    """Keeps the first that the SDK says of a batch: that is the reason."""

    first = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record; errors of the SDK itself go on to our log."""
        if record.exc_info:
            log.error("%s", record.getMessage(), exc_info=record.exc_info)
        self.first = self.first or record.getMessage()


_words: Final = _Words()
