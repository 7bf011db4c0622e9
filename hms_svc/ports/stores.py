"""The database as runtime and operations see it: effects, cases, outbox, audit, archive.

Every method raises DatabaseUnavailable where the database cannot be reached.
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
from hms_svc.ports.inspection import Capacity


class PlaceQuery(msgspec.Struct, frozen=True):
    """Is there an open case of this kind within the radius of the place?

    A case that `not_of_job` made is left out: a job never stands in its own way.
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
    """Count this job among the user's reports, and tell how many there are since `since` (ms)."""

    user_id: str
    job_id: str
    at: int
    since: int


class EffectRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One effect of a job, keyed by (job id, key): a case with its audit record, events and jobs.

    `digest` is of the case's data: the same key with another one is a
    conflict. `valid_until` is the end of the lease in milliseconds of the
    lease clock, None outside a lease; a commit after it is refused. `vetted`
    is what governance allowed before: a redelivery knows it again.
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
    """An effect that is committed; `fresh` is True where this call committed it."""

    job_id: str
    key: str
    case_id: str
    digest: str
    vetted: tuple[Permission, ...] = ()
    fresh: bool = False


class RefusedEffect(msgspec.Struct, frozen=True):
    """An effect that was not committed. `fault`: `fence`, `conflict`, or `duplicate` (of `case_id`)."""

    fault: str
    case_id: str = ""
    distance_m: float = 0.0


class OutboxEntry(msgspec.Struct, frozen=True):
    """One row to be relayed: an event for the bus, or a follow-up job for the broker."""

    number: int
    event: Event | None
    job: Job | None


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """One bearer token. `digest` is the SHA-256 of its secret, in hex; `rate` 0 is no limit.

    `name` is the actor in the audit log, `rate` requests a second, times are Unix milliseconds.
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
    """A request that came under a key: digests of both, and what it was answered, empty until then."""

    key: str
    request: str
    answer: bytes
    at: int


class DatabaseHealth(msgspec.Struct, frozen=True):
    """Which database, whether it answers, and what is amiss.

    `replaced`: the open file is not at its path any more, and has to be opened anew.
    `round_trip_ms` is how long its answer took; `room` is None where nothing is known of a limit.
    """

    kind: str
    ok: bool
    notes: tuple[str, ...] = ()
    replaced: bool = False
    round_trip_ms: float = 0.0
    capacity: Capacity | None = None


class EffectStore(Protocol):
    """What jobs do to the world, once."""

    async def near(self, queries: Sequence[PlaceQuery]) -> list[NearCase | None]:
        """Answer place queries, in their order, from committed rows."""
        ...

    async def count_reports(self, reports: Sequence[ReportCount]) -> list[int]:
        """Record each job as a report of its user, once, and count the user's jobs since then."""
        ...

    async def count_other_reports(self, asked: ReportCount) -> int:
        """Count the user's reports since then besides this job's, and record nothing."""
        ...

    async def commit(self, requests: Sequence[EffectRequest]) -> list[StoredEffect | RefusedEffect]:
        """Commit a group of effects in one transaction; a refused one does not undo the others.

        The job's highest fence is kept, a lower one refused. An effect that is
        stored already with the same digest is answered as it stands. Of several
        cases of one kind within the radius the first of the group wins.
        """
        ...

    async def highest_fence(self) -> int:
        """Return the highest fence of any job, 0 where there is none."""
        ...

    async def recall(self, claims: Sequence[tuple[str, int]]) -> list[tuple[StoredEffect, ...]]:
        """Raise each (job id, fence) to the job's highest, and give the effects it already has.

        With a fence one above that of a claim which has ended, or whose lease has run
        out, it also keeps that claim from committing anything afterwards.
        """
        ...


class CaseStore(Protocol):
    """Cases, as operators see them."""

    async def cases(
        self, *, status: CaseStatus | None, kind: str | None, limit: int, cursor: str | None
    ) -> tuple[list[Case], str | None]:
        """List cases, newest first, with the cursor of the next page. A limit of 0 is all."""
        ...

    async def case(self, case_id: str) -> Case | None:
        """Return one case."""
        ...

    async def set_case_status(
        self, case_id: str, status: CaseStatus, *, actor: str, note: str, radius_m: float
    ) -> Case:
        """Close or reopen a case, with its audit record and event in the same transaction.

        Raises UnknownId; and DuplicateCase where another open case stands at
        the place of one to be reopened.
        """
        ...


