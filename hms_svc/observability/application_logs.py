"""What the code of an application logs: to standard error as our own lines, and to the job's log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def application_logging(level: str, style: str) -> Iterator[None]:
    """While the block runs, log what is not ours as we do, from `level` on.

    If the application has configured the root logger, its handlers and levels apply. In both cases
    what is logged while a job runs is kept with the job. To be entered after the application was
    loaded, and after `set_up_logging`.
    """
    root = logging.getLogger()
    added: list[logging.Handler] = [JobLogHandler()]
    levels: dict[logging.Logger, int] = {}
    if not root.handlers:
        handler = logging.StreamHandler(_our_stream())
        handler.setFormatter(JsonFormatter() if style == "json" else ApplicationFormatter())
        added.append(handler)
        levels[root] = root.level
        root.setLevel(level.upper())
        for library in map(logging.getLogger, TALKATIVE):
            levels[library] = library.level
            library.setLevel(library.level or logging.WARNING)
    for each in added:
        each.addFilter(_is_of_application)
        root.addHandler(each)
    try:
        yield
    finally:
        for each in added:
            root.removeHandler(each)
        for logger, before in levels.items():
            logger.setLevel(before)


def _is_of_application(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] != "hms_svc"


def _our_stream() -> TextIO:
    """Return where our own lines go: a console has moved it away from its screen."""
    streams: list[Any] = [
        handler.stream
        for handler in logging.getLogger("hms_svc").handlers
        if isinstance(handler, logging.StreamHandler)
    ]
    stream: TextIO = streams[0] if streams else sys.stderr
    return stream
