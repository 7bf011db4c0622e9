"""How much of the machine others used while something was measured.

It matters in both directions. Work for the same cores slows a contender down; but on a virtual
machine a core that somebody keeps awake answers a round trip four times as fast as one that has
to be woken, so that load flatters whoever pays a round trip for each job.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

QUIET_SHARE = 0.1
CHECK_SECONDS = 0.5
PATIENCE_SECONDS = 60.0
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Moment(NamedTuple):
    """Seconds so far: of the clock, of CPU in the whole machine, of CPU by us and what we waited for."""

    clock: float
    machine: float
    ours: float

    def others_since(self, earlier: Moment) -> float:
        """Return how many cores others used on average since then. A server not of ours counts too."""
        foreign = (self.machine - earlier.machine) - (self.ours - earlier.ours)
        return max(0.0, foreign) / max(1e-9, self.clock - earlier.clock)


def now() -> Moment:
    """Check the clocks. Waiting for disks and time stolen by the host are nobody's."""
    user, nice, system, _, _, irq, softirq, *_ = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    )
    spent = os.times()
    ours = spent.user + spent.system + spent.children_user + spent.children_system
    machine = (user + nice + system + irq + softirq) / _TICKS_A_SECOND
    return Moment(time.monotonic(), machine, ours)


def wait_until_quiet(seconds: float = PATIENCE_SECONDS) -> bool:
    """Wait until others use less than a tenth of a core; False where they never do."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before = now()
        time.sleep(CHECK_SECONDS)
        if now().others_since(before) < QUIET_SHARE:
            return True
    return False