class Ledger(Protocol):
    """Outbox, audit chain, archive, analytics: what goes with the cases."""

    async def outbox(self, limit: int) -> list[OutboxEntry]:
        """Return rows that are not yet published, oldest first; also those that a relay has in progress."""
        ...

    async def outbox_lag_ms(self) -> int:
        """Return how long ago the oldest row that is not yet published was made; 0 without one."""
        ...

    async def relay(
        self, limit: int, deliver: Callable[[Sequence[OutboxEntry]], Awaitable[None]]
    ) -> int:
        """Deliver rows that are not yet published and that no other relay has in progress, oldest first.

        They are marked once `deliver` has returned, and left as they are where it
        raises; gives their number. A row may be delivered twice, and never not
        at all. `case.*` events stay replayable; the rest may go.
        """
        ...

    async def mark_published(self, numbers: Sequence[int]) -> None:
        """Mark rows as relayed. `case.*` events stay replayable; the rest may go."""
        ...

    async def replay(self, *, after: int, limit: int) -> list[OutboxEntry]:
        """Return the kept `case.*` rows above a number, oldest first, published or not."""
        ...

    async def audit(self, records: Sequence[AuditRecord]) -> None:
        """Append audit rows, unchained, durably."""
        ...

    async def seal(self) -> tuple[int, str] | None:
        """Chain the committed rows that are not yet sealed; gives the new head, None if none was.

        Each row's digest is SHA-256 over the digest before it and its own
        canonical JSON; links are numbered from 1 without gaps.
        """
        ...

    async def audit_records(
        self, query: AuditQuery = EVERY_ROW, *, limit: int, cursor: str | None
    ) -> list[AuditRecord]:
        """List audit rows, newest first; the cursor is the number of the last row seen.

        A limit of 0 is all. Where no index serves the query it reads on until it has them.
        """
        ...

    async def audit_page(self, query: AuditQuery, *, limit: int, cursor: str | None) -> AuditPage:
        """Return one page of audit rows, newest first, after a bounded read: it may be short, and go on."""
        ...

    async def sealed_chain(self, links: Sequence[int]) -> SealedChain:
        """Return the end of the chain, and the digests at those of the links that exist. Bounded work."""
        ...

    async def verify_audit(self, links: Sequence[int]) -> SealedChain:
        """Walk the whole chain for changed and missing rows, which are its `faults`.

        The digests at those of the links that exist come with it, to be held
        against published heads. Rows that are not sealed yet are no fault.
        """
        ...

    async def archive(self, jobs: Sequence[JobDetail]) -> None:
        """Keep jobs that leave the broker; the same end of a job is not kept twice."""
        ...

    async def archived(
        self, *, limit: int, cursor: str | None
    ) -> tuple[list[JobDetail], str | None]:
        """List archived jobs, newest first, with the cursor of the next page; a limit of 0 is all.

        A page is shorter than `limit` where its jobs are large, and has a cursor then.
        """
        ...

    async def archived_job(self, job_id: str) -> JobDetail | None:
        """Return the archived job of this id; where the id was used again, the one that ended last."""
        ...

    async def sweep_archive(
        self, *, before: int, limit: int, cursor: str | None
    ) -> tuple[int, str | None]:
        """Check `limit` archived jobs behind a cursor, those first that ended first, from the first for None.

        Completed and cancelled ones that ended before a time (Unix ms) are removed. Gives how many
        those were, and the next cursor, None once the walk has come to that time.
        """
        ...

    async def fold_analytics(self) -> int:
        """Fold recorded deltas into the totals, in bounded steps; gives their number.

        Reports of more than a day ago and fences of more than 30 days ago go with it.
        """
        ...

    async def analytics(self) -> dict[str, int]:
        """Return the totals by metric, deltas that are not yet folded included."""
        ...


class ApiStore(Protocol):
    """Who may come in, and what was accepted from outside under which key."""

    async def add_token(self, token: Token) -> None:
        """Keep a new token."""
        ...

    async def tokens(self) -> list[Token]:
        """Return every token, revoked and expired ones too, the oldest first."""
        ...

    async def revoke_token(self, token_id: str, at: int) -> bool:
        """Mark a token as revoked from then on (Unix ms); False where there is none, or it is."""
        ...

    async def accepted_keys(self, keys: Sequence[str]) -> list[AcceptedKey | None]:
        """Return what was accepted under each key, in their order. Kept for a day."""
        ...

    async def reserve_keys(self, keys: Sequence[AcceptedKey]) -> list[AcceptedKey]:
        """Keep keys that are not kept yet, durably, and give what stands under each, in their order.

        Of several requests under one key at the same moment one stands, for all who ask.
        """
        ...

    async def keep_keys(self, accepted: Sequence[AcceptedKey]) -> None:
        """Keep keys, durably; one that is kept already stays as it was kept first.

        Where it has no answer, and is of the same request, the answer is filled in.
        """
        ...


class ErasingStore(Protocol):
    """What blanks one person's data; the audit chain is not touched."""

    async def erase(self, job_ids: Sequence[str]) -> list[str]:
        """Blank what is kept of these jobs; gives, sorted, those of them that the archive holds.

        Archived jobs are blanked as `Control.erase` does. Their cases lose data
        (it becomes `domain.erasure.ERASED`), user and place, and so stand in no
        other's way any more; kind, status, urgency, times and the digest of the
        effect stay. Their reports are removed. Events about them in the outbox,
        and those jobs where they wait in it, have their data blanked. Erasing
        again changes nothing.
        """
        ...


class Database(EffectStore, CaseStore, Ledger, ApiStore, ErasingStore, Protocol):
    """All of it over one database."""

    @property
    def kind(self) -> str:
        """Which database: sqlite or postgresql."""
        ...

    async def open(self) -> None:
        """Connect and check the schema; the embedded database is migrated. SchemaMismatch else."""
        ...

    async def close(self) -> None:
        """Release every connection, thread and file."""
        ...

    async def health(self) -> DatabaseHealth:
        """Probe the database; never raises."""
        ...

    async def migrate(self) -> str:
        """Bring the schema to this program's version; gives its name."""
        ...

    async def backup(self, path: str) -> None:
        """Write a consistent copy of the embedded database to a new file."""
        ...
