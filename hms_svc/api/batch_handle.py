"""`BatchHandle`: one batch, for plain code."""

from __future__ import annotations

from typing import Any

from hms_svc.api.batch_calls import BatchProgress, SubmittedBatch
from hms_svc.api.portal import block, block_long

_NAME = "hms_svc.aio.BatchHandle"


class BatchHandle(SubmittedBatch):
    """A batch that was submitted, or found by `hms_svc.jobs.batch`. Every method asks the broker, and blocks.

    They raise UnknownId if the broker does not have the batch (any more), BrokerUnavailable, and WrongThread
    on a thread whose event loop runs.
    """

    __slots__ = ()

    def state(self) -> str:
        """Return "open" (not all members are accepted), "running", "ended", or "stopped".

        A batch is stopped if it has ended, and a job that was to follow is not made because not all before it completed.
        """
        return block(self._state, f"{_NAME}.state")

    def progress(self) -> BatchProgress:
        """Return how many of its jobs have ended, how many it has, and how many are in each state."""
        return block(self._progress, f"{_NAME}.progress")

    def result(self, timeout: float | None = None) -> Any:
        """Wait until the batch has ended, at most `timeout` seconds, and return the result of the last job that followed.

        It is None if nothing was to follow. Raises JobRejected, JobDead or JobCancelled (all JobFailed) for
        that job, or for one that stopped the batch, and JobNotEnded if the batch has not ended in time.
        """
        return block_long(lambda: self._result(timeout), f"{_NAME}.result")

    def cancel(self, reason: str = "") -> str:
        """Cancel all unfinished jobs of the batch as an operator does, and return the id for an undo.

        Running ones are asked to stop. They have ended then, so that what follows them is made, unless
        the batch requires that all complete. Raises Refused if no job is unfinished.
        """
        return block(lambda: self._cancel(reason), f"{_NAME}.cancel")
