"""`aio.BatchHandle`: one batch, for coroutines."""

from __future__ import annotations

from typing import Any

from hms_svc.api.batch_calls import BatchProgress, SubmittedBatch
from hms_svc.api.portal import on_right_loop


class BatchHandle(SubmittedBatch):
    """A batch that was submitted, or found by `hms_svc.aio.jobs.batch`: see `hms_svc.BatchHandle`."""

    __slots__ = ()

    async def state(self) -> str:
        """Return the state of the batch. See `hms_svc.BatchHandle.state`."""
        return await on_right_loop(self._state)

    async def progress(self) -> BatchProgress:
        """Return how many of its jobs have ended. See `hms_svc.BatchHandle.progress`."""
        return await on_right_loop(self._progress)

    async def result(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - it says how many jobs have ended
        """Wait until the batch has ended, and return the last result. See `hms_svc.BatchHandle.result`."""
        return await on_right_loop(lambda: self._result(timeout), is_bounded=False)

    async def cancel(self, reason: str = "") -> str:
        """Cancel all unfinished jobs. See `hms_svc.BatchHandle.cancel`."""
        return await on_right_loop(lambda: self._cancel(reason))
