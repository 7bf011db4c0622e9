"""`Retry-After` (RFC 9110, 10.2.3): how long a server asks its clients to wait."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

_MOST_DIGITS: Final = 9


def retry_after_seconds(text: str, now: float) -> float | None:
    """Parse whole seconds, or an HTTP date relative to `now` (Unix seconds); None for anything else, including the past."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        digits = text.lstrip("0")
        return (
            float(digits or 0) or None if len(digits) <= _MOST_DIGITS else float(10**_MOST_DIGITS)
        )
    try:
        date = parsedate_to_datetime(text)
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return seconds if seconds > 0 else None
