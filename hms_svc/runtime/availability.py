"""Pauses types during outages of the database or the policy service, so that no attempts are spent."""

from __future__ import annotations

import logging
from typing import Final

from hms_svc.domain.errors import DatabaseUnavailable, Outage, PolicyUnavailable
from hms_svc.ports.clock import Clock
from hms_svc.ports.database import Database
from hms_svc.runtime.loop import Service

log: Final = logging.getLogger("hms_svc.runtime")
POLICY_PAUSE_MS: Final = 5_000


class Availability(Service):
    """Pauses a type when one of its jobs meets an outage; other types may not need the service.

    The database is probed, and its types resume when it answers again. A policy service is
    tried again by the next job: its types are paused for a fixed time.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(interval_seconds=1.0)
        self._database = database
        self._clock = clock
        self._need_database: set[str] = set()
        self._paused_until: dict[str, int] = {}

    @property
    def has_paused(self) -> bool:
        """Whether any type is paused, or was until recently."""
        return bool(self._need_database or self._paused_until)

    def report(self, outage: Outage, type: str) -> None:
        """Pause the type of a job that met an outage."""
        if isinstance(outage, DatabaseUnavailable) and type not in self._need_database:
            log.warning("claiming of %s is paused: %s", type, outage)
            self._need_database.add(type)
        elif isinstance(outage, PolicyUnavailable):
            log.warning("claiming of %s is paused: %s", type, outage)
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
        """Probe the database while types are paused for it."""
        if self._need_database and (await self._database.health()).ok:
            log.info("claiming resumes: the database responds again")
            self._need_database.clear()
