"""Waiting for what cannot be stopped half-way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

Answer = TypeVar("Answer")


async def to_the_end(
    awaitable: Awaitable[Answer], stop: Callable[[], None] = lambda: None
) -> tuple[Answer, bool]:
    """Wait for an answer even when cancelled, and return whether it was: a commit under way cannot be stopped.

    When cancelled, call `stop`.
    """
    answer = asyncio.ensure_future(awaitable)
    cancelled = False
    while not answer.done():
        ended = answer.get_loop().create_future()
        answer.add_done_callback(partial(_end, ended))
        try:
            await ended
        except asyncio.CancelledError:
            cancelled = True
            stop()
    return answer.result(), cancelled


def _end(ended: asyncio.Future[None], _: object) -> None:
    if not ended.done():
        ended.set_result(None)
