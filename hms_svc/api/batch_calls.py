"""What both forms of a batch's handle share; and the calls behind them, each written once."""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple

from hms_svc.api.handle_calls import JobHandle, check_timeout
from hms_svc.api.job_service import JobService
from hms_svc.api.service_here import job_service
from hms_svc.domain.batches import BatchState, BatchView
from hms_svc.domain.errors import JobNotEnded, UnknownId
from hms_svc.domain.lifecycle import TERMINAL
from hms_svc.sdk.value_checks import check_text

_LOOK_SECONDS: Final = 0.25
"""How often a batch is read of which no job is known that could be awaited."""
_UNFINISHED: Final = f"-state:{','.join(sorted(TERMINAL))}"
_OVER: Final = frozenset({BatchState.ENDED, BatchState.STOPPED})


class BatchProgress(NamedTuple):
    """How many of the jobs of a batch have ended, how many it has, and how many are in each state.

    Those that follow its members are among them, also while they are not made yet.
    """

    ended: int
    total: int
    states: dict[str, int]


class SubmittedBatch:
    """A batch at the broker: what is known of it without asking.

    `existed` is whether all of it had been submitted before it was through this handle.
    """

    __slots__ = ("existed", "id")

    def __init__(self, id: str, *, existed: bool = False) -> None:
        self.id = id
        self.existed = existed

    def __repr__(self) -> str:
        return f"BatchHandle(id={self.id!r})"

    async def _read(self) -> BatchView:
        return await (await job_service()).batch(self.id)

    async def _state(self) -> str:
        return (await self._read()).state.value

    async def _progress(self) -> BatchProgress:
        return progress_of(await self._read())

    async def _cancel(self, reason: str) -> str:
        check_text("reason", reason, "'the office is closed'")
        return await (await job_service()).cancel_where(f"{self._jobs} {_UNFINISHED}", reason)

    async def _result(self, seconds: float | None) -> Any:
        check_timeout(seconds)
        service = await job_service()
        view = await service.batch(self.id)
        if view.state not in _OVER:
            view = await self._end(service, seconds)
        if view.state is BatchState.STOPPED:
            found = await service.page(f"{self._jobs} -state:completed", 1)
            if found:
                return await JobHandle[Any](found[0].id, found[0].type, found[0].state)._result(0)
        if not view.follow_ups:
            return None
        last = view.follow_ups[-1]
        return await JobHandle[Any](last.id, last.type, "")._result(0)

    async def _end(self, service: JobService, seconds: float | None) -> BatchView:
        try:
            async with asyncio.timeout(seconds) as limit:
                while (view := await service.batch(self.id)).state not in _OVER:
                    await self._some_end(service)
                return view
        except TimeoutError:
            if not limit.expired():
                raise
        view = await service.batch(self.id)
        raise JobNotEnded(
            f"batch {self.id} did not end within {seconds:g} s: {view.ended} of its {view.total} jobs have ended",
            job_id=self.id,
            state=view.state.value,
        )

    async def _some_end(self, service: JobService) -> None:
        """Wait until a job of the batch has ended: the one that will probably be among the last."""
        found = await service.page(f"{self._jobs} {_UNFINISHED}", 1)
        if not found:
            await asyncio.sleep(_LOOK_SECONDS)
            return
        try:
            await service.ends.end_of(found[0].id)
        except UnknownId:  # it was discarded, or removed
            return

    @property
    def _jobs(self) -> str:
        return f'batch:"{self.id}"'


def progress_of(view: BatchView) -> BatchProgress:
    """Return the progress of a batch."""
    return BatchProgress(view.ended, view.total, dict(view.counts))


async def find_batch(batch_id: str) -> str:
    """Return the id of a batch; UnknownId if the broker does not have it."""
    check_text("id", batch_id, "'permits-of-may'")
    return (await (await job_service()).batch(batch_id)).id
