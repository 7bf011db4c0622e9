"""The queries of screens: small frozen values that the store runs again and again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from hms_svc.domain.audit_query import AuditQuery
from hms_svc.domain.case import Case, CaseStatus
from hms_svc.domain.errors import DatabaseUnavailable, UnknownId
from hms_svc.domain.event import Event
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.views import AuditRecord, JobDetail, JobPage
from hms_svc.operations.reads import FullJob
from hms_svc.tui.audit_rows import Folded, fold
from hms_svc.tui.snapshot import BROKER, DATABASE, FullJobSeen, SchedulePage

if TYPE_CHECKING:
    from hms_svc.operations.service import Operations
    from hms_svc.operations.type_detail import TypeDetail

MOST_READ_AT_ONCE: Final = 5000
MOST_RUNNING: Final = 200
AUDIT_PAGES: Final = 5
BATCH_ROWS: Final = 1000


class JobsQuery(msgspec.Struct, frozen=True):
    """One page of jobs. A page ends after some thousands of examined records, whether they match or not.

    `is_slow` means that no index serves the filter: such a page is refreshed less often.
    """

    source: ClassVar[str] = BROKER
    where: str
    limit: int
    cursor: str | None = None
    is_slow: bool = False

    @property
    def every_seconds(self) -> float:
        """The age at which the answer is refreshed."""
        return 15.0 if self.is_slow else 1.5

    async def read(self, operations: Operations) -> JobPage:
        """Read the page."""
        where = parse_filter(self.where)
        return await operations.reads.jobs(
            where, limit=self.limit, cursor=self.cursor, examine=MOST_READ_AT_ONCE
        )


class SchedulesQuery(msgspec.Struct, frozen=True):
    """All schedules, with a page of waiting jobs."""

    source: ClassVar[str] = BROKER
    jobs: JobsQuery

    every_seconds: ClassVar[float] = 2.0

    async def read(self, operations: Operations) -> SchedulePage:
        """Read both."""
        schedules = await operations.schedules.all()
        return SchedulePage(tuple(schedules), await self.jobs.read(operations))


class JobQuery(msgspec.Struct, frozen=True):
    """One job with its case and audit history."""

    source: ClassVar[str] = BROKER
    job_id: str

    every_seconds: ClassVar[float] = 1.0

    async def read(self, operations: Operations) -> FullJobSeen | None:
        """Read the job; None if it does not exist. Without the database, read the broker's part only."""
        reads = operations.reads
        try:
            try:
                return FullJobSeen(await reads.full_job(self.job_id), await reads.why(self.job_id))
            except DatabaseUnavailable as error:
                detail, archived = await reads.detail(self.job_id)
                full_job = FullJob(detail=detail, case=None, audit=(), archived=archived)
                return FullJobSeen(full_job, await reads.why(self.job_id), unread=str(error))
        except UnknownId:
            return None


class TypeQuery(msgspec.Struct, frozen=True):
    """One job type with its workers, causes, newest results, settings and schedule."""

    source: ClassVar[str] = BROKER
    type: str

    every_seconds: ClassVar[float] = 2.0

    async def read(self, operations: Operations) -> TypeDetail | None:
        """Read the type; None if there is no such queue."""
        try:
            return await operations.types.detail(self.type)
        except UnknownId:
            return None


class ExplainedJob(msgspec.Struct, frozen=True):
    """One job from the broker, with a sentence that explains its state."""

    detail: JobDetail
    why: str


class PreviewQuery(msgspec.Struct, frozen=True):
    """One job for a preview, read once, and again when `stamp` changes.

    Explaining a job that has `ended` takes four commands to the broker, one that waits some sixteen.
    """

    job_id: str
    stamp: tuple[object, ...] = ()
    ended: bool = True

    @property
    def spacing_seconds(self) -> float:
        """The least time until the next read, so that a console stays within its command budget."""
        return 0.4 if self.ended else 1.25

    async def read(self, operations: Operations) -> ExplainedJob | str:
        """Read the job; return a message if it does not exist."""
        try:
            return ExplainedJob(*await operations.reads.explained(self.job_id))
        except UnknownId:
            return f"job {self.job_id} not found"


class RunningJobs(msgspec.Struct, frozen=True):
    """The running jobs by id."""

    jobs: Mapping[str, JobDetail] = {}
    lease_ms: int = 30_000


