"""Everything that an operator can read, for any broker and database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

import msgspec

from hms_svc.domain.audit_query import AuditQuery
from hms_svc.domain.batches import LONG_OPEN_MS, BatchPage, BatchView
from hms_svc.domain.case import Case
from hms_svc.domain.errors import DatabaseUnavailable, UnknownId
from hms_svc.domain.event import Event
from hms_svc.domain.filter import Filter
from hms_svc.domain.health import Health
from hms_svc.domain.lifecycle import TERMINAL
from hms_svc.domain.views import (
    AuditRecord,
    FailureGroup,
    JobDetail,
    JobPage,
    JobView,
    ProgressView,
    QueueView,
    WorkerView,
)
from hms_svc.operations.batch_explanation import not_made_yet
from hms_svc.operations.batch_tree import BatchTree, read_tree
from hms_svc.operations.engine_probes import EngineProbes
from hms_svc.operations.event_reads import EventReads
from hms_svc.operations.explanation import JobFacts, explain
from hms_svc.operations.explanation_facts import with_circumstances
from hms_svc.operations.health import HealthInputs, HealthWatch
from hms_svc.operations.queue_explanation import QueueWhys
from hms_svc.operations.undelivered import undelivered_text, unknown_job
from hms_svc.ports.answer_timeout import MOST_SECONDS
from hms_svc.ports.bus import Bus
from hms_svc.ports.clock import Clock
from hms_svc.ports.database import Database, DatabaseHealth
from hms_svc.ports.filter_judge import MOST_SHOWN_BYTES, MOST_WORK, FilterJudge
from hms_svc.ports.inspection import BrokerHealth, Inspection

ARCHIVE_PAGE = 500
MOST_LISTED: Final = 1000
"""The maximum number of types in a list of queues."""
PROBE_SECONDS: Final = 0.75
"""How long a view waits for the database to answer its probe."""
LONG_PROBE_SECONDS: Final = MOST_SECONDS
"""How long a caller waits whose decision depends on it."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Queues, workers and health at `at` (Unix ms). `database` is None if none was given.

    `silent_workers` are registered but not live. Beside the queues there are
    `types_left_off` more.
    """

    at: int
    broker: BrokerHealth
    database: DatabaseHealth | None
    queues: tuple[QueueView, ...]
    workers: tuple[WorkerView, ...]
    health: Health
    silent_workers: tuple[WorkerView, ...] = ()
    types_left_off: int = 0


class FullJob(msgspec.Struct, frozen=True, kw_only=True):
    """One job with its case, its audit records and its batch; `archived` if only the archive has it."""

    detail: JobDetail
    case: Case | None
    audit: tuple[AuditRecord, ...]
    archived: bool
    batch: BatchTree | None = None


class Reads(QueueWhys, EventReads):
    """The reading half of the operator service. `database` is None if there is none.

    `database_away` is the state of one that could not be opened; `lease_ms` is how long a lease lasts.
    """

    def __init__(
        self,
        *,
        inspection: Inspection,
        bus: Bus,
        database: Database | None,
        clock: Clock,
        unserved_days: float = 7.0,
        lease_seconds: float = 30.0,
        database_away: DatabaseHealth | None = None,
    ) -> None:
        self._inspection = inspection
        self._bus = bus
        self._database = database
        self._clock = clock
        self._unserved_days = unserved_days
        self.lease_ms = int(lease_seconds * 1000)
        self._probes = EngineProbes(inspection, database, database_away)
        self._watch = HealthWatch()

    @property
    def database(self) -> Database:
        """The database; DatabaseUnavailable if this service was created without one."""
        if self._database is None:
            raise DatabaseUnavailable("this requires the database, and none is open")
        return self._database

    def now_ms(self) -> int:
        """Return Unix milliseconds."""
        return self._clock.now_ms()

    async def status(self, *, probe_seconds: float = PROBE_SECONDS) -> Status:
        """Return queues, workers and health. Raises BrokerUnavailable.

        A database that does not answer within `probe_seconds` is not well.
        """
        broker, database, (workers, silent) = await asyncio.gather(
            self._inspection.health(),
            self._probes.database(probe_seconds),
            self._inspection.register(),
        )
        queues, left_off = await self.listed_queues(workers)
        seen = self.seen(broker, database, queues, workers, silent)
        return Status(
            at=seen.at,
            broker=broker,
            database=database,
            queues=tuple(queues),
            workers=tuple(workers),
            health=self._watch.take(seen),
            silent_workers=tuple(silent),
            types_left_off=left_off,
        )

    def seen(
        self,
        broker: BrokerHealth | None,
        database: DatabaseHealth | None,
        queues: Sequence[QueueView] | None = None,
        workers: Sequence[WorkerView] | None = None,
        silent: Sequence[WorkerView] = (),
    ) -> HealthInputs:
        """Return what was just read, for its health to be judged."""
        return HealthInputs(
            at=self.now_ms(),
            broker=broker,
            database=database,
            queues=queues,
            workers=workers,
            silent=silent,
            lease_ms=self.lease_ms,
        )

    def judge_engines(self, broker: BrokerHealth, database: DatabaseHealth | None) -> Health:
        """Return the health of the two engines alone, from the results of `health`."""
        return self._watch.take(self.seen(broker, database))

    async def health(
        self, *, probe_seconds: float = LONG_PROBE_SECONDS
    ) -> tuple[BrokerHealth, DatabaseHealth | None]:
        """Return the health of both engines, within `probe_seconds`; without a database None."""
        return await asyncio.gather(
            self._probes.broker(probe_seconds), self._probes.database(probe_seconds)
        )

    async def jobs(
        self, where: Filter, *, limit: int, cursor: str | None, examine: int = 0
    ) -> JobPage:
        """Return one page of the broker's jobs; a limit of 0 means all.

        With `examine` it ends after so many records, or once its filter has spent its
        work, however few matched; its cursor continues. Raises FilterTooCostly, BadInput.
        """
        return await self._inspection.page(where, limit=limit, cursor=cursor, examine=examine)

    async def failures(self) -> list[FailureGroup]:
        """Return the retrying, dead and rejected jobs by cause, the group of the newest first."""
        return await self._inspection.failures()

    async def archived_jobs(
        self, where: Filter, *, limit: int, cursor: str | None, examine: int = 0
    ) -> JobPage:
        """Return one page of the archive's matching jobs, newest first; a limit of 0 means all.

        With `examine` it ends after so many records, or once its filter has spent its
        work, however few matched; its cursor continues. Raises FilterTooCostly, BadInput.
        """
        found: list[JobView] = []
        judge = FilterJudge(where, self.now_ms())
        examined = size = 0
        while True:
            wanted = min(ARCHIVE_PAGE, limit - len(found)) if limit else ARCHIVE_PAGE
            if examine:
                wanted = min(wanted, examine - examined)
            details, cursor = await self.database.archive.page(limit=wanted, cursor=cursor)
            examined += len(details)
            for each in details:
                if await judge.fits(each.view):
                    found.append(each.view)
                    size += len(each.view.data)
            is_full = bool(limit) and len(found) >= limit
            is_enough = examined >= examine or judge.work >= MOST_WORK or size >= MOST_SHOWN_BYTES
            if cursor is None or is_full or (examine and is_enough):
                return JobPage(tuple(found), cursor, examined, judge.work)

    async def details(self, job_ids: Sequence[str]) -> list[JobDetail]:
        """Return all that the broker knows about each id; UnknownId names the first unknown one."""
        found = await self._inspection.details(job_ids)
        known = [detail for detail in found if detail is not None]
        if len(known) < len(job_ids):
            missing = next(
                job_id for job_id, detail in zip(job_ids, found, strict=True) if not detail
            )
            raise await unknown_job(missing, self._database, self.now_ms())
        return known

    async def known_details(self, job_ids: Sequence[str]) -> list[JobDetail]:
        """Return all that the broker knows about those ids that it knows."""
        found = await self._inspection.details(job_ids)
        return [detail for detail in found if detail is not None]

    async def ended(self, job_ids: Sequence[str]) -> dict[str, tuple[JobDetail, bool]]:
        """Return those of the jobs that have ended, each with whether only the archive has it."""
        found: dict[str, tuple[JobDetail, bool]] = {}
        for job_id, detail in zip(job_ids, await self._inspection.details(job_ids), strict=True):
            if detail is not None and detail.view.state in TERMINAL:
                found[job_id] = detail, False
            elif detail is None and self._database is not None:
                archived = await self._database.archive.get(job_id)
                if archived is not None:
                    found[job_id] = archived, True
        return found

    async def detail(self, job_id: str) -> tuple[JobDetail, bool]:
        """Return one job of the broker or the archive, and whether it came from the archive."""
        (found,) = await self._inspection.details([job_id])
        if found is not None:
            return found, False
        if self._database is not None:
            archived = await self._database.archive.get(job_id)
            if archived is not None:
                return archived, True
        raise await unknown_job(job_id, self._database, self.now_ms())

    async def full_job(self, job_id: str) -> FullJob:
        """Return one job with its case, its audit records and its batch; without a database, without the former."""
        detail, archived = await self.detail(job_id)
        case, audit = None, tuple[AuditRecord, ...]()
        if self._database is not None:
            case_id = detail.view.case_id
            case = await self._database.cases.get(case_id) if case_id else None
            audit = tuple(
                await self._database.audit.records(
                    AuditQuery(subject=job_id), limit=100, cursor=None
                )
            )
        batch_id = detail.view.batch
        batch = None if batch_id is None else await read_tree(self._inspection, batch_id)
        return FullJob(detail=detail, case=case, audit=audit, archived=archived, batch=batch)

    async def progress(self, job_id: str, after: int) -> list[ProgressView]:
        """Return the kept progress and log lines of a job above a number."""
        return (await self.progress_of({job_id: after}))[job_id]

    async def progress_of(self, after: Mapping[str, int]) -> dict[str, list[ProgressView]]:
        """Return for each job id the kept progress and log lines above its number."""
        return await self._inspection.progress_of(after)

    async def why(self, job_id: str) -> str:
        """Return one plain sentence on why the job waits, was rejected, or died."""
        try:
            return (await self.explained(job_id))[1]
        except UnknownId:
            batch_id = await self._inspection.batch_to_make(job_id)
            batch = None if batch_id is None else await self._inspection.batch(batch_id)
            if batch is not None:
                return not_made_yet(job_id, batch)
            if text := await undelivered_text(job_id, self._database, self.now_ms()):
                return text
            raise

    async def explained(self, job_id: str) -> tuple[JobDetail, str]:
        """Return one job of the broker or the archive, and why it is in its state."""
        detail, archived = await self.detail(job_id)
        batch_id = detail.view.batch
        facts = JobFacts(
            detail=detail,
            now_ms=self.now_ms(),
            archived=archived,
            batch=None if batch_id is None else await self._inspection.batch(batch_id),
            unserved_days=self._unserved_days,
            lease_ms=self.lease_ms,
        )
        return detail, explain(await with_circumstances(facts, self._inspection))

    async def batches(self, *, limit: int, cursor: str | None) -> BatchPage:
        """Return one page of the batches, the one that was submitted last first."""
        return await self._inspection.batches(limit=limit, cursor=cursor)

    async def left_open_batches(self, now: int, limit: int) -> tuple[list[str], int]:
        """Return the batches that have been open without a new member for a day: `limit` ids, and their number."""
        return await self._inspection.left_open_batches(before=now - LONG_OPEN_MS, limit=limit)

    async def batch(self, batch_id: str) -> BatchView:
        """Return one batch; UnknownId if the broker does not have it."""
        found = await self._inspection.batch(batch_id)
        if found is None:
            raise UnknownId(f"no batch with id {batch_id!r}")
        return found

    async def workers(self) -> list[WorkerView]:
        """Return the live workers."""
        return await self._inspection.workers()

    async def register(self) -> tuple[list[WorkerView], list[WorkerView]]:
        """Return the live workers, and those that are registered but not live."""
        return await self._inspection.register()

    async def types(self) -> list[str]:
        """Return every known type."""
        return await self._inspection.types()

    async def queues(self, types: Sequence[str] | None = None) -> list[QueueView]:
        """Return the known queues of these types, or every one."""
        return await self._inspection.queues(types)

    async def listed_queues(self, workers: Sequence[WorkerView]) -> tuple[list[QueueView], int]:
        """Return the queues that a list shows, and the number of types that it leaves out.

        Those that one of the live `workers` serves come first, then the others in their order, 1000 at most.
        """
        types = await self._inspection.types()
        if len(types) > MOST_LISTED:
            served = {type for worker in workers for type in worker.types}
            served_first = sorted(types, key=lambda name: (name not in served, name))
            listed = served_first[:MOST_LISTED]
        else:
            listed = types
        queues = await self._inspection.queues(listed, workers=workers)
        return queues, len(types) - len(listed)

    async def case(self, case_id: str) -> Case:
        """Return one case; UnknownId if there is none."""
        found = await self.database.cases.get(case_id)
        if found is None:
            raise UnknownId(f"no case with id {case_id!r}")
        return found

    async def replayed_events(self) -> AsyncIterator[Event]:
        """Yield every `case.*` event ever, oldest first, from the outbox."""
        after = 0
        while entries := await self.database.outbox.replay(after=after, limit=500):
            for entry in entries:
                after = entry.number
                if entry.event is not None:
                    yield entry.event
