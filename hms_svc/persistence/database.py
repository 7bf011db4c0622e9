"""The database: its stores over one engine, and what belongs to it as a whole."""

from __future__ import annotations

import time

from hms_svc.domain.errors import DatabaseReplaced, DatabaseUnavailable
from hms_svc.persistence import schema
from hms_svc.persistence.accepted_keys import SqlAcceptedKeys
from hms_svc.persistence.analytics import SqlAnalytics
from hms_svc.persistence.archive import SqlArchive
from hms_svc.persistence.audit import SqlAudit
from hms_svc.persistence.cases import SqlCases
from hms_svc.persistence.effects import SqlEffects
from hms_svc.persistence.engine import Engine
from hms_svc.persistence.erasure import SqlErasure
from hms_svc.persistence.outbox import SqlOutbox
from hms_svc.persistence.producers_transaction import SqlTransactions
from hms_svc.persistence.reports import SqlReports
from hms_svc.persistence.tokens import SqlTokens
from hms_svc.ports.clock import Clock
from hms_svc.ports.database import DatabaseHealth
from hms_svc.ports.stores import (
    AcceptedKeyStore,
    AnalyticsStore,
    ArchiveStore,
    AuditStore,
    CaseStore,
    EffectStore,
    ErasingStore,
    OutboxStore,
    ReportStore,
    TokenStore,
)
from hms_svc.ports.transactions import TransactionStore


class SqlDatabase:
    """Implements ports.database.Database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self.kind = engine.kind
        self.accepted_keys: AcceptedKeyStore = SqlAcceptedKeys(engine)
        self.analytics: AnalyticsStore = SqlAnalytics(engine, clock)
        self.archive: ArchiveStore = SqlArchive(engine)
        self.audit: AuditStore = SqlAudit(engine)
        self.cases: CaseStore = SqlCases(engine, clock)
        self.effects: EffectStore = SqlEffects(engine, clock)
        self.erasure: ErasingStore = SqlErasure(engine)
        self.outbox: OutboxStore = SqlOutbox(engine, clock)
        self.reports: ReportStore = SqlReports(engine)
        self.tokens: TokenStore = SqlTokens(engine)
        self.transactions: TransactionStore = SqlTransactions(engine)

    async def open(self) -> None:
        await self._engine.open()
        try:
            version = await self._engine.read(schema.read_version)
            if self._engine.embedded and not version.is_supported:
                await self.migrate()
            else:
                schema.check_version(version, self._engine.where)
        except BaseException:
            await self._engine.close()
            raise

    async def close(self) -> None:
        await self._engine.close()

    async def migrate(self) -> str:
        engine = self._engine
        return await engine.change_schema(lambda on: schema.migrate(on, engine.where, engine.lock))

    async def health(self) -> DatabaseHealth:
        started = time.perf_counter()
        try:
            version = await self._engine.read(schema.read_version)
        except DatabaseUnavailable as error:
            replaced = isinstance(error, DatabaseReplaced)
            return DatabaseHealth(
                self._engine.kind, ok=False, notes=(str(error),), replaced=replaced
            )
        if version.is_supported:
            round_trip = (time.perf_counter() - started) * 1000
            return DatabaseHealth(
                self._engine.kind,
                ok=True,
                round_trip_ms=round_trip,
                capacity=self._engine.capacity(),
            )
        note = f"schema {version.revision or 'none'}, this program needs {schema.HEAD}"
        return DatabaseHealth(self._engine.kind, ok=False, notes=(note,))

    async def backup(self, path: str) -> None:
        await self._engine.backup(path)