class RunningJobsQuery(msgspec.Struct, frozen=True):
    """The running jobs, as many as fit on a screen, and some `more` by their ids."""

    source: ClassVar[str] = BROKER
    more: tuple[str, ...] = ()

    every_seconds: ClassVar[float] = 1.0

    async def read(self, operations: Operations) -> RunningJobs:
        """Read the jobs; those that no longer exist are left out."""
        reads = operations.reads
        live, silent = await reads.register()
        ids = [job_id for worker in (*live, *silent) for job_id in worker.jobs][:MOST_RUNNING]
        wanted = dict.fromkeys((*ids, *self.more))
        details = await reads.known_details(list(wanted)) if wanted else []
        return RunningJobs({each.view.id: each for each in details}, reads.lease_ms)


class CaseRows(msgspec.Struct, frozen=True):
    """One page of cases."""

    cases: tuple[Case, ...]
    cursor: str | None


class CasesQuery(msgspec.Struct, frozen=True):
    """Cases, newest first."""

    source: ClassVar[str] = DATABASE
    status: CaseStatus | None
    limit: int
    kind: str | None = None

    every_seconds: ClassVar[float] = 3.0

    async def read(self, operations: Operations) -> CaseRows:
        """Read the page."""
        cases, cursor = await operations.reads.database.cases.page(
            status=self.status, kind=self.kind, limit=self.limit, cursor=None
        )
        return CaseRows(tuple(cases), cursor)


class CaseQuery(msgspec.Struct, frozen=True):
    """One case."""

    source: ClassVar[str] = DATABASE
    case_id: str

    every_seconds: ClassVar[float] = 3.0

    async def read(self, operations: Operations) -> Case | None:
        """Read it; None if it does not exist."""
        try:
            return await operations.reads.case(self.case_id)
        except UnknownId:
            return None


class EventsQuery(msgspec.Struct, frozen=True):
    """The newest events of the bus."""

    source: ClassVar[str] = BROKER
    limit: int

    every_seconds: ClassVar[float] = 0.5

    async def read(self, operations: Operations) -> tuple[Event, ...]:
        """Read them."""
        return tuple(await operations.reads.newest_events(self.limit))


class AuditRowQuery(msgspec.Struct, frozen=True):
    """One audit row, by its number."""

    source: ClassVar[str] = DATABASE
    number: int

    every_seconds: ClassVar[float] = 3.0

    async def read(self, operations: Operations) -> AuditRecord | None:
        """Read it; None if it does not exist."""
        rows = await operations.reads.database.audit.records(limit=1, cursor=str(self.number + 1))
        return rows[0] if rows and rows[0].number == self.number else None


class AuditRows(msgspec.Struct, frozen=True):
    """The newest audit records, folded; `is_whole` if there are no more."""

    folded: tuple[Folded, ...]
    is_whole: bool


class AuditRowsQuery(msgspec.Struct, frozen=True):
    """Audit rows, newest first, with a bulk action as one row."""

    source: ClassVar[str] = DATABASE
    limit: int
    query: AuditQuery = AuditQuery(folded=True)

    every_seconds: ClassVar[float] = 3.0

    async def read(self, operations: Operations) -> AuditRows:
        """Read pages until they fold to as many rows as are wanted, at most `AUDIT_PAGES`."""
        records: list[AuditRecord] = []
        cursor: str | None = None
        for _ in range(AUDIT_PAGES):
            page = await operations.reads.database.audit.page(
                self.query, limit=self.limit, cursor=cursor
            )
            records += page.records
            cursor = page.cursor
            if cursor is None or len(fold(records)) >= self.limit:
                break
        return AuditRows(tuple(fold(records)[: self.limit]), cursor is None)


class BatchQuery(msgspec.Struct, frozen=True):
    """The records of one bulk action, newest first."""

    source: ClassVar[str] = DATABASE
    batch: str
    action: str

    every_seconds: ClassVar[float] = 3.0

    async def read(self, operations: Operations) -> Folded | None:
        """Read the newest records; None if there are none."""
        query = AuditQuery(subject=self.batch, action=self.action)
        page = await operations.reads.database.audit.page(query, limit=BATCH_ROWS, cursor=None)
        return Folded(page.records) if page.records else None
