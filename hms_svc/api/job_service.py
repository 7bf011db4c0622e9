"""What handles of jobs read and act with: the operator service over the engines of one loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from hms_svc.domain.batches import BatchView
from hms_svc.domain.errors import BadInput, BadSetting, Refused, UnknownId
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.views import JobDetail, JobView
from hms_svc.operations.bulk import BulkActs
from hms_svc.operations.job_ends import JobEnds
from hms_svc.operations.journal import Journal
from hms_svc.operations.reads import Reads
from hms_svc.ports.bus import Bus
from hms_svc.ports.clock import Clock
from hms_svc.ports.control import Act, Control
from hms_svc.ports.database import Database
from hms_svc.ports.inspection import Inspection

MOST_LISTED: Final = 10_000
RECORDS_EXAMINED_AT_ONCE: Final = 5_000


class JobService:
    """Reads, cancels and awaits jobs. `actor` is recorded with what it does.

    The database is opened for a job that only the archive may have, and for a cancellation.
    """

    def __init__(
        self,
        *,
        inspection: Inspection,
        control: Control,
        bus: Bus,
        clock: Clock,
        actor: str,
        open_database: Callable[[], Awaitable[Database]],
        unserved_days: float,
        lease_seconds: float,
    ) -> None:
        self._inspection = inspection
        self._control = control
        self._bus = bus
        self._clock = clock
        self._actor = actor
        self._open_database = open_database
        self._unserved_days = unserved_days
        self._lease_seconds = lease_seconds
        self._reads = self._reads_with(None)
        self.ends = JobEnds(self.detail, inspection=inspection, bus=bus)

    async def detail(self, job_id: str) -> JobDetail:
        """Return one job of the broker or the archive; UnknownId if neither has it."""
        try:
            return (await self._reads.detail(job_id))[0]
        except UnknownId:
            try:
                database = await self._open_database()
            except BadSetting as error:  # hms-svc-client has no archive
                raise UnknownId(f"no job with id {job_id!r}") from error
            return (await self._reads_with(database).detail(job_id))[0]

    async def why(self, job_id: str) -> str:
        """Return one sentence on why the job is in its state."""
        await self.detail(job_id)
        try:
            return await self._reads.why(job_id)
        except UnknownId:
            return await self._reads_with(await self._open_database()).why(job_id)

    async def page(self, where: str, limit: int) -> list[JobView]:
        """Return the jobs of the broker that match a filter, at most `limit`, in the order of `Reads.jobs`."""
        if type(limit) is not int or not 1 <= limit <= MOST_LISTED:
            raise BadInput(f"limit {limit!r:.40} is not a whole number from 1 to {MOST_LISTED}")
        parsed = parse_filter(where)
        found: list[JobView] = []
        cursor: str | None = None
        while True:
            page = await self._reads.jobs(
                parsed, limit=limit - len(found), cursor=cursor, examine=RECORDS_EXAMINED_AT_ONCE
            )
            found += page.jobs
            cursor = page.cursor
            if cursor is None or len(found) >= limit:
                return found

    async def cancel(self, job_id: str, reason: str) -> str:
        """Cancel a job as an operator does, and return the batch under which that can be undone.

        Raises UnknownId, and Refused for a job that has ended.
        """
        return await self.act(Act.CANCEL, job_id, reason)

    async def act(self, act: Act, job_id: str, reason: str) -> str:
        """Act on a job as an operator does, and return the batch.

        Raises UnknownId, and Refused for a job in a state that does not allow it.
        """
        acts = self._acts(await self._open_database())
        plan = await acts.plan(act, [job_id])
        report = await acts.carry_out(plan, note=reason)
        for failed in report.failed:
            raise Refused(f"job {job_id}: {failed.why}")
        return report.batch

    async def batch(self, batch_id: str) -> BatchView:
        """Return one batch of the broker; UnknownId if it has none with this id."""
        return await self._reads.batch(batch_id)

    async def cancel_where(self, where: str, reason: str) -> str:
        """Cancel the jobs that match a filter as an operator does, and return the batch for an undo.

        Raises Refused if no job matches that can be cancelled.
        """
        acts = self._acts(await self._open_database())
        plan = await acts.plan_where(Act.CANCEL, parse_filter(where))
        if not plan.job_ids:
            raise Refused(f"no job that could be cancelled matches {where}")
        return (await acts.carry_out(plan, note=reason)).batch

    def _acts(self, database: Database) -> BulkActs:
        return BulkActs(
            reads=self._reads_with(database),
            control=self._control,
            journal=Journal(database, self._clock, actor=self._actor, read_only=False),
        )

    def _reads_with(self, database: Database | None) -> Reads:
        return Reads(
            inspection=self._inspection,
            bus=self._bus,
            database=database,
            clock=self._clock,
            unserved_days=self._unserved_days,
            lease_seconds=self._lease_seconds,
        )
