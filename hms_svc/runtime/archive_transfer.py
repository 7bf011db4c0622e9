"""Moving ended jobs from the broker to the archive: what is erased meanwhile is erased there, too."""

from __future__ import annotations

from collections.abc import Sequence

from hms_svc.domain.erasure import ERASED
from hms_svc.domain.errors import Outage
from hms_svc.domain.views import JobDetail
from hms_svc.ports.control import Control
from hms_svc.ports.inspection import Inspection
from hms_svc.ports.stores import Database
from hms_svc.runtime.loop import log


class HandingOver:
    """Archives first, and lets the broker forget then."""

    def __init__(self, control: Control, inspection: Inspection, database: Database) -> None:
        self._control = control
        self._inspection = inspection
        self._database = database

    async def move(self, jobs: Sequence[JobDetail]) -> int:
        """Move those that the archive takes; gives their number."""
        kept = await self._keep(jobs) if jobs else []
        await self._erase_again([job for job in jobs if job.view.id in set(kept)])
        await self._control.forget(kept)
        return len(kept)

    async def _keep(self, jobs: Sequence[JobDetail]) -> list[str]:
        """Put jobs into the archive, one by one where they do not go together; gives those kept."""
        try:
            await self._database.archive(jobs)
        except Outage:
            raise
        except Exception as error:  # noqa: BLE001 - it is logged; the other jobs are kept
            if len(jobs) > 1:
                return [job_id for job in jobs for job_id in await self._keep([job])]
            log.warning("job %s cannot be archived, and stays: %r", jobs[0].view.id, error)
            return []
        return [job.view.id for job in jobs]

    async def _erase_again(self, jobs: Sequence[JobDetail]) -> None:
        """Blank in the archive what has become blank in the broker since it was read.

        Who erases goes through the archive last: what came there later was blank here by then.
        """
        ids = [job.view.id for job in jobs if job.view.data != ERASED]
        now = await self._inspection.details(ids) if ids else []
        blank = [job.view.id for job in now if job is not None and job.view.data == ERASED]
        if blank:
            await self._database.erase(blank)
