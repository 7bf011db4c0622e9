"""The clock interface, and the system clock."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks: wall time, for people and due times, and a monotonic one, for leases."""

    def now_ms(self) -> int:
        """Return Unix milliseconds."""
        ...

    def lease_ms(self) -> int:
        """Return milliseconds of a monotonic clock that all processes of this machine share."""
        ...


class SystemClock:
    """The system's clocks (CLOCK_REALTIME and CLOCK_MONOTONIC)."""

    def now_ms(self) -> int:
        """Return Unix milliseconds."""
        return time.time_ns() // 1_000_000

    def lease_ms(self) -> int:
        """Return milliseconds of CLOCK_MONOTONIC, which changes of the wall clock do not affect."""
        return time.monotonic_ns() // 1_000_000
