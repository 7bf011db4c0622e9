"""How many jobs a worker may claim beyond its free slots, so that short ones do not wait for an exchange.

The rule: a job that is claimed ahead waits at most about HORIZON_SECONDS for a slot, judged by how long
the last runs of its type took. So a type whose runs take longer than its slots times the horizon is
never claimed ahead. Should a job wait for more than MAX_WAIT_SECONDS nevertheless, it is given back as if
it had not been claimed, and its type starts again without. Types with limits are never claimed ahead:
a job that waits in a worker would take the place of one that could run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

HORIZON_SECONDS: Final = 0.02
MAX_WAIT_SECONDS: Final = 0.25
MAX_AHEAD: Final = 500
_WEIGHT: Final = 0.05
"""The weight of the newest run in the mean."""
_LONG_SECONDS: Final = 0.05
"""A run that is longer than this and than ten times the mean replaces the mean."""


class Prefetch:
    """Learns how long the runs of each type take; types in `never` are not claimed ahead."""

    def __init__(self, slots_of: Mapping[str, int], never: Collection[str] = ()) -> None:
        self._slots_of = slots_of
        self._never = frozenset(never)
        self._mean_seconds: dict[str, float] = {}
        self._unseen = dict(slots_of)

    def note(self, type: str, seconds: float) -> None:
        """Note how long a run took."""
        mean = self._mean_seconds.get(type)
        if mean is None or (seconds > _LONG_SECONDS and seconds > 10 * mean):
            self._mean_seconds[type] = seconds
        else:
            self._mean_seconds[type] = mean + (seconds - mean) * _WEIGHT
        if self._unseen[type]:
            self._unseen[type] -= 1

    def forget(self, type: str) -> None:
        """Claim a type without looking ahead, until as many runs as it has slots have ended."""
        self._unseen[type] = self._slots_of[type]

    def ahead_of(self, type: str) -> int:
        """Return how many jobs of a type may be claimed beyond its slots."""
        if self._unseen[type] or type in self._never:
            return 0
        seconds = max(self._mean_seconds[type], 1e-6)
        return min(MAX_AHEAD, int(self._slots_of[type] * HORIZON_SECONDS / seconds))


def low_water(ahead: int, slots: int) -> int:
    """Return with how many jobs waiting more are claimed: those must last for the exchange.

    All slots may become free in one iteration of the loop, and then take as many at once.
    """
    return min(ahead // 2 + slots, ahead * 3 // 4)
