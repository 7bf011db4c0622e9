"""Jobs that were claimed before: their effects and kept steps are read before they run again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from hms_svc.domain.errors import BrokerUnavailable, DatabaseUnavailable, Outage
from hms_svc.domain.job import ClaimedJob
from hms_svc.ports.broker import Broker
from hms_svc.ports.stores import EffectStore, StoredEffect
from hms_svc.runtime.run_beginnings import RunBeginnings
from hms_svc.runtime.steps import with_steps

log: Final = logging.getLogger("hms_svc.runtime")
Effects = Mapping[int, tuple[StoredEffect, ...]]
"""The committed effects of earlier claims, by fence of the current claim."""


class Redeliveries:
    """Reads the effects in separate tasks: a database that does not respond delays only these jobs.

    `begin` is called with jobs and their effects; `release` with all of them if some cannot
    begin, with the outage, or None for another error.
    """

    def __init__(
        self,
        effects: EffectStore,
        beginnings: RunBeginnings,
        broker: Broker,
        begin: Callable[[Sequence[ClaimedJob], Effects], Awaitable[None]],
        release: Callable[[Sequence[ClaimedJob], Outage | None], None],
    ) -> None:
        self._effects = effects
        self._beginnings = beginnings
        self._broker = broker
        self._begin = begin
        self._release = release
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, claimed: Sequence[ClaimedJob]) -> None:
        """Begin these jobs when their effects are known."""
        task = asyncio.create_task(self._recall(claimed), name="recall")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel(self) -> None:
        """Release all jobs that still wait."""
        for task in self._tasks:
            task.cancel()

    async def _recall(self, claimed: Sequence[ClaimedJob]) -> None:
        try:
            found = await self._effects.recall(
                [(job.token.job_id, job.token.fence) for job in claimed]
            )
            pairs = zip(claimed, found, strict=True)
            begun = await self._beginnings.add_to(await with_steps(self._broker, claimed))
            await self._begin(begun, {job.token.fence: effects for job, effects in pairs})
        except (BrokerUnavailable, DatabaseUnavailable) as outage:
            self._release(claimed, outage)
        except Exception:
            log.exception("jobs that were claimed before cannot begin")
            self._release(claimed, None)
        except asyncio.CancelledError:
            self._release(claimed, None)
            raise
