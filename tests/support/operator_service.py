"""The operator service on its own engines, in a folder of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hms_svc import bootstrap
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.job import make_job
from hms_svc.domain.views import AuditRecord, JobView
from hms_svc.governance.local import load_local_policy
from hms_svc.operations.service import Operations, make_operations
from hms_svc.ports.backend import Backend
from hms_svc.ports.database import Database
from hms_svc.sdk.registry import Registry
from hms_svc.settings import Settings, load_settings


class OperatorHarness:
    """An operator service with its open engines, and helpers for tests."""

    def __init__(
        self,
        settings: Settings,
        opened: Backend,
        database: Database,
        registry: Registry | None,
    ) -> None:
        self.settings = settings
        self.engines = opened
        self.database = database
        self.registry = registry
        self.operations = self.serve()

    def serve(self, **parts: Any) -> Operations:
        """Return a service on these engines, with some parts replaced."""
        given: dict[str, Any] = {
            "broker": self.engines.broker,
            "inspection": self.engines.inspection,
            "control": self.engines.control,
            "bus": self.engines.bus,
            "database": self.database,
            "registry": self.registry,
            "policy": load_local_policy(self.settings.policy_file),
        }
        return make_operations(self.settings, **{**given, **parts})

    async def enqueue(self, count: int) -> list[str]:
        """Enqueue small jobs of one type that nothing handles, and return their ids."""
        jobs = [make_job("x.y", {"n": n}, now_ms=1) for n in range(count)]
        await self.engines.broker.enqueue(jobs)
        return [job.id for job in jobs]

    async def jobs(self, where: str = "") -> list[JobView]:
        page = await self.operations.reads.jobs(parse_filter(where), limit=0, cursor=None)
        return list(page.jobs)

    async def audit(self, action: str) -> list[AuditRecord]:
        """Return the rows of one action, oldest first."""
        rows = await self.database.audit.records(limit=0, cursor=None)
        return [row for row in reversed(rows) if row.action == action]


@asynccontextmanager
async def open_operator(
    folder: Path, registry: Registry | None = None
) -> AsyncIterator[OperatorHarness]:
    environ = {"HMS_SVC_CONFIG": "", "HMS_SVC_ACTOR": "ravi"}
    settings = load_settings({"data_dir": str(folder)}, environ=environ).settings
    database = bootstrap.database(settings)
    async with bootstrap.backend(settings) as opened:
        await database.open()
        try:
            yield OperatorHarness(settings, opened, database, registry)
        finally:
            await database.close()
