"""Waiting for what cannot be stopped half-way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Answer = TypeVar("Answer")


async def to_the_end(
    awaitable: Coroutine[Any, Any, Answer], stop: Callable[[], None] = lambda: None
) -> tuple[Answer, bool]:
    """Wait for an answer even when cancelled, and return whether it was: a commit under way cannot be stopped.

    When cancelled, call `stop`.
    """
    task = asyncio.ensure_future(awaitable)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
            stop()
    return task.result(), cancelled
