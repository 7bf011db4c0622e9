"""`aio.Handle`: one job, for coroutines."""

from __future__ import annotations

from hms_svc.api.handle_calls import JobHandle, Progress
from hms_svc.api.portal import on_right_loop
from hms_svc.api.type_variables import ResultT_co


class Handle(JobHandle[ResultT_co]):
    """A job that was submitted, or found by `hms_svc.aio.jobs`: see `hms_svc.Handle`."""

    __slots__ = ()

    async def state(self) -> str:
        """Return the state of the job. See `hms_svc.Handle.state`."""
        return await on_right_loop(self._state)

    async def result(self, timeout: float | None = None) -> ResultT_co:  # noqa: ASYNC109 - its error says in which state the job is
        """Wait until the job has ended, and return the result. See `hms_svc.Handle.result`."""
        result: ResultT_co = await on_right_loop(lambda: self._result(timeout), is_bounded=False)
        return result

    async def progress(self) -> Progress | None:
        """Return what the handler reported last. See `hms_svc.Handle.progress`."""
        return await on_right_loop(self._progress)

    async def why(self) -> str:
        """Return one sentence on why the job waits, was rejected, or died."""
        return await on_right_loop(self._why)

    async def cancel(self, reason: str = "") -> str:
        """Cancel the job. See `hms_svc.Handle.cancel`."""
        return await on_right_loop(lambda: self._cancel(reason))
