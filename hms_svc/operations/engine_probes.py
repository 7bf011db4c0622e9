"""Whether broker and database answer: at most one probe of each at a time, however many callers wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from hms_svc.ports.database import Database, DatabaseHealth
from hms_svc.ports.inspection import BrokerHealth, Inspection

Health = TypeVar("Health")


class EngineProbes:
    """Probes both engines. `database` is None if there is none to probe.

    `away` is the state of a database that could not be opened.
    """

    def __init__(
        self,
        inspection: Inspection,
        database: Database | None,
        away: DatabaseHealth | None = None,
    ) -> None:
        self._inspection = inspection
        self._database = database
        self._away = away
        self._broker_probe: _Probe[BrokerHealth] = _Probe()
        self._database_probe: _Probe[DatabaseHealth] = _Probe()

    async def broker(self, seconds: float) -> BrokerHealth:
        """Return the broker's health; one that does not answer within `seconds` is not well."""
        found = await self._broker_probe.result(self._inspection.health, seconds)
        if found is not None:
            return found
        return BrokerHealth(self._inspection.kind, False, seconds * 1000, (_no_answer(seconds),))

    async def database(self, seconds: float) -> DatabaseHealth | None:
        """Return the database's health likewise; None if none was given."""
        if self._database is None:
            return self._away
        found = await self._database_probe.result(self._database.health, seconds)
        if found is not None:
            return found
        return DatabaseHealth(self._database.kind, ok=False, notes=(_no_answer(seconds),))


class _Probe(Generic[Health]):
    """One question, which is asked again only after it was answered."""

    def __init__(self) -> None:
        self._task: asyncio.Task[Health] | None = None

    async def result(
        self, ask: Callable[[], Coroutine[Any, Any, Health]], seconds: float
    ) -> Health | None:
        """Return the answer, None if there is none in time; concurrent callers share it."""
        task = self._task
        if task is None or task.done():
            task = self._task = asyncio.create_task(ask(), name="probe")
        await asyncio.wait({task}, timeout=seconds)
        return task.result() if task.done() else None


def _no_answer(seconds: float) -> str:
    return f"no answer within {seconds:g} s"
