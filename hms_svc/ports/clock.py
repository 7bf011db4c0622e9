"""Time, as the rest of the program sees it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks: the wall, for people and due times; and one that never jumps, for leases."""

    def now_ms(self) -> int:
        """Return Unix milliseconds."""
        ...

    def lease_ms(self) -> int:
        """Return milliseconds of a clock that all processes of this machine share since its boot."""
        ...


class SystemClock:
    """The machine's own clocks (CLOCK_REALTIME and CLOCK_MONOTONIC)."""

    def now_ms(self) -> int:
        """Return Unix milliseconds."""
        return time.time_ns() // 1_000_000

    def lease_ms(self) -> int:
        """Return milliseconds of CLOCK_MONOTONIC, which no change of the wall clock moves."""
        return time.monotonic_ns() // 1_000_000
