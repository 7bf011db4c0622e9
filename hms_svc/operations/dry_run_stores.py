"""What a job uses in a dry run: real reads, and no writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Never

from hms_svc.domain.batches import NewBatch
from hms_svc.domain.errors import Refused
from hms_svc.domain.job import Job
from hms_svc.ports.stores import (
    EffectRequest,
    EffectStore,
    RefusedEffect,
    ReportCount,
    ReportStore,
    StoredEffect,
)
from hms_svc.ports.transactions import TransactionRequest, Write


class ForeseenReports:
    """The reports as they would be counted; none is recorded."""

    def __init__(self, store: ReportStore) -> None:
        self._store = store

    async def count(self, reports: Sequence[ReportCount]) -> list[int]:
        """Return what the counts would be with these jobs among them."""
        return [1 + await self.count_others(each) for each in reports]

    async def count_others(self, query: ReportCount) -> int:
        """Count the user's other reports."""
        return await self._store.count_others(query)


class RefusedEffects:
    """The effect store; every write is Refused."""

    def __init__(self, store: EffectStore) -> None:
        self._store = store

    async def commit(self, requests: Sequence[EffectRequest]) -> list[StoredEffect | RefusedEffect]:
        """Refuse."""
        refuse("opening a case")

    async def transact(
        self, request: TransactionRequest, write: Write
    ) -> StoredEffect | RefusedEffect:
        """Refuse."""
        refuse("a transaction")

    async def recall(self, claims: Sequence[tuple[str, int]]) -> list[tuple[StoredEffect, ...]]:
        """Refuse: it would raise fences."""
        refuse("raising a fence")

    async def highest_fence(self) -> int:
        """Return the highest fence of any job."""
        return await self._store.highest_fence()


class NoBroker:
    """Replaces the broker of a job; every call is Refused."""

    async def enqueue(self, jobs: Sequence[Job]) -> Never:
        """Refuse."""
        refuse("the broker's enqueue")

    async def enqueue_batch(self, batch: NewBatch) -> Never:
        """Refuse."""
        refuse("the broker's enqueue")


def refuse(what: str) -> Never:
    """Raise Refused for an operation that a dry run may not perform."""
    raise Refused(f"a dry run changes nothing, but {what} would")
