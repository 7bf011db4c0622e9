"""The database: all modules of persistence over one engine."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from sqlalchemy import Connection

from hms_svc.domain.audit_heads import SealedChain
from hms_svc.domain.audit_query import EVERY_ROW, AuditPage, AuditQuery
from hms_svc.domain.case import Case, CaseStatus
from hms_svc.domain.errors import DatabaseReplaced, DatabaseUnavailable
from hms_svc.domain.views import AuditRecord, JobDetail
from hms_svc.persistence import (
    accepted_keys,
    analytics,
    archive,
    audit,
    cases,
    effects,
    erasure,
    fences,
    nearby_cases,
    outbox,
    reports,
    schema,
    tokens,
)
from hms_svc.persistence.audit_walk import AuditWalk
from hms_svc.persistence.engine import Engine
from hms_svc.persistence.pages import read_pages
from hms_svc.persistence.statements import write_together
from hms_svc.ports.clock import Clock
from hms_svc.ports.stores import (
    AcceptedKey,
    DatabaseHealth,
    EffectRequest,
    NearCase,
    OutboxEntry,
    PlaceQuery,
    RefusedEffect,
    ReportCount,
    StoredEffect,
    Token,
)

DAY_MS: Final = 86_400_000
REPORTS_KEPT_MS: Final = DAY_MS
KEYS_KEPT_MS: Final = DAY_MS
FENCES_KEPT_MS: Final = 30 * DAY_MS
"""Much longer than any lease: the lease of a worker that was suspended for a month has expired."""
_SWEPT: Final = 1_000
_ROUNDS: Final = 20


class SqlDatabase:
    """Implements ports.stores.Database; see there for the contract of each method."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    @property
    def kind(self) -> str:
        """Which database."""
        return self._engine.kind

    async def open(self) -> None:
        """Connect and check the schema; an embedded database is migrated."""
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
        """Release all connections, threads and files."""
        await self._engine.close()

    async def migrate(self) -> str:
        """Migrate the schema to this program's version, even of a closed database; return its name."""
        engine = self._engine
        return await engine.change_schema(lambda on: schema.migrate(on, engine.where, engine.lock))

    async def health(self) -> DatabaseHealth:
        """Probe the database; never raises."""
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
        """Write a consistent copy of the embedded database to a new file."""
        await self._engine.backup(path)

    async def near(self, queries: Sequence[PlaceQuery]) -> list[NearCase | None]:
        """Return the nearest case for each query, in order, from committed rows."""
        if not queries:
            return []
        return await self._engine.read(lambda on: nearby_cases.near(on, queries))

    async def count_reports(self, reports_made: Sequence[ReportCount]) -> list[int]:
        """Record each job once as a report; return the number of its user's reports for each."""
        if not reports_made:
            return []
        return await self._engine.write_apart(lambda on: reports.count_reports(on, reports_made))

    async def count_other_reports(self, query: ReportCount) -> int:
        """Count the user's reports other than this job's; record nothing."""
        return await self._engine.read(lambda on: reports.count_other_reports(on, query))

    async def commit(self, requests: Sequence[EffectRequest]) -> list[StoredEffect | RefusedEffect]:
        """Commit a group of effects in one transaction; a refused one does not undo the others."""
        if not requests:
            return []
        engine, clock = self._engine, self._clock
        return await engine.write(lambda on: effects.commit(on, requests, clock, engine.lock))

    async def highest_fence(self) -> int:
        """Return the highest fence of any job."""
        return await self._engine.read(fences.highest_fence)

    async def recall(self, claims: Sequence[tuple[str, int]]) -> list[tuple[StoredEffect, ...]]:
        """Raise the jobs' fences to those of the claims; return the effects they already have."""
        if not claims:
            return []
        now = self._clock.now_ms()
        return await self._engine.write_apart(lambda on: effects.recall(on, claims, now))

    async def cases(
        self, *, status: CaseStatus | None, kind: str | None, limit: int, cursor: str | None
    ) -> tuple[list[Case], str | None]:
        """Return cases, newest first, and the cursor of the next page. A limit of 0 returns all."""

        async def page(size: int, after: str | None) -> tuple[list[Case], str | None]:
            return await self._engine.read(
                lambda on: cases.page(on, status=status, kind=kind, limit=size, cursor=after)
            )

        return await read_pages(page, limit, cursor)

    async def case(self, case_id: str) -> Case | None:
        """Return one case."""
        return await self._engine.read(lambda on: cases.one(on, case_id))

    async def set_case_status(
        self, case_id: str, status: CaseStatus, *, actor: str, note: str, radius_m: float
    ) -> Case:
        """Close or reopen a case, with its audit record and event in the same transaction."""
        change = cases.Change(case_id, status, actor, note, radius_m, self._clock.now_ms())
        return await self._engine.write(lambda on: cases.set_status(on, change, self._engine.lock))

    async def outbox(self, limit: int) -> list[OutboxEntry]:
        """Return rows that are not yet published, oldest first."""
        return await self._engine.read(lambda on: outbox.waiting(on, limit))

    async def outbox_lag_ms(self) -> int:
        """Return the age of the oldest row that is not yet published; 0 if there is none."""
        since = await self._engine.read(outbox.oldest_waiting)
        return 0 if since is None else max(0, self._clock.now_ms() - since)

    async def relay(
        self, limit: int, deliver: Callable[[Sequence[OutboxEntry]], Awaitable[None]]
    ) -> int:
        """Deliver unpublished rows that no other relay is delivering, oldest first; return their number.

        They are marked as published after `deliver` returns: each row is delivered at least once.
        """
        now = self._clock.now_ms()
        return await self._engine.relay(
            lambda on: outbox.take(on, limit),
            deliver,
            lambda on, taken: outbox.mark_published(on, [entry.number for entry in taken], now),
        )

    async def mark_published(self, numbers: Sequence[int]) -> None:
        """Mark rows as published. `case.*` events stay replayable; the rest are removed."""
        if numbers:
            now = self._clock.now_ms()
            await self._engine.write(lambda on: outbox.mark_published(on, numbers, now))

    async def replay(self, *, after: int, limit: int) -> list[OutboxEntry]:
        """Return the stored `case.*` rows above a number, oldest first, published or not."""
        return await self._engine.read(lambda on: outbox.replay(on, after, limit))

    async def audit(self, records: Sequence[AuditRecord]) -> None:
        """Append audit rows durably; `seal` chains them later."""
        if records:
            await self._engine.write(
                lambda on: write_together(on, [audit.insertion(records)]), repeatable=False
            )

    async def seal(self) -> tuple[int, str] | None:
        """Chain the committed rows that are not yet sealed; return the new head, or None."""
        if not await self._engine.read(audit.is_unsealed):
            return None
        return await self._engine.write(lambda on: audit.seal(on, self._engine.lock))

    async def audit_records(
        self, query: AuditQuery = EVERY_ROW, *, limit: int, cursor: str | None
    ) -> list[AuditRecord]:
        """Return audit rows, newest first; the cursor is the number of the last row seen."""

        async def page(size: int, after: str | None) -> tuple[list[AuditRecord], str | None]:
            return await self._audit_page(query, size, after)

        return (await read_pages(page, limit, cursor))[0]

    async def audit_page(self, query: AuditQuery, *, limit: int, cursor: str | None) -> AuditPage:
        """Return one page of audit rows, newest first, after a bounded read."""
        records, more = await self._audit_page(query, limit, cursor)
        return AuditPage(tuple(records), more)

    async def _audit_page(
        self, query: AuditQuery, limit: int, cursor: str | None
    ) -> tuple[list[AuditRecord], str | None]:
        return await self._engine.read(lambda on: audit.page(on, query, limit=limit, cursor=cursor))

    async def sealed_chain(self, links: Sequence[int]) -> SealedChain:
        """Return the end of the chain, and the digests at the given links that exist."""
        return await self._engine.read(lambda on: audit.chain_at(on, links))

    async def verify_audit(self, links: Sequence[int]) -> SealedChain:
        """Check the chain for changed and missing rows; the result has the digests at `links`."""
        walk = AuditWalk(links, gapless=self._engine.gapless)
        while records := await self._engine.read(lambda on: audit.chain(on, after=walk.link)):
            walk.take(records)
        return walk.finish()

    async def archive(self, jobs: Sequence[JobDetail]) -> None:
        """Store jobs that leave the broker; the same end of a job is not stored twice."""
        if jobs:
            await self._engine.write(lambda on: archive.keep(on, jobs))

    async def archived(
        self, *, limit: int, cursor: str | None
    ) -> tuple[list[JobDetail], str | None]:
        """Return archived jobs, newest first, and the cursor of the next page.

        A page is shorter than `limit` if its jobs are large.
        """

        async def page(size: int, after: str | None) -> tuple[list[JobDetail], str | None]:
            return await self._engine.read(lambda on: archive.page(on, limit=size, cursor=after))

        return await (page(limit, cursor) if limit > 0 else read_pages(page, limit, cursor))

    async def archived_job(self, job_id: str) -> JobDetail | None:
        """Return the archived job with this id that ended last."""
        return await self._engine.read(lambda on: archive.one(on, job_id))

    async def sweep_archive(
        self, *, before: int, limit: int, cursor: str | None
    ) -> tuple[int, str | None]:
        """Remove completed and cancelled jobs that ended before a time; see Ledger.sweep_archive."""
        return await self._engine.write(
            lambda on: archive.sweep(on, before=before, limit=limit, cursor=cursor)
        )

    async def erase(self, job_ids: Sequence[str]) -> list[str]:
        """Erase the data of these jobs; the outbox is searched outside of the transaction."""
        if not job_ids:
            return []
        messages = await self._engine.read(lambda on: erasure.messages_of(on, job_ids))
        return await self._engine.write(lambda on: erasure.erase(on, job_ids, messages))

    async def add_token(self, token: Token) -> None:
        """Store a new token."""
        await self._engine.write(lambda on: tokens.add(on, token), repeatable=False)

    async def tokens(self) -> list[Token]:
        """Return all tokens, oldest first."""
        return await self._engine.read(tokens.every)

    async def revoke_token(self, token_id: str, at: int) -> bool:
        """Mark a token as revoked; return False if there is none or it was revoked before."""
        return await self._engine.write(lambda on: tokens.revoke(on, token_id, at))

    async def accepted_keys(self, keys: Sequence[str]) -> list[AcceptedKey | None]:
        """Return what was accepted under each key, in order."""
        return await self._engine.read(lambda on: accepted_keys.find(on, keys)) if keys else []

    async def reserve_keys(self, keys: Sequence[AcceptedKey]) -> list[AcceptedKey]:
        """Store new keys; return what is stored under each key, in order."""
        return await self._engine.write(lambda on: accepted_keys.reserve(on, keys))

    async def keep_keys(self, accepted: Sequence[AcceptedKey]) -> None:
        """Store keys durably; a stored key without an answer gets it."""
        if accepted:
            await self._engine.write(lambda on: accepted_keys.keep(on, accepted))

    async def fold_analytics(self) -> int:
        """Fold recorded deltas into the totals, and remove expired rows; return the number of deltas.

        This runs in short transactions, repeated while there is much left.
        """
        now = self._clock.now_ms()
        total = 0
        for _ in range(_ROUNDS):
            folded, swept = await self._engine.write(lambda on: _fold_and_sweep(on, now))
            total += folded
            if max(folded, swept) < _SWEPT // 2:
                break
        return total

    async def analytics(self) -> dict[str, int]:
        """Return the totals by metric, including deltas that are not yet folded."""
        return await self._engine.read(analytics.read_totals)


def _fold_and_sweep(connection: Connection, now: int) -> tuple[int, int]:
    """Return the number of deltas folded, and the largest number of rows removed from a table."""
    of_reports = reports.forget_reports(connection, before=now - REPORTS_KEPT_MS, most=_SWEPT)
    of_fences = fences.forget_fences(connection, before=now - FENCES_KEPT_MS, most=_SWEPT)
    of_keys = accepted_keys.forget(connection, before=now - KEYS_KEPT_MS, most=_SWEPT)
    return analytics.fold(connection, _SWEPT), max(of_reports, of_fences, of_keys)
