"""The running jobs of this worker, shared by claimer, runs, heartbeat, deadlines and stop."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Final

from hms_svc.domain.job import ClaimedJob, LeaseToken
from hms_svc.domain.outcome import Disposition
from hms_svc.sdk.job_type import JobType
from hms_svc.sdk.running_job import RunningJob

log: Final = logging.getLogger("hms_svc.runtime")


class Running:
    """One running job: `task` if it can be cancelled, `settled` once its disposition is decided.

    `began` is a time of the loop.
    """

    __slots__ = ("began", "declared", "fence", "job", "settled", "started_at", "task", "type")

    def __init__(self, job: RunningJob, declared: JobType, started_at: int, began: float) -> None:
        self.job = job
        self.type = job.claimed.job.type
        self.fence = job.claimed.token.fence
        self.declared = declared
        self.started_at = started_at
        self.began = began
        self.task: asyncio.Task[None] | None = None
        self.settled = False

    def interrupt(self) -> None:
        """Cancel the run as far as possible: a plain function keeps running."""
        self.job.interrupted = True
        if self.task is not None:
            self.task.cancel()
        if self.job.awaited is not None:
            self.job.awaited.cancel()

    def time_out(self) -> None:
        """Interrupt a run that took too long."""
        self.job.timed_out = True
        self.interrupt()

    def revoke(self) -> None:
        """Take the job away from its function, which can no longer write anything."""
        self.job.revoked = True

    def lose_lease(self) -> None:
        """End a run whose job may belong to another worker by now; it is not settled here."""
        self.revoke()
        self.settled = True
        self.interrupt()

    def extend_lease(self, until_ms: int) -> None:
        """Note the new end of the lease; may be called from the heartbeat thread."""
        self.job.lease_until = until_ms

    def request_cancel(self, by: str, detail: str) -> None:
        """Cancel the job, unless it has committed effects: then it runs to its end."""
        if not self.job.cancel_by:
            self.job.cancel_by = by
            self.job.cancel_detail = detail
            if not self.job.effects:
                self.interrupt()

    def end_trace(self, disposition: Disposition | None) -> None:
        """End the trace of the attempt, if there is one; None if the job was not settled."""
        try:
            if self.job.trace is not None:
                self.job.trace.finish(disposition)
        except Exception:
            log.exception(
                "job %s: its trace could not be finished", self.job.id, extra=self.job.log_fields
            )


class InFlight:
    """Running jobs by fence, and those that are claimed and have not begun.

    A running job has a slot until its function has returned. Only the loop changes it; the heartbeat
    thread reads an atomic copy. `empty` is set while there are none. `freed` is set when a slot
    becomes free while at most `low_water` jobs wait for one; the claimer, which waits for that,
    clears it.
    """

    def __init__(self) -> None:
        self._running: dict[int, Running] = {}
        self._expected: dict[int, ClaimedJob] = {}
        self._by_type: Counter[str] = Counter()
        self._running_by_type: Counter[str] = Counter()
        self.low_water = 0
        self.freed = asyncio.Event()
        self.empty = asyncio.Event()
        self.empty.set()

    def __len__(self) -> int:
        return len(self._running) + len(self._expected)

    def of_type(self, type: str) -> int:
        """Return the number of jobs of a type, running or not."""
        return self._by_type[type]

    @property
    def running(self) -> int:
        """The number of slots that are taken."""
        return len(self._running)

    def running_of(self, type: str) -> int:
        """Return the number of slots that jobs of a type have taken."""
        return self._running_by_type[type]

    def expect(self, claimed: Sequence[ClaimedJob]) -> None:
        """Add claimed jobs that have not begun yet."""
        for job in claimed:
            self._expected[job.token.fence] = job
            self._by_type[job.job.type] += 1
        self.empty.clear()

    def add(self, running: Running) -> None:
        """Add a job that begins to run; it may have been expected, and occupies a slot from now on."""
        if self._expected.pop(running.fence, None) is None:
            self._by_type[running.type] += 1
            self.empty.clear()
        self._running_by_type[running.type] += 1
        self._running[running.fence] = running

    def remove(self, token: LeaseToken) -> None:
        """Remove the job with this fence, and free its slot if it has one."""
        fence = token.fence
        if (running := self._running.pop(fence, None)) is not None:
            self._running_by_type[running.type] -= 1
            self._by_type[running.type] -= 1
        elif (claimed := self._expected.pop(fence, None)) is not None:
            self._by_type[claimed.job.type] -= 1
        if len(self._expected) <= self.low_water:
            self.freed.set()
        if not self._running and not self._expected:
            self.empty.set()

    def all(self) -> list[Running]:
        """Return the running jobs; may be called from the heartbeat thread."""
        return list(self._running.copy().values())

    def expected(self) -> list[ClaimedJob]:
        """Return claimed jobs that have not begun; may be called from the heartbeat thread."""
        return list(self._expected.copy().values())

    def unsettled(self) -> int:
        """Return the number of jobs that are not settled: the others only wait for their function."""
        unsettled = sum(not running.settled for running in self._running.values())
        return unsettled + len(self._expected)

    def hung(self) -> list[Running]:
        """Return the settled jobs whose function has not returned."""
        return [running for running in self.all() if running.settled]

    def find(self, token: LeaseToken) -> Running | None:
        """Return the running job with this fence, or None."""
        return self._running.get(token.fence)

    def by_id(self, job_id: str) -> list[Running]:
        """Return the running jobs with this id."""
        return [running for running in self.all() if running.job.id == job_id]
