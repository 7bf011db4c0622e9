"""Judging records by a filter, with the event loop turned in between."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from hms_svc.domain.filter import Filter
from hms_svc.domain.views import JobView
from hms_svc.ports.side_thread import on_side_thread

MOST_WORK: Final = 200_000_000
"""Characters that the filter of one page looks at: some tenths of a second."""
MOST_SHOWN_BYTES: Final = 16 * 1024 * 1024
"""Data of the jobs of one page, but for what is beyond in its last stretch of records."""
_AT_ONCE: Final = 2_000_000
"""Characters that are looked at on the loop before others come in between: some milliseconds."""


class FilterJudge:
    """Tells which records fit. `work` is what that has taken, in characters looked at."""

    def __init__(self, where: Filter, now_ms: int) -> None:
        self._where = where
        self._now_ms = now_ms
        self._without_a_turn = 0
        self.work = 0

    async def fits(self, view: JobView) -> bool:
        """Return whether a record fits; a large one is looked at beside the loop.

        Raises FilterTooCostly where one record takes more than a filter may.
        """
        if self._where.effort(view) > _AT_ONCE:
            fits, work = await on_side_thread(partial(self._where.judge, view, self._now_ms))
            self.work += work
            return fits
        fits, work = self._where.judge(view, self._now_ms)
        self.work += work
        self._without_a_turn += work
        if self._without_a_turn > _AT_ONCE:
            self._without_a_turn = 0
            await asyncio.sleep(0)
        return fits
