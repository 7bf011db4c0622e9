"""Wait until a condition holds, with and without an event loop."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Final

PATIENCE_SECONDS: Final = 60.0
_CHECK_SECONDS: Final = 0.005


async def until(what: str, holds: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until a condition, plain or awaitable, holds; raise AssertionError with its name if it never does."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                answer = holds()
                if inspect.isawaitable(answer):
                    answer = await answer
                if answer:
                    return
                await asyncio.sleep(_CHECK_SECONDS)
    except TimeoutError:
        raise AssertionError(f"{what}: not within {seconds:g} s") from None


def wait_until(what: str, holds: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Block until a condition holds; raise AssertionError with its name if it never does."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(_CHECK_SECONDS)
