"""The pace of loops around calls that block at the server, whether the server blocks or not."""

from __future__ import annotations

import asyncio
import time
from typing import Final

EMPTY_SECONDS: Final = 0.1


async def pause_if_early(started: float, seconds: float) -> None:
    """Pause where a call that was to block for `seconds` came back empty in less than half of them.

    `started` is the monotonic time of the call. A proxy or a stand-in for a server may not block.
    """
    if time.monotonic() - started < seconds / 2:
        await asyncio.sleep(min(EMPTY_SECONDS, seconds))
