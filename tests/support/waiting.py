"""Wait until a condition holds, with and without an event loop."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

PATIENCE_SECONDS: Final = 60.0
_CHECK_SECONDS: Final = 0.005


async def until(
    what: str,
    holds: Callable[[], object],
    seconds: float = PATIENCE_SECONDS,
    *,
    pause: Callable[[], Awaitable[object]] = lambda: asyncio.sleep(_CHECK_SECONDS),
    found: Callable[[], object] = str,
) -> None:
    """Wait until a condition, plain or awaitable, holds; `pause` is awaited between two checks.

    Raises AssertionError with the condition's name, and with what is `found` instead, if it never does.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds) as limit:
            while not limit.expired():
                answer = holds()
                if inspect.isawaitable(answer):
                    answer = await answer
                if answer:
                    return
                await pause()
    raise _never(what, seconds, found)


def wait_until(
    what: str,
    holds: Callable[[], object],
    seconds: float = PATIENCE_SECONDS,
    *,
    pause: Callable[[], object] = lambda: time.sleep(_CHECK_SECONDS),
    found: Callable[[], object] = str,
) -> None:
    """Block until a condition holds, as `until` does."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise _never(what, seconds, found)
        pause()


def _never(what: str, seconds: float, found: Callable[[], object]) -> AssertionError:
    return AssertionError(f"{what}: not within {seconds:g} s\n{found()}".rstrip())
