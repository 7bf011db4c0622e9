"""Moves finished jobs from the broker to the archive; a job erased meanwhile is erased there too."""

from __future__ import annotations

from collections.abc import Sequence

from hms_svc.domain.erasure import ERASED
from hms_svc.domain.errors import Outage
from hms_svc.domain.views import JobDetail
from hms_svc.ports.control import Control
from hms_svc.ports.inspection import Inspection
from hms_svc.ports.stores import ArchiveStore, ErasingStore
from hms_svc.runtime.loop import log


class ArchiveTransfer:
    """Moves jobs to the archive: stores them there first, then removes them from the broker."""

    def __init__(
        self,
        *,
        control: Control,
        inspection: Inspection,
        archive: ArchiveStore,
        erasure: ErasingStore,
    ) -> None:
        self._control = control
        self._inspection = inspection
        self._archive = archive
        self._erasure = erasure

    async def move(self, jobs: Sequence[JobDetail]) -> int:
        """Move the jobs that the archive accepts; return their number."""
        kept = await self._keep(jobs) if jobs else []
        await self._erase_again([job for job in jobs if job.view.id in set(kept)])
        await self._control.forget(kept)
        return len(kept)

    async def _keep(self, jobs: Sequence[JobDetail]) -> list[str]:
        """Archive jobs, one by one if they fail together; return the ids of those archived."""
        try:
            await self._archive.keep(jobs)
        except Outage:
            raise
        except Exception as error:  # noqa: BLE001 - it is logged; the other jobs are archived
            if len(jobs) > 1:
                return [job_id for job in jobs for job_id in await self._keep([job])]
            log.warning(
                "job %s cannot be archived and stays in the broker: %r", jobs[0].view.id, error
            )
            return []
        return [job.view.id for job in jobs]

    async def _erase_again(self, jobs: Sequence[JobDetail]) -> None:
        """Erase in the archive the jobs that were erased in the broker since they were read.

        An erasure goes through the archive last, so a job archived after that was already
        erased in the broker.
        """
        ids = [job.view.id for job in jobs if job.view.data != ERASED]
        now = await self._inspection.details(ids) if ids else []
        erased = [job.view.id for job in now if job is not None and job.view.data == ERASED]
        if erased:
            await self._erasure.erase(erased)
