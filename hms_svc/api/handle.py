"""`Handle`: one job, for plain code."""

from __future__ import annotations

from hms_svc.api.handle_calls import JobHandle, Progress
from hms_svc.api.portal import block, block_long
from hms_svc.api.type_variables import ResultT_co

_NAME = "hms_svc.aio.Handle"


class Handle(JobHandle[ResultT_co]):
    """A job that was submitted, or found by `hms_svc.jobs`. Every method asks the broker, and blocks.

    They raise UnknownId if neither the broker nor the archive has the job (any more), an Outage if
    one of these cannot be reached, and WrongThread on a thread whose event loop runs.
    """

    __slots__ = ()

    def state(self) -> str:
        """Return the state of the job, such as "queued", "processing" or "completed"."""
        return block(self._state, f"{_NAME}.state")

    def result(self, timeout: float | None = None) -> ResultT_co:
        """Wait until the job has ended, at most `timeout` seconds, and return the result of its handler.

        Raises JobRejected, JobDead or JobCancelled (all JobFailed) if it ended so, and JobNotEnded (a
        TimeoutError) if it has not ended in time.
        """
        result: ResultT_co = block_long(lambda: self._result(timeout), f"{_NAME}.result")
        return result

    def progress(self) -> Progress | None:
        """Return the share (0 to 1, or None) and the message that the handler reported last, None before that."""
        return block(self._progress, f"{_NAME}.progress")

    def why(self) -> str:
        """Return one sentence on why the job waits, was rejected, or died."""
        return block(self._why, f"{_NAME}.why")

    def cancel(self, reason: str = "") -> str:
        """Cancel the job as an operator does, with an audit record, and return the id of the batch for an undo.

        A running job is asked to stop. Raises Refused for a job that has ended.
        """
        return block(lambda: self._cancel(reason), f"{_NAME}.cancel")
