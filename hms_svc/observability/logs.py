"""The format of log lines: one line of text, or one JSON object."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any, Final

from hms_svc.domain.timestamps import to_rfc3339

JOB_FIELDS: Final = ("job_id", "job_type", "attempt")


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: time, level, logger, message, and the traceback if any.

    A record about a job, or logged while one runs, also has `job_id`, `job_type` and `attempt`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        fields: dict[str, Any] = {
            "time": to_rfc3339(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields |= job_of(record)
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


def job_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the job that a record is about, or that runs where it was logged; empty without one."""
    given = {name: getattr(record, name) for name in JOB_FIELDS if hasattr(record, name)}
    if len(given) == len(JOB_FIELDS):  # fewer are an application's own `extra` with such a name
        return given
    from hms_svc.sdk.running_job import find_job  # a supervisor logs too, and needs none of it

    job = find_job()
    return {} if job is None else job.log_fields


class TextFormatter(logging.Formatter):
    """Time, level and message; control characters are escaped, so that no line can be forged."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        """Return the line itself; a traceback has lines of its own below it."""
        return _printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the name is logging's
        """Return a traceback, indented: an exception's text may have the form of a log line."""
        text = super().formatException(ei)
        return "\n".join(f"  {_printable(line)}" for line in text.splitlines())


def _printable(line: str) -> str:
    return line if line.isprintable() else "".join(map(_visible, line))


def _visible(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]


def set_up_logging(level: str, style: str) -> None:
    """Log to standard error. `style` is `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger("hms_svc")
    root.handlers = [handler]
    root.propagate = False
    root.setLevel(level.upper())
