"""The stores of the database, each an interface of its own, and what they store.

Every method raises DatabaseUnavailable if the database cannot be reached.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from hms_svc.domain.audit_heads import SealedChain
from hms_svc.domain.audit_query import EVERY_ROW, AuditPage, AuditQuery
from hms_svc.domain.case import Case, CaseStatus
from hms_svc.domain.event import Event
from hms_svc.domain.job import Job
from hms_svc.domain.verdict import Permission
from hms_svc.domain.views import AuditRecord, JobDetail
from hms_svc.ports.transactions import TransactionRequest, Write


class PlaceQuery(msgspec.Struct, frozen=True):
    """Is there an open case of this kind within the radius of the place?

    A case that the job `not_of_job` made is ignored, so that a job is not its own duplicate.
    """

    kind: str
    lat: float
    lon: float
    radius_m: float
    not_of_job: str = ""


class NearCase(msgspec.Struct, frozen=True):
    """The nearest open case found, and its distance on the sphere in metres."""

    case_id: str
    job_id: str
    distance_m: float


class ReportCount(msgspec.Struct, frozen=True):
    """Record this job as a report of the user, and count the user's reports since `since` (ms)."""

    user_id: str
    job_id: str
    at: int
    since: int


class EffectRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One effect of a job, keyed by (job id, key): a case with its audit record, events and jobs.

    `digest` is that of the case's data: the same key with another digest is a conflict.
    `valid_until` is the end of the lease in milliseconds of the lease clock, None outside of
    a lease; a commit after it is refused. `vetted` is what governance has allowed, so that a
    redelivered job does not ask again.
    """

    job_id: str
    key: str
    fence: int
    digest: str
    case: Case
    radius_m: float
    actor: str
    events: tuple[Event, ...] = ()
    follow_ups: tuple[Job, ...] = ()
    valid_until: int | None = None
    vetted: tuple[Permission, ...] = ()


class StoredEffect(msgspec.Struct, frozen=True):
    """A committed effect; `fresh` is True if this call committed it.

    `case_id` is the id of its case, or of its transaction: only the latter has a `value` (JSON).
    """

    job_id: str
    key: str
    case_id: str
    digest: str
    vetted: tuple[Permission, ...] = ()
    fresh: bool = False
    value: bytes | None = None


def id_in_record(effects: Sequence[StoredEffect]) -> str | None:
    """Return the id that a job's record has for its effects: of the first case, else of the first transaction."""
    for effect in effects:
        if effect.value is None:
            return effect.case_id
    return effects[0].case_id if effects else None


class RefusedEffect(msgspec.Struct, frozen=True):
    """An effect that was not committed. `fault`: `fence`, `conflict`, or `duplicate` (of `case_id`)."""

    fault: str
    case_id: str = ""
    distance_m: float = 0.0


class OutboxEntry(msgspec.Struct, frozen=True):
    """One row to relay: an event for the bus, or a follow-up job for the broker."""

    number: int
    event: Event | None
    job: Job | None


class WaitingJob(msgspec.Struct, frozen=True):
    """A job that was committed at `at` (Unix ms) and that the broker does not have yet."""

    type: str
    at: int


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """One bearer token. `digest` is the SHA-256 of its secret in hex.

    `name` is the actor in the audit log. `rate` is the limit in requests per second, 0 for none.
    Times are Unix milliseconds.
    """

    id: str
    name: str
    digest: str
    scopes: tuple[str, ...]
    rate: int = 0
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None


