"""The retention of a broker."""

from __future__ import annotations

import msgspec

from hms_svc.brokers.limits import MOST_EVENTS


class Retention(msgspec.Struct, frozen=True):
    """How long the broker keeps finished jobs and events; counts are of records."""

    completed_days: float = 7
    completed_most: int = 100_000
    undo_seconds: float = 600
    event_days: float = 7
    event_most: int = MOST_EVENTS
