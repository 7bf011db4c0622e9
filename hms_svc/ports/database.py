"""The database: one object with all its stores, and what belongs to it as a whole."""

from __future__ import annotations

from typing import Protocol

import msgspec

from hms_svc.ports.inspection import Capacity
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


class DatabaseHealth(msgspec.Struct, frozen=True):
    """The database, whether it answers, and what is wrong.

    `replaced` is True if the open file is no longer at its path and has to be opened again.
    `round_trip_ms` is how long its answer took; `capacity` is None if no limit is known.
    """

    kind: str
    ok: bool
    notes: tuple[str, ...] = ()
    replaced: bool = False
    round_trip_ms: float = 0.0
    capacity: Capacity | None = None


class Database(Protocol):
    """All stores in one database. `kind` is sqlite or postgresql."""

    kind: str
    accepted_keys: AcceptedKeyStore
    analytics: AnalyticsStore
    archive: ArchiveStore
    audit: AuditStore
    cases: CaseStore
    effects: EffectStore
    erasure: ErasingStore
    outbox: OutboxStore
    reports: ReportStore
    tokens: TokenStore
    transactions: TransactionStore

    async def open(self) -> None:
        """Connect; migrate an embedded database, or raise SchemaMismatch if the schema differs."""
        ...

    async def close(self) -> None:
        """Release all connections, threads and files."""
        ...

    async def health(self) -> DatabaseHealth:
        """Probe the database; never raises."""
        ...

    async def migrate(self) -> str:
        """Migrate the schema to this program's version, even of a closed database; return its name."""
        ...

    async def backup(self, path: str) -> None:
        """Write a consistent copy of the embedded database to a new file."""
        ...
