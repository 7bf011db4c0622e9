"""Skips damaged records and names them in the log, instead of failing for all jobs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, TypeVar

log: Final = logging.getLogger("hms_svc.brokers")
Result = TypeVar("Result")


def readable(job_id: str, read: Callable[[], Result]) -> Result | None:
    """Return the result of `read`, or log a warning and return None if the record cannot be read."""
    try:
        return read()
    except Exception as error:  # noqa: BLE001 - foreign bytes may raise anything
        log.warning("the record of job %s cannot be read and is skipped: %r", job_id, error)
        return None
