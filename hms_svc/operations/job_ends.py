"""Waiting for the ends of jobs: one reader of the bus for all that wait on a loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager

from hms_svc.domain.lifecycle import TERMINAL
from hms_svc.domain.views import JobDetail
from hms_svc.operations.bus_positions import newest_position
from hms_svc.operations.job_watch import CHECK_EVERY_SECONDS, LOOKUP_BATCH, announced_ends
from hms_svc.ports.bus import Bus
from hms_svc.ports.inspection import Inspection

EndWaiter = asyncio.Future[Exception | None]
"""Done once a job may have ended, or with the error that ended the reading."""


class JobEnds:
    """Waits for jobs to end. `read` returns a job, and raises UnknownId for one that is not known.

    The bus announces an end at once. Every two seconds the records of all awaited jobs are read, too: for
    ends that the bus did not keep.
    """

    def __init__(
        self, read: Callable[[str], Awaitable[JobDetail]], *, inspection: Inspection, bus: Bus
    ) -> None:
        self._read = read
        self._inspection = inspection
        self._bus = bus
        self._waiting: dict[str, set[EndWaiter]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._begun = asyncio.Event()

    @property
    def are_awaited(self) -> bool:
        """Whether anybody waits for a job to end."""
        return bool(self._waiting)

    async def end_of(self, job_id: str) -> JobDetail:
        """Return a job once it has ended. The caller sets the time limit.

        Raises UnknownId for a job that is not known (any more), and BrokerUnavailable.
        """
        while True:
            with self._waiter(job_id) as ended:
                await self._begin()
                detail = await self._read(job_id)  # it may have ended before the reader began
                if detail.view.state in TERMINAL:
                    return detail
                if (error := await ended) is not None:
                    raise error

    @contextmanager
    def _waiter(self, job_id: str) -> Iterator[EndWaiter]:
        ended: EndWaiter = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job_id, set()).add(ended)
        try:
            yield ended
        finally:
            waiters = self._waiting[job_id]
            waiters.discard(ended)
            if not waiters:
                del self._waiting[job_id]

    async def _begin(self) -> None:
        if self._reader is None:
            self._begun.clear()
            self._reader = asyncio.create_task(self._notify_all(), name="job-ends")
        await self._begun.wait()

    async def _notify_all(self) -> None:
        """Notify waiters of the ends of their jobs until none waits; an error is raised to all of them."""
        try:
            await self._follow()
        except Exception as error:  # noqa: BLE001 - raised where a job is awaited
            self._notify(list(self._waiting), error)
        finally:
            self._reader = None
            self._begun.set()

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        after, examined = await newest_position(self._bus), loop.time()
        self._begun.set()
        while self._waiting:
            after, ended = await announced_ends(self._bus, after, self._waiting)
            self._notify(ended)
            if loop.time() - examined >= CHECK_EVERY_SECONDS:
                examined = loop.time()
                self._notify(await self._ended())
            await self._bus.wait(after, CHECK_EVERY_SECONDS)

    async def _ended(self) -> list[str]:
        """Return the awaited jobs that have ended, or that the broker does not know."""
        ids, found = list(self._waiting), []
        for start in range(0, len(ids), LOOKUP_BATCH):
            some = ids[start : start + LOOKUP_BATCH]
            details = await self._inspection.details(some)
            found += [
                job_id
                for job_id, detail in zip(some, details, strict=True)
                if detail is None or detail.view.state in TERMINAL
            ]
        return found

    def _notify(self, job_ids: Iterable[str], error: Exception | None = None) -> None:
        for job_id in job_ids:
            for ended in self._waiting.get(job_id, ()):
                if not ended.done():
                    ended.set_result(error)
