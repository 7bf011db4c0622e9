"""When something in the demo's city is broken: recurring phases."""

from __future__ import annotations

from typing import Final

import msgspec


class Phase(msgspec.Struct, frozen=True):
    """True from `begins` until `ends` seconds in every `period`."""

    begins: float
    ends: float
    period: float

    def holds(self, elapsed_seconds: float) -> bool:
        """Return whether it holds so long after the city began."""
        return self.begins <= elapsed_seconds % self.period < self.ends


WEBHOOK_DOWN: Final = Phase(20, 80, 240)
STREETLIGHT_BUG: Final = Phase(15, 105, 420)
