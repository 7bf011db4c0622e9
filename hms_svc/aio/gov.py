"""`aio.gov`: the governance gate, awaitable."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from hms_svc.api import calls
from hms_svc.api.calls import awaited, check_inside, check_outside
from hms_svc.api.portal import on_right_loop
from hms_svc.sdk.running_job import find_job


def vet(action: str, payload: Any) -> Coroutine[Any, Any, None]:
    """Return, when awaited, if governance allows the action; else raise ActionDenied or ActionHeld."""
    job = find_job()
    if job is None:
        check_inside("gov.vet")
        return on_right_loop(lambda: calls.vet(action, payload))
    pending = job.gov.vet(action, payload)  # counts as unanswered from here, awaited or not
    return on_right_loop(lambda: pending)


class AwaitableGovernance:
    """The same call without a job, also in a process that runs a worker."""

    vet = staticmethod(awaited(calls.vet, check_outside, "gov.vet"))


outside = AwaitableGovernance()

__all__ = ["outside", "vet"]
