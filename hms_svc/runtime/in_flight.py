"""The jobs that this worker runs: shared by claimer, heartbeat, deadlines and stop."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from hms_svc.domain.job import ClaimedJob, LeaseToken
from hms_svc.sdk.registry import JobType
from hms_svc.sdk.running_job import RunningJob


class Running:
    """One job in progress: `task` where it can be cancelled, `settled` once its end is decided."""

    __slots__ = ("declared", "job", "settled", "started_at", "task")

    def __init__(self, job: RunningJob, declared: JobType, started_at: int) -> None:
        self.job = job
        self.declared = declared
        self.started_at = started_at
        self.task: asyncio.Task[None] | None = None
        self.settled = False

    @property
    def fence(self) -> int:
        """The number of this claim."""
        return self.job.claimed.token.fence

    def interrupt(self) -> None:
        """Cancel the run, as far as it can be: a plain function runs on."""
        self.job.interrupted = True
        if self.task is not None:
            self.task.cancel()
        if self.job.awaited is not None:
            self.job.awaited.cancel()


class InFlight:
    """A table by fence. Slots are taken from the claim until the function has returned.

    Only the loop changes it; the heartbeat thread reads a copy, made in one step.
    """

    def __init__(self) -> None:
        self._running: dict[int, Running] = {}
        self._expected: dict[int, ClaimedJob] = {}
        self._by_type: Counter[str] = Counter()
        self.empty = asyncio.Event()
        self.empty.set()

    def __len__(self) -> int:
        return len(self._running) + len(self._expected)

    def of_type(self, type: str) -> int:
        """Count the slots that jobs of a type have taken."""
        return self._by_type[type]

    def expect(self, claimed: Sequence[ClaimedJob]) -> None:
        """Take slots for claimed jobs that are to begin, or to be settled without a run."""
        for each in claimed:
            self._expected[each.token.fence] = each
            self._by_type[each.job.type] += 1
        self.empty.clear()

    def add(self, running: Running) -> None:
        """Take a slot, or the one that was taken when the job was expected."""
        if self._expected.pop(running.fence, None) is None:
            self._by_type[running.job.type] += 1
        self._running[running.fence] = running
        self.empty.clear()

    def remove(self, token: LeaseToken) -> None:
        """Free the slot of this fence, if it has one."""
        running = self._running.pop(token.fence, None)
        claimed = self._expected.pop(token.fence, None)
        if running is not None:
            claimed = running.job.claimed
        if claimed is not None:
            self._by_type[claimed.job.type] -= 1
        if not len(self):
            self.empty.set()

    def all(self) -> list[Running]:
        """Return those in progress; may be called from the heartbeat thread."""
        return list(self._running.copy().values())

    def expected(self) -> list[ClaimedJob]:
        """Return claimed jobs that have not begun; may be called from the heartbeat thread."""
        return list(self._expected.copy().values())

    def unsettled(self) -> int:
        """Count those whose end is not decided: the others only wait for their function."""
        open_ends = sum(not running.settled for running in self._running.values())
        return open_ends + len(self._expected)

    def hung(self) -> list[Running]:
        """Return those whose end is decided, and whose function has not returned."""
        return [running for running in self.all() if running.settled]

    def find(self, token: LeaseToken) -> Running | None:
        """Return the one with this fence."""
        return self._running.get(token.fence)

    def by_id(self, job_id: str) -> list[Running]:
        """Return those with this job id."""
        return [running for running in self.all() if running.job.id == job_id]
