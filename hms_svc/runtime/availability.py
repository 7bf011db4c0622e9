"""What may be claimed now: outages of database and policy service pause it, and burn nothing."""

from __future__ import annotations

import logging
from typing import Final

from hms_svc.domain.errors import DatabaseUnavailable, Outage, PolicyUnavailable
from hms_svc.ports.clock import Clock
from hms_svc.ports.stores import Database
from hms_svc.runtime.service import Service

log: Final = logging.getLogger("hms_svc.runtime")
POLICY_PAUSE_MS: Final = 5_000


class Availability(Service):
    """Closes the gate when a job hits an outage; opens it when the database answers again.

    A policy service is asked again by a job: its types are paused for a while
    only. All types pause for the database, since any handler may use the DAO.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(interval_seconds=1.0)
        self._database = database
        self._clock = clock
        self._database_down = False
        self._paused_until: dict[str, int] = {}

    def report(self, outage: Outage, type: str) -> None:
        """Hear of an outage that a job of this type has met."""
        if isinstance(outage, DatabaseUnavailable) and not self._database_down:
            log.warning("claiming pauses: %s", outage)
            self._database_down = True
        elif isinstance(outage, PolicyUnavailable):
            log.warning("claiming of %s pauses: %s", type, outage)
            self._paused_until[type] = self._clock.lease_ms() + POLICY_PAUSE_MS

    def may_claim(self) -> bool:
        """Tell whether anything may be claimed."""
        return not self._database_down

    def is_paused(self, type: str) -> bool:
        """Tell whether this type is paused."""
        until = self._paused_until.get(type)
        return until is not None and self._clock.lease_ms() < until

    async def run_once(self) -> None:
        """Probe the database while the gate is closed."""
        if self._database_down and (await self._database.health()).ok:
            log.info("claiming goes on: the database answers again")
            self._database_down = False
