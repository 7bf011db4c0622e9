"""The id of the machine's current boot: lease times of another boot are invalid."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path


@cache
def boot_id() -> str:
    """Return the kernel's boot id, or the minute of the boot if the kernel has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"minute-{round((time.time() - time.monotonic()) / 60)}"
