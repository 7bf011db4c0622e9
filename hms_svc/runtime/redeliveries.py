"""Jobs that were claimed before: what they have left in the database is asked for first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from hms_svc.domain.errors import DatabaseUnavailable
from hms_svc.domain.job import ClaimedJob
from hms_svc.ports.stores import Database, StoredEffect

log: Final = logging.getLogger("hms_svc.runtime")
Effects = Mapping[int, tuple[StoredEffect, ...]]
"""By fence, what earlier claims of the job have committed."""


class Redeliveries:
    """Asks beside the loop that claims: a database that does not answer holds up only these jobs.

    `begin` takes jobs with their effects; `release` all of them where some cannot begin, with the
    outage, or with None where something else is in the way.
    """

    def __init__(
        self,
        database: Database,
        begin: Callable[[Sequence[ClaimedJob], Effects], Awaitable[None]],
        release: Callable[[Sequence[ClaimedJob], DatabaseUnavailable | None], None],
    ) -> None:
        self._database = database
        self._begin = begin
        self._release = release
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, claimed: Sequence[ClaimedJob]) -> None:
        """Let these jobs begin when their effects are known."""
        task = asyncio.create_task(self._recall(claimed), name="recall")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel(self) -> None:
        """Release all that are waited for."""
        for task in self._tasks:
            task.cancel()

    async def _recall(self, claimed: Sequence[ClaimedJob]) -> None:
        try:
            found = await self._database.recall(
                [(each.token.job_id, each.token.fence) for each in claimed]
            )
            pairs = zip(claimed, found, strict=True)
            await self._begin(claimed, {each.token.fence: effects for each, effects in pairs})
        except DatabaseUnavailable as outage:
            self._release(claimed, outage)
        except Exception:
            log.exception("jobs that were claimed before cannot begin")
            self._release(claimed, None)
        except asyncio.CancelledError:
            self._release(claimed, None)
            raise
