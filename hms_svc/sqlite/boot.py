"""Which boot of the machine this is: lease times of another one mean nothing."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path


@cache
def boot_id() -> str:
    """Return the kernel's id of this boot, or the minute the machine came up where it has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"minute-{round((time.time() - time.monotonic()) / 60)}"
