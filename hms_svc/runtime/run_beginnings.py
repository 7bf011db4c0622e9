"""When the runs of claimed jobs began: for types that limit the time of all attempts together."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hms_svc.domain.errors import BrokerUnavailable
from hms_svc.domain.job import ClaimedJob
from hms_svc.domain.views import AttemptView
from hms_svc.ports.inspection import Inspection
from hms_svc.sdk.registry import Registry


class RunBeginnings:
    """Reads the beginnings from the histories of these jobs; no other job costs a call."""

    def __init__(self, inspection: Inspection, registry: Registry) -> None:
        self._inspection = inspection
        self._limited = frozenset(
            declared.type
            for declared in registry
            if declared.retry is not None and declared.retry.within_seconds is not None
        )

    async def add_to(self, claimed: Sequence[ClaimedJob]) -> Sequence[ClaimedJob]:
        """Return the jobs, those in a later attempt of a limited type with `run_began_at`.

        A history that cannot be read leaves it out: the run may then have one more attempt, which
        reads it again.
        """
        wanted = [
            job.token.job_id for job in claimed if job.attempt > 1 and job.job.type in self._limited
        ]
        if not wanted:
            return claimed
        try:
            details = await self._inspection.details(wanted)
        except BrokerUnavailable:
            return claimed
        began = {
            detail.view.id: run_began_at(detail.attempts)
            for detail in details
            if detail is not None
        }
        return [
            msgspec.structs.replace(job, run_began_at=began[job.token.job_id])
            if job.token.job_id in began
            else job
            for job in claimed
        ]


def run_began_at(attempts: Sequence[AttemptView]) -> int | None:
    """Return when the first counted attempt of the last run began (Unix ms), None without attempts.

    An attempt that was not counted has the number of the next one, and a new run begins with 1
    again. If a history has lost its beginning, that of the oldest attempt left is used.
    """
    if not attempts:
        return None
    first = next((each for each in reversed(attempts) if each.attempt == 1), attempts[0])
    return first.started_at