class AcceptedKey(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted idempotency key: the digests of key and request, and the answer, empty at first."""

    key: str
    request: str
    answer: bytes
    at: int


class CaseStore(Protocol):
    """Cases: listed, closed and reopened by operators, and found by place."""

    async def near(self, queries: Sequence[PlaceQuery]) -> list[NearCase | None]:
        """Return the nearest case for each query, in order, from committed rows."""
        ...

    async def page(
        self, *, status: CaseStatus | None, kind: str | None, limit: int, cursor: str | None
    ) -> tuple[list[Case], str | None]:
        """Return cases, newest first, and the cursor of the next page. A limit of 0 returns all."""
        ...

    async def get(self, case_id: str) -> Case | None:
        """Return one case."""
        ...

    async def set_status(
        self, case_id: str, status: CaseStatus, *, actor: str, note: str, radius_m: float
    ) -> Case:
        """Close or reopen a case, with its audit record and event in the same transaction.

        Raise UnknownId if there is no such case, and DuplicateCase if another open case is at
        the place of the one to be reopened.
        """
        ...


class ReportStore(Protocol):
    """Reports: which jobs each user has sent in the last day."""

    async def count(self, reports: Sequence[ReportCount]) -> list[int]:
        """Record each job once as a report; return the number of its user's reports for each."""
        ...

    async def count_others(self, query: ReportCount) -> int:
        """Count the user's reports other than this job's; record nothing."""
        ...


class EffectStore(Protocol):
    """The effects of jobs, each stored exactly once, and the highest fence of each job."""

    async def commit(self, requests: Sequence[EffectRequest]) -> list[StoredEffect | RefusedEffect]:
        """Commit a group of effects in one transaction; a refused one does not undo the others.

        The job's highest fence is recorded, and a lower one is refused. An effect that is
        already stored with the same digest is returned as it is. Of several cases of one
        kind within the radius the first of the group wins.
        """
        ...

    async def transact(
        self, request: TransactionRequest, write: Write
    ) -> StoredEffect | RefusedEffect:
        """Commit what `write` writes and returns, with the effect (job id, key), in one transaction.

        The fence counts as in `commit`. If the effect is already stored, it is returned and `write` is
        not called. An error of `write` rolls back and is raised as it is. If the connection is lost
        during COMMIT, so that the result is unknown, the stored effect decides whether `write` is
        called again.
        """
        ...

    async def recall(self, claims: Sequence[tuple[str, int]]) -> list[tuple[StoredEffect, ...]]:
        """Record each (job id, fence) as the job's highest fence; return the effects each job already has.

        A fence one above that of a claim that has ended, or whose lease has expired, also
        prevents that claim from committing anything afterwards.
        """
        ...

    async def highest_fence(self) -> int:
        """Return the highest fence of any job, 0 if there is none."""
        ...


class OutboxStore(Protocol):
    """Events and follow-up jobs that were committed with an effect, until they are published."""

    async def waiting(self, limit: int) -> list[OutboxEntry]:
        """Return unpublished rows, oldest first, including those that a relay is delivering."""
        ...

    async def waiting_job(self, job_id: str) -> WaitingJob | None:
        """Return the job with this id if it is among the first 10,000 unpublished rows."""
        ...

    async def lag_ms(self) -> int:
        """Return the age of the oldest row that is not yet published; 0 if there is none."""
        ...

    async def listen(self, wake: Callable[[], None]) -> None:
        """Have `wake` called when a producer's own transaction has added rows, if the database can notify.

        Call it again from time to time: a lost connection is opened again. Never raises.
        """
        ...

    async def relay(
        self, limit: int, deliver: Callable[[Sequence[OutboxEntry]], Awaitable[None]]
    ) -> int:
        """Deliver unpublished rows that no other relay is delivering, oldest first; return their number.

        They are marked as published after `deliver` returns, and stay as they are if it
        raises: each row is delivered at least once. `case.*` events stay replayable; the
        rest may be removed.
        """
        ...

    async def replay(self, *, after: int, limit: int) -> list[OutboxEntry]:
        """Return the stored `case.*` rows above a number, oldest first, published or not."""
        ...


class AuditStore(Protocol):
    """The audit log, and the chain of its rows."""

    async def append(self, records: Sequence[AuditRecord]) -> None:
        """Append rows durably; `seal` chains them later."""
        ...

    async def seal(self) -> tuple[int, str] | None:
        """Chain the committed rows that are not yet sealed; return the new head, None if there was none.

        Each row's digest is SHA-256 over the digest before it and its own
        canonical JSON; links are numbered from 1 without gaps.
        """
        ...

    async def records(
        self, query: AuditQuery = EVERY_ROW, *, limit: int, cursor: str | None
    ) -> list[AuditRecord]:
        """Return rows, newest first; the cursor is the number of the last row seen.

        A limit of 0 returns all. If no index serves the query, it reads on until it has them.
        """
        ...

    async def page(self, query: AuditQuery, *, limit: int, cursor: str | None) -> AuditPage:
        """Return one page of rows, newest first. The read is bounded, so a page may be short."""
        ...

    async def sealed_chain(self, links: Sequence[int]) -> SealedChain:
        """Return the end of the chain, and the digests at the given links that exist. Bounded work."""
        ...

    async def verify(self, links: Sequence[int]) -> SealedChain:
        """Check the whole chain for changed and missing rows, which are the `faults` of the result.

        The result contains the digests at the given links that exist, to be compared with
        published heads. Rows that are not sealed yet are not a fault.
        """
        ...


class ArchiveStore(Protocol):
    """The archive: jobs that left the broker."""

    async def keep(self, jobs: Sequence[JobDetail]) -> None:
        """Store jobs that leave the broker; the same end of a job is not stored twice."""
        ...

    async def page(self, *, limit: int, cursor: str | None) -> tuple[list[JobDetail], str | None]:
        """Return archived jobs, newest first, and the cursor of the next page; a limit of 0 returns all.

        A page of large jobs is shorter than `limit`, and then has a cursor.
        """
        ...

    async def get(self, job_id: str) -> JobDetail | None:
        """Return the archived job with this id; if the id was used again, the one that ended last."""
        ...

    async def sweep(self, *, before: int, limit: int, cursor: str | None) -> tuple[int, str | None]:
        """Remove expired jobs among the next `limit` archived ones; return how many, and the next cursor.

        They are checked in the order in which they ended, from the first if the cursor is None.
        Completed and cancelled ones that ended before a time (Unix ms) are removed. The next cursor
        is None once that time is reached.
        """
        ...


class AnalyticsStore(Protocol):
    """Counters of what was committed, by metric."""

    async def fold(self) -> int:
        """Fold recorded deltas into the totals, in bounded steps; return their number.

        Also removes reports and idempotency keys older than a day, and fences older than 30 days.
        """
        ...

    async def totals(self) -> dict[str, int]:
        """Return the totals by metric, including deltas that are not yet folded."""
        ...


class TokenStore(Protocol):
    """The bearer tokens of the HTTP API."""

    async def add(self, token: Token) -> None:
        """Store a new token."""
        ...

    async def all(self) -> list[Token]:
        """Return all tokens, including revoked and expired ones, oldest first."""
        ...

    async def revoke(self, token_id: str, at: int) -> bool:
        """Revoke a token at a time (Unix ms); return False if there is none or it is revoked."""
        ...


class AcceptedKeyStore(Protocol):
    """The idempotency keys of accepted requests. They are stored for a day."""

    async def find(self, keys: Sequence[str]) -> list[AcceptedKey | None]:
        """Return what was accepted under each key, in order."""
        ...

    async def reserve(self, keys: Sequence[AcceptedKey]) -> list[AcceptedKey]:
        """Store new keys durably; return what is stored under each key, in order.

        Of concurrent requests under one key only one is stored, and all callers get that one.
        """
        ...

    async def keep(self, accepted: Sequence[AcceptedKey]) -> None:
        """Store keys durably; a key that exists already is not changed.

        If it has no answer yet and is of the same request, the answer is added.
        """
        ...


class ErasingStore(Protocol):
    """Erases the data of one person; the audit chain is not changed."""

    async def erase(self, job_ids: Sequence[str]) -> list[str]:
        """Erase the stored data of these jobs; return, sorted, those that are in the archive.

        Archived jobs are erased as by `Control.erase`. Their cases lose data (it becomes
        `domain.erasure.ERASED`), user and place, and no longer count as duplicates of others;
        kind, status, urgency, times and the digest of the effect stay. The values of their
        transactions become the same; what was written to tables of the application is not
        known here. Their reports are removed. The data of events about them in the outbox, and of those jobs if they wait
        in it, is erased. Erasing again changes nothing.
        """
        ...
