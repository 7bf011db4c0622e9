"""Time as plain numbers: wall time in Unix milliseconds, and its RFC 3339 text."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from hms_svc.domain.errors import BadInput
from hms_svc.domain.plain_text import brief

FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 9000
EPOCH: Final = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)
LAST_MS: Final = (datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC) - EPOCH) // MILLISECOND - 1
_CYCLE_YEARS: Final = 400
_CYCLE_MS: Final = 146_097 * 86_400_000
"""The calendar repeats itself after so many years."""
_GRAMMAR: Final = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})[Tt]"
    r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]+))?"
    r"(?P<zone>[Zz]|(?P<sign>[+-])(?P<off_hour>[01][0-9]|2[0-3]):(?P<off_minute>[0-5][0-9]))?"
)
"""RFC 3339, section 5.6; the zone is optional here, so that its absence gets a message of its own."""
_LONGEST: Final = 64


def to_rfc3339(unix_ms: int) -> str:
    """Return Unix milliseconds as RFC 3339 in UTC with milliseconds, `2026-01-02T03:04:05.678Z`.

    Any number has a text: years outside of 0 to 9999 have a sign, as in ISO 8601.
    """
    cycles, rest = divmod(unix_ms, _CYCLE_MS)
    moment = EPOCH + timedelta(milliseconds=rest)
    year = moment.year + cycles * _CYCLE_YEARS
    shown = f"{year:04d}" if 0 <= year <= 9999 else f"{year:+05d}"
    return f"{shown}{moment:-%m-%dT%H:%M:%S}.{unix_ms % 1000:03d}Z"


def from_rfc3339(text: str) -> int:
    """Parse an RFC 3339 time into Unix milliseconds; further digits are cut off.

    As the standard allows, `t` and `z` may be lower-case, and `:60` is accepted where a leap
    second can be (the end of a month in UTC) and is read as the second after it. Raises
    BadInput naming the text if it is not such a time, has no zone, or is outside of the
    years 1970 to 9000 in UTC.
    """
    found = _GRAMMAR.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        raise _no_time(text)
    if found["zone"] is None:
        raise BadInput(f"{text!r} has no time zone; write it as 2026-01-02T03:04:05Z")
    return check_time(_moment(text, found), brief(text))


def check_time(unix_ms: int, shown: str = "") -> int:
    """Return a time of the years 1970 to 9000 in UTC; BadInput names any other as `shown`."""
    if 0 <= unix_ms <= LAST_MS:
        return unix_ms
    raise BadInput(
        f"{shown or to_rfc3339(unix_ms)} is outside of the years {FIRST_YEAR} to {LAST_YEAR} (in UTC)"
    )


def _moment(text: str, found: re.Match[str]) -> int:
    year, month, day, hour, minute, second = (
        int(found[name]) for name in ("year", "month", "day", "hour", "minute", "second")
    )
    leap = second == 60
    try:
        # A year with the same calendar replaces those that datetime does not support.
        local = datetime(
            _CYCLE_YEARS * 5 + year % _CYCLE_YEARS,
            month,
            day,
            hour,
            minute,
            second - leap,
            tzinfo=UTC,
        )
    except ValueError as error:
        raise _no_time(text) from error
    at = local - _offset(found)
    if leap and (at.hour, at.minute, (at + timedelta(days=1)).day) != (23, 59, 1):
        raise BadInput(f"{text!r} has a second 60 at a time that cannot be a leap second")
    at += timedelta(seconds=leap, milliseconds=int((found["fraction"] or "0")[:3].ljust(3, "0")))
    cycles = year // _CYCLE_YEARS - 5
    return (at - EPOCH) // MILLISECOND + cycles * _CYCLE_MS


def _offset(found: re.Match[str]) -> timedelta:
    if found["sign"] is None:
        return timedelta(0)
    offset = timedelta(hours=int(found["off_hour"]), minutes=int(found["off_minute"]))
    return offset if found["sign"] == "+" else -offset


def _no_time(text: str) -> BadInput:
    return BadInput(
        f"{brief(text)} is not an RFC 3339 time with its time zone, such as 2026-01-02T03:04:05Z"
    )
