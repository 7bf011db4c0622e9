"""One thread beside the event loop, for what a large message takes to be read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final, TypeVar

Result = TypeVar("Result")
SMALL_BYTES: Final = 32 * 1024
"""What a loop may read by itself: some milliseconds, whatever it is."""


async def aside(size: int, work: Callable[[], Result]) -> Result:
    """Run work on so many foreign bytes: at once where they are few, else on a thread.

    There is one thread a process, so that large messages wait for each other, and
    small ones for none. Work that its caller has given up is finished all the same.
    """
    if size <= SMALL_BYTES:
        return work()
    return await on_side_thread(work)


async def on_side_thread(work: Callable[[], Result]) -> Result:
    """Run work on that thread, after what waits for it already."""
    return await asyncio.get_running_loop().run_in_executor(_thread(), work)


@cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="reading")
