"""Recovers jobs whose lease has expired."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from hms_svc.domain import failpoints
from hms_svc.domain.errors import DatabaseUnavailable
from hms_svc.ports.broker import NOTHING_KNOWN, Broker, KnownEffects
from hms_svc.ports.stores import EffectStore
from hms_svc.runtime.loop import Service

log: Final = logging.getLogger("hms_svc.runtime")
BATCH: Final = 500


class Reaper(Service):
    """Recovers jobs by their lease alone, never by the list of workers; any worker may run it.

    A job with a cancel request is cancelled only if the database says that it has no case.
    """

    def __init__(self, broker: Broker, effects: EffectStore, *, lease_seconds: float) -> None:
        super().__init__(interval_seconds=min(5.0, lease_seconds / 4))
        self._broker = broker
        self._effects = effects

    async def run_once(self) -> None:
        """Reap until no expired lease is left."""
        known: Mapping[str, KnownEffects] = NOTHING_KNOWN
        while True:
            report = await self._broker.reap(BATCH, known)
            found = report.rescued + report.dead + report.cancelled
            if found:
                log.warning(
                    "jobs whose lease has ended: %d to be repeated alone, %d dead, %d cancelled",
                    report.rescued,
                    report.dead,
                    report.cancelled,
                )
            known = await self._look_up(report.undecided)
            if not known and found < BATCH:
                return

    async def _look_up(self, undecided: Sequence[tuple[str, int]]) -> Mapping[str, KnownEffects]:
        if not undecided:
            return NOTHING_KNOWN
        if failpoints.armed is not None:
            failpoints.reached("reaper.found")
        try:
            # One above: the expired claim can no longer commit anything.
            found = await self._effects.recall([(job_id, fence + 1) for job_id, fence in undecided])
        except DatabaseUnavailable as outage:
            log.warning(
                "jobs with expired leases that wait to be cancelled or rescued: %d; %s",
                len(undecided),
                outage,
            )
            return NOTHING_KNOWN
        pairs = zip(undecided, found, strict=True)
        return {job_id: KnownEffects(fence, bool(effects)) for (job_id, fence), effects in pairs}
