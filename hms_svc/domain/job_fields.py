"""The names of the fields of a job, and those unknown names that a producer cannot have meant to be passed on."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Final

from hms_svc.domain.errors import FieldFault
from hms_svc.domain.plain_text import brief
from hms_svc.domain.suggestions import misspelt, plain_name

NAMES: Final = (
    "id",
    "type",
    "data",
    "enqueued_at",
    "not_before",
    "expires_at",
    "priority",
    "max_attempts",
    "unique_key",
    "traceparent",
    "tracestate",
    "meta",
    "retried_from",
    "version",
)
"""The fields of a job; any others are kept, and passed on."""
MOST_NAMES_COMPARED: Final = 100
"""Unknown fields of one job that are compared with the known ones: that takes time for each."""
_NOT_BEFORE: Final = "write not_before, the time of the first run (RFC 3339)"
_MAX_ATTEMPTS: Final = "write max_attempts, the number of all attempts"
_ADVICE: Final = {
    "delay": _NOT_BEFORE,
    "payload": "write data",
    "unique": "write unique_key",
    "retries": _MAX_ATTEMPTS,
    "maxretries": _MAX_ATTEMPTS,
    "timeoutseconds": "timeout_seconds is declared with the job type",
}
"""By `plain_name`: options that are no field of a job, and that no producer means to be passed on."""


def unmeant_names(value: Mapping[str, object], unknown: Mapping[str, object]) -> list[FieldFault]:
    """Return the unknown fields that would have no effect, although their producer most likely expects one.

    These are misspelt fields, of those that the job does not have itself, and some options of `Job` and of
    `registry.job`. Others, such as `action` or `count`, may well be a producer's own.
    """
    free = [name for name in NAMES if name not in value]
    found = ((name, _advice(name, free)) for name in islice(unknown, MOST_NAMES_COMPARED))
    return [FieldFault(name, f"unknown field {brief(name)}{text}") for name, text in found if text]


def _advice(name: str, free: list[str]) -> str:
    if advice := _ADVICE.get(plain_name(name)):
        return f": {advice}"
    meant = misspelt(name, free)
    return f"; did you mean {meant}?" if meant else ""
