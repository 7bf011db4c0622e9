"""Records that somebody has written over: left out, and named in the log, in place of an error for all."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, TypeVar

log: Final = logging.getLogger("hms_svc.brokers")
Result = TypeVar("Result")


def readable(job_id: str, read: Callable[[], Result]) -> Result | None:
    """Return what is read of the record of a job; None, with a line in the log, where it cannot be read."""
    try:
        return read()
    except Exception as error:  # noqa: BLE001 - whatever a stranger's bytes make of it
        log.warning("the record of job %s cannot be read, and is left out: %r", job_id, error)
        return None
