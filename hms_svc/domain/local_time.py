"""Times for people: in one time zone for the whole process, which is named beside them.

Programs get RFC 3339 in UTC (`timestamps`).
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Final

from hms_svc.domain.time_zones import time_zone

_FIRST: Final = datetime(1, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


class Zone:
    """The zone that times are shown in: that of the machine or of TZ, until another is set."""

    def __init__(self) -> None:
        self._set: tzinfo | None = None
        self.is_utc = False

    def set(self, name: str) -> None:
        """Show times in the zone of this name, empty for that of the machine. Raises BadInput."""
        self._set = time_zone(name) if name else None

    def at(self, unix_ms: int) -> datetime:
        """Return a moment in the zone; a time out of range becomes the first or the last moment."""
        try:
            moment = datetime.fromtimestamp(unix_ms / 1000, UTC)
            return moment if self.is_utc else moment.astimezone(self._set)
        except (ValueError, OverflowError, OSError):
            return _LAST if unix_ms > 0 else _FIRST


ZONE: Final = Zone()
"""The zone of this process."""


def clock(unix_ms: int | None) -> str:
    """Return the time of day: `14:03:59`."""
    return "" if unix_ms is None else f"{ZONE.at(unix_ms):%H:%M:%S}"


def moment(unix_ms: int | None) -> str:
    """Return date and time with their zone: `2026-11-24 14:03:59 EST`."""
    if unix_ms is None:
        return ""
    return f"{ZONE.at(unix_ms):%Y-%m-%d %H:%M:%S} {zone_name(unix_ms)}"


def zone_name(unix_ms: int) -> str:
    """Return the name of the zone at a time: `CET`, `UTC`, `+03`."""
    return ZONE.at(unix_ms).tzname() or "UTC"
