"""What the code of an application logs: to standard error as our own lines, and to the job's log."""

from __future__ import annotations

import logging
import sys
from typing import Any, Final, TextIO

from hms_svc.observability.logs import JsonFormatter, TextFormatter, job_of
from hms_svc.sdk.running_job import find_job

TALKATIVE: Final = ("aiosqlite", "asyncio", "httpcore", "httpx")
"""Libraries that this program uses itself, and that log each call below the level WARNING."""


class ApplicationFormatter(TextFormatter):
    """A line with the name of its logger, and with the job that it belongs to."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        """Return the line itself; a traceback keeps its own lines below it."""
        record.message = f"{record.name}: {record.message}{self.about_job(record)}"
        return super().formatMessage(record)

    def about_job(self, record: logging.LogRecord) -> str:
        """Return what the line says about the job, empty without one."""
        return (
            " [{job_type} {job_id}, attempt {attempt}]".format(**job)
            if (job := job_of(record))
            else ""
        )


class _JobFormatter(ApplicationFormatter):
    """A line in the log of a job, which need not say which job it is."""

    def about_job(self, record: logging.LogRecord) -> str:
        return ""


class JobLogHandler(logging.Handler):
    """Keeps what is logged while a job runs with the job, as what it prints."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(_JobFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Add the record to the log of the job that runs here, if one does."""
        job = find_job()
        if job is None:
            return
        try:
            job.capture(self.format(record) + "\n")
        except Exception:  # noqa: BLE001 - formatting calls code of the application
            self.handleError(record)


def set_up_application_logging(level: str, style: str) -> None:
    """Log what is not ours as we do, from `level` on, unless the application has configured the root logger.

    Whatever it has configured, what is logged while a job runs is kept with the job. To be called
    after the application was loaded, and after `set_up_logging`.
    """
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler(_our_stream())
        handler.setFormatter(JsonFormatter() if style == "json" else ApplicationFormatter())
        root.addHandler(handler)
        root.setLevel(level.upper())
        for name in TALKATIVE:
            library = logging.getLogger(name)
            library.setLevel(library.level or logging.WARNING)
    if not any(isinstance(each, JobLogHandler) for each in root.handlers):
        root.addHandler(JobLogHandler())


def _our_stream() -> TextIO:
    """Return where our own lines go: a console has moved it away from its screen."""
    streams: list[Any] = [
        handler.stream
        for handler in logging.getLogger("hms_svc").handlers
        if isinstance(handler, logging.StreamHandler)
    ]
    stream: TextIO = streams[0] if streams else sys.stderr
    return stream
