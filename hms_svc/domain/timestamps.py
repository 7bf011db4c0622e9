"""Time as plain numbers: wall time in Unix milliseconds, and its RFC 3339 text."""

from __future__ import annotations

from datetime import UTC, datetime

from hms_svc.domain.errors import BadInput


def to_rfc3339(unix_ms: int) -> str:
    """Write Unix milliseconds as RFC 3339 in UTC with milliseconds, `2026-01-02T03:04:05.678Z`."""
    moment = datetime.fromtimestamp(unix_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{unix_ms % 1000:03d}Z"


def from_rfc3339(text: str) -> int:
    """Read an RFC 3339 time with a zone into Unix milliseconds.

    Raises BadInput naming the text where it is no such time or has no zone.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"{text!r} is not an RFC 3339 time such as 2026-01-02T03:04:05Z") from error
    if moment.tzinfo is None:
        raise BadInput(f"{text!r} has no time zone; write it as 2026-01-02T03:04:05Z")
    return int(moment.timestamp() * 1000)
