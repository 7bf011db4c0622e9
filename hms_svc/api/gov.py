"""`gov`: the governance gate, for plain functions."""

from __future__ import annotations

from typing import Any

from hms_svc.api import calls
from hms_svc.api.calls import blocking, check_inside, check_outside
from hms_svc.api.portal import block, refuse_running_loop
from hms_svc.domain.errors import WrongThread
from hms_svc.sdk.running_job import find_job

_vet_without_job = blocking(calls.vet, check_inside, "gov.vet", "hms_svc.aio.gov.vet")


def vet(action: str, payload: Any) -> None:
    """Return if governance allows the action; else raise ActionDenied or ActionHeld."""
    job = find_job()
    if job is None:
        _vet_without_job(action, payload)
        return
    pending = job.gov.vet(action, payload)  # counts as unanswered from here
    try:
        refuse_running_loop("hms_svc.aio.gov.vet")
    except WrongThread:
        pending.close()
        raise
    block(lambda: pending, "hms_svc.aio.gov.vet")


class BlockingGovernance:
    """The same call without a job, also in a process that runs a worker."""

    vet = staticmethod(blocking(calls.vet, check_outside, "gov.vet", "hms_svc.aio.gov.outside.vet"))


outside = BlockingGovernance()

__all__ = ["outside", "vet"]
