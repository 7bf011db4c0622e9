"""`gov`: the governance gate, for plain functions."""

from __future__ import annotations

from typing import Any

from hms_svc.domain.errors import WrongThread
from hms_svc.facade import work
from hms_svc.facade.portal import block, refuse_running_loop
from hms_svc.handling.context import find_job


def vet(action: str, payload: Any) -> None:
    """Return where governance allows the action; raise ActionDenied or ActionHeld where not."""
    job = find_job()
    if job is None:
        work.check_inside("gov.vet")
        block(lambda: work.vet(action, payload), "hms_svc.aio.gov.vet")
        return
    asked = job.gov.vet(action, payload)  # counts as unanswered from here
    try:
        refuse_running_loop("hms_svc.aio.gov.vet")
    except WrongThread:
        asked.close()
        raise
    block(lambda: asked, "hms_svc.aio.gov.vet")


class Calls:
    """The calls that are for no job."""

    def vet(self, action: str, payload: Any) -> None:
        """Ask as `gov.vet` does, for no job: nothing sticks to one, and nobody can approve it."""
        work.check_outside("gov.vet")
        block(lambda: work.vet(action, payload), "hms_svc.aio.gov.outside.vet")


outside = Calls()
"""The same call for no job, also in a process that runs a worker."""
