"""Why runs of schedules are skipped, and how their states are read, for both brokers.

The scripts of Redis get them from here.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hms_svc.ports.schedules import ScheduleState

ON_TIME_MS: Final = 60_000
"""A run that begins later than this after its tick was missed."""
SKIPPED_MISSED: Final = "missed: nothing has decided on it within a minute of its time"
SKIPPED_PAUSED: Final = "paused by {by}"
SKIPPED_OVERLAP: Final = "overlap: job {job} of the run before is {state}"
_read: Final = msgspec.json.Decoder(ScheduleState).decode


def read_state(stored: bytes) -> ScheduleState | None:
    """Return what is kept of a schedule; None if it cannot be read, as if it were lost."""
    try:
        return _read(stored)
    except msgspec.MsgspecError:
        return None
