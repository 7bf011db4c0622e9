"""The pace of a long action: it rests between chunks, and can be paused or cancelled there."""

from __future__ import annotations

import asyncio
from typing import Final

LONGEST_REST_SECONDS: Final = 0.25


class Pace:
    """A front end's control of one long action; belongs to the loop on which the action runs.

    Between two chunks the action rests as long as the last one took, at most a
    quarter of a second, and so takes at most half of the broker's time.
    """

    def __init__(self) -> None:
        self._running = asyncio.Event()
        self._running.set()
        self._cancelled = asyncio.Event()

    @property
    def paused(self) -> bool:
        """Whether the next chunk waits for `resume`."""
        return not self._running.is_set()

    @property
    def cancelled(self) -> bool:
        """Whether there will be no next chunk."""
        return self._cancelled.is_set()

    def pause(self) -> None:
        """Pause once the chunk in progress ends."""
        if not self.cancelled:
            self._running.clear()

    def resume(self) -> None:
        """Continue after a pause."""
        self._running.set()

    def cancel(self) -> None:
        """Stop once the chunk in progress ends; also wakes an action that is paused."""
        self._cancelled.set()
        self._running.set()

    async def goes_on(self, *, since: float | None) -> bool:
        """Rest, and wait out a pause; False if the action was cancelled.

        `since` is when the last chunk began, on the loop's clock; None before the first.
        """
        if since is not None:
            await self._rest(asyncio.get_running_loop().time() - since)
        await self._running.wait()
        return not self.cancelled

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(min(seconds, LONGEST_REST_SECONDS)):
                await self._cancelled.wait()
        except TimeoutError:
            return
