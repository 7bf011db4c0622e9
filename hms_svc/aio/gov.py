"""`aio.gov`: the governance gate, awaitable."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from hms_svc.facade import work
from hms_svc.facade.portal import on_right_loop
from hms_svc.handling.context import find_job


def vet(action: str, payload: Any) -> Coroutine[Any, Any, None]:
    """Return, when awaited, where governance allows the action; raise ActionDenied or ActionHeld where not."""
    job = find_job()
    if job is None:
        work.check_inside("gov.vet")
        return on_right_loop(lambda: work.vet(action, payload))
    asked = job.gov.vet(action, payload)  # counts as unanswered from here, awaited or not
    return on_right_loop(lambda: asked)


class Calls:
    """The calls that are for no job."""

    async def vet(self, action: str, payload: Any) -> None:
        """Ask as `gov.vet` does, for no job: nothing sticks to one, and nobody can approve it."""
        work.check_outside("gov.vet")
        await on_right_loop(lambda: work.vet(action, payload))


outside = Calls()
"""The same call for no job, also in a process that runs a worker."""
