"""One thread beside the event loop, for work on large messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final, TypeVar

Result = TypeVar("Result")
SMALL_BYTES: Final = 32 * 1024
"""The size up to which data is processed on the loop: some milliseconds at most."""


async def aside(size: int, work: Callable[[], Result]) -> Result:
    """Run work on `size` foreign bytes: directly if they are few, otherwise on the side thread.

    There is one such thread in a process, so large messages wait for each other and small ones
    do not wait. Work whose caller was cancelled still runs to its end.
    """
    if size <= SMALL_BYTES:
        return work()
    return await on_side_thread(work)


async def on_side_thread(work: Callable[[], Result]) -> Result:
    """Run work on the side thread, after the work that already waits for it."""
    return await asyncio.get_running_loop().run_in_executor(_thread(), work)


@cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="reading")
