"""The reads of a broker for operators. No call keeps a read transaction open after it returns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from hms_svc.domain.views import (
    FailureGroup,
    JobDetail,
    JobPage,
    ProgressView,
    QueueView,
    WorkerView,
)

if TYPE_CHECKING:
    from hms_svc.domain.batches import BatchPage, BatchView
    from hms_svc.domain.filter import Filter
    from hms_svc.ports.schedules import ScheduleState


LEAST_BYTES: Final = 128 * 1024
"""With less than this free, hardly any job can be accepted."""


class Capacity(msgspec.Struct, frozen=True):
    """The bytes in use, and the limit at which new jobs are refused."""

    used: int
    limit: int

    @property
    def share(self) -> float:
        """The share of the limit that is used: 1 or more is full."""
        return self.used / self.limit if self.limit else 1.0

    @property
    def is_full(self) -> bool:
        """Whether new jobs are refused."""
        return self.limit - self.used < LEAST_BYTES


class BrokerHealth(msgspec.Struct, frozen=True):
    """The engine, whether it answers, the time of a round trip, and what is wrong.

    `durability` describes the level in force; it is empty if our own settings decide it.
    `capacity` is None if no limit is known. `refused` counts the writes of this process
    that the engine refused because it is full.
    """

    kind: str
    ok: bool
    round_trip_ms: float
    notes: tuple[str, ...] = ()
    durability: str = ""
    capacity: Capacity | None = None
    refused: int = 0


class Inspection(Protocol):
    """Bounded reads. Each may see a state a moment old, but a consistent one. `kind` names the engine."""

    kind: str

    async def health(self) -> BrokerHealth:
        """Probe the engine; never raises."""
        ...

    async def types(self) -> list[str]:
        """Return every known type, sorted. May be many thousands if a producer misspells them."""
        ...

    async def queues(
        self,
        types: Collection[str] | None = None,
        *,
        workers: Sequence[WorkerView] | None = None,
    ) -> list[QueueView]:
        """Return the queues of the given types that exist, with their counts, sorted by type.

        None means all known types; the work grows with their number. `workers` are the live ones,
        if the caller has just read them.
        """
        ...

    async def page(
        self, where: Filter, *, limit: int, cursor: str | None, examine: int = 0
    ) -> JobPage:
        """Return the jobs that match, at most `limit` (0: all), last changed first within a state.

        `cursor` is that of an earlier page of the same filter; any other text raises BadInput.
        Discarded jobs are left out. After examining about `examine` records (0: any number) the
        page ends, however few jobs it found; its cursor continues from there.
        """
        ...

    async def failures(self) -> list[FailureGroup]:
        """Return the retrying, dead and rejected jobs by cause, the group of the newest first.

        The work is bounded, however many jobs there are: at most a thousand groups are kept;
        beyond that, new causes of a type share one.
        """
        ...

    async def schedules(self) -> dict[str, ScheduleState]:
        """Return what is kept of each schedule that was ever declared, by type."""
        ...

    async def details(self, job_ids: Sequence[str]) -> list[JobDetail | None]:
        """Return the details of each id, None if it is unknown or its record cannot be read."""
        ...

    async def progress_of(self, after: Mapping[str, int]) -> dict[str, list[ProgressView]]:
        """Return for each job id the stored lines above its number, all in one round trip.

        The last 200 lines of a job are stored, counting progress and log together; an unknown
        id has none.
        """
        ...

    async def workers(self) -> list[WorkerView]:
        """Return the live workers, sorted by id, with their running jobs.

        A worker without a heartbeat for one and a half leases is not live.
        """
        ...

    async def register(self) -> tuple[list[WorkerView], list[WorkerView]]:
        """Return the live workers as `workers` does, and the other workers in the register.

        A worker that stops leaves the register. One whose heartbeat stops stays in it for five
        minutes, and longer while no other worker is alive.
        """
        ...

    async def lease_end(self, job_id: str) -> int | None:
        """Return when the lease of a processing job ends or ended (Unix ms), None for any other job."""
        ...

    async def limit_of(self, job_id: str) -> str:
        """Return, in words, the limit with a key for which a queued job waits; empty if it waits for none."""
        ...

    async def batches(self, *, limit: int, cursor: str | None) -> BatchPage:
        """Return batches, at most `limit` (0: all), the one that was submitted last first.

        `cursor` is that of an earlier page; any other text raises BadInput.
        """
        ...

    async def batch(self, batch_id: str) -> BatchView | None:
        """Return one batch, None if it is unknown."""
        ...

    async def left_open_batches(self, *, before: int, limit: int) -> tuple[list[str], int]:
        """Return the open batches without a new member since `before` (Unix ms): `limit` ids, oldest first, and their number."""
        ...

    async def batch_to_make(self, job_id: str) -> str | None:
        """Return the batch that is to make the job with this id, None if there is none."""
        ...

    async def position(self, job_id: str) -> int | None:
        """Count the ready jobs that will be claimed before this one, up to 10,000."""
        ...
