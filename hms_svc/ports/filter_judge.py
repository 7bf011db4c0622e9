"""Applies a filter to records without blocking the event loop."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from hms_svc.domain.filter import Filter
from hms_svc.domain.views import JobView
from hms_svc.ports.side_thread import on_side_thread

MOST_WORK: Final = 200_000_000
"""Characters that the filter of one page examines: some tenths of a second."""
MOST_SHOWN_BYTES: Final = 16 * 1024 * 1024
"""Data of the jobs of one page; its last chunk of records may exceed it."""
_AT_ONCE: Final = 2_000_000
"""Characters that are examined on the loop before it yields to other tasks: some milliseconds."""


class FilterJudge:
    """Applies a filter to records. `work` is the effort so far, in characters examined."""

    def __init__(self, where: Filter, now_ms: int) -> None:
        self._where = where
        self._now_ms = now_ms
        self._work_since_yield = 0
        self.work = 0

    async def fits(self, view: JobView) -> bool:
        """Return whether a record matches; a large one is examined on the side thread.

        Raise FilterTooCostly if one record takes more than a filter may.
        """
        if self._where.effort(view) > _AT_ONCE:
            fits, work = await on_side_thread(partial(self._where.judge, view, self._now_ms))
            self.work += work
            return fits
        fits, work = self._where.judge(view, self._now_ms)
        self.work += work
        self._work_since_yield += work
        if self._work_since_yield > _AT_ONCE:
            self._work_since_yield = 0
            await asyncio.sleep(0)
        return fits
