"""Which types may be claimed now: outages of database and policy service pause them, and burn nothing."""

from __future__ import annotations

import logging
from typing import Final

from hms_svc.domain.errors import DatabaseUnavailable, Outage, PolicyUnavailable
from hms_svc.ports.clock import Clock
from hms_svc.ports.stores import Database
from hms_svc.runtime.loop import Service

log: Final = logging.getLogger("hms_svc.runtime")
POLICY_PAUSE_MS: Final = 5_000


class Availability(Service):
    """Pauses a type when a job of it hits an outage: others, which may not need the service, go on.

    The database is probed, and its types go on when it answers again. A policy service is
    asked again by a job: its types are paused for a while only.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(interval_seconds=1.0)
        self._database = database
        self._clock = clock
        self._need_database: set[str] = set()
        self._paused_until: dict[str, int] = {}

    @property
    def has_paused(self) -> bool:
        """Whether any type is, or was until a moment ago, paused."""
        return bool(self._need_database or self._paused_until)

    def report(self, outage: Outage, type: str) -> None:
        """Hear of an outage that a job of this type has met."""
        if isinstance(outage, DatabaseUnavailable) and type not in self._need_database:
            log.warning("claiming of %s pauses: %s", type, outage)
            self._need_database.add(type)
        elif isinstance(outage, PolicyUnavailable):
            log.warning("claiming of %s pauses: %s", type, outage)
            self._paused_until[type] = self._clock.lease_ms() + POLICY_PAUSE_MS

    def is_paused(self, type: str) -> bool:
        """Return whether this type is paused."""
        if type in self._need_database:
            return True
        until = self._paused_until.get(type)
        if until is None or self._clock.lease_ms() < until:
            return until is not None
        del self._paused_until[type]
        return False

    async def run_once(self) -> None:
        """Probe the database while types wait for it."""
        if self._need_database and (await self._database.health()).ok:
            log.info("claiming goes on: the database answers again")
            self._need_database.clear()
