"""The numeric codes of states and positions, which one index can order.

The statements and scripts of both brokers get them from here.
"""

from __future__ import annotations

from typing import Final

from hms_svc.domain.lifecycle import State

CODE_OF: Final = {
    State.SCHEDULED: 1,
    State.QUEUED: 2,
    State.HELD: 3,
    State.PROCESSING: 4,
    State.RETRYING: 5,
    State.COMPLETED: 6,
    State.REJECTED: 7,
    State.DEAD: 8,
    State.CANCELLED: 9,
}
STATE_OF: Final = {code: state for state, code in CODE_OF.items()}
SCHEDULED, QUEUED, HELD, PROCESSING, RETRYING = 1, 2, 3, 4, 5
COMPLETED, REJECTED, DEAD, CANCELLED, DISCARDED = 6, 7, 8, 9, 10
FIRST_TERMINAL: Final = COMPLETED
"""Jobs with a lower code are unfinished."""

LIMITED: Final = 2
"""Added to the field `suspect` (1 for a suspect) of a queued job that waits for a limit with a key."""
PRIORITY_STEP: Final = 2**43
"""More than any wall-clock time in milliseconds: one step of priority outweighs any age."""
SUSPECT_BAND: Final = 2**60
"""Added to the position of a suspect, so that an ordinary claim never reaches it."""
LOWEST_SUSPECT: Final = SUSPECT_BAND // 2
"""The positions of suspects are not below this, whatever their priority; those of other jobs are."""
LOWEST_LIMITED: Final = LIMITED * SUSPECT_BAND - LOWEST_SUSPECT
"""The positions of jobs that wait for a limit with a key are not below this; those of others are."""
LOWEST_RANK: Final = -(2**62)
COUNTERS: Final = (
    "accepted",
    "claimed",
    "completed",
    "failed",
    "retried",
    "rejected",
    "dead",
    "cancelled",
    "discarded",
)


def turn(at_ms: int, priority: int) -> int:
    """Return the position of a ready job: higher priority first, then by the time it became ready."""
    return at_ms - priority * PRIORITY_STEP
