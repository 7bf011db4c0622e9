"""The pace of loops around calls that should block on the server."""

from __future__ import annotations

import asyncio
import time
from typing import Final

EMPTY_SECONDS: Final = 0.1


async def pause_if_early(started: float, seconds: float) -> None:
    """Pause if a call that should block for `seconds` returned empty in less than half of them.

    `started` is the monotonic time of the call. A proxy or an emulated server may not block.
    """
    if time.monotonic() - started < seconds / 2:
        await asyncio.sleep(min(EMPTY_SECONDS, seconds))
