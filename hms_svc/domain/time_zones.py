"""Time zones by their IANA names."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from hms_svc.domain.errors import BadInput

UTC_NAME: Final = "UTC"


def time_zone(name: str) -> tzinfo:
    """Return the time zone of a name. Raises BadInput if it is unknown."""
    try:
        return UTC if name == UTC_NAME else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        why = "expected a name such as Europe/Paris"
        if not available_timezones():
            why = "this machine has no time-zone data: install the package tzdata"
        raise BadInput(f"time zone {name!r:.80} is unknown: {why}") from error
