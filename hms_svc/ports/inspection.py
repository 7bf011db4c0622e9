"""What operators may read of a broker. No call holds a read open beyond its return."""

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
    from hms_svc.domain.filter import Filter


LEAST_BYTES: Final = 128 * 1024
"""With less than this left, next to nothing is taken in."""


class Capacity(msgspec.Struct, frozen=True):
    """The bytes in use, and the number of bytes at which new jobs are refused."""

    used: int
    limit: int

    @property
    def share(self) -> float:
        """Which part of the limit is used: 1 and more is full."""
        return self.used / self.limit if self.limit else 1.0

    @property
    def is_full(self) -> bool:
        """Whether new jobs are refused."""
        return self.limit - self.used < LEAST_BYTES


class BrokerHealth(msgspec.Struct, frozen=True):
    """Which engine, whether it answers, how long a round trip takes, and what is amiss.

    `durability` is the level in force, in words; empty where settings of ours decide it.
    `room` is None where nothing is known of a limit. `refused` counts the writes of this
    process that the engine has refused because it is full.
    """

    kind: str
    ok: bool
    round_trip_ms: float
    notes: tuple[str, ...] = ()
    durability: str = ""
    capacity: Capacity | None = None
    refused: int = 0


class Inspection(Protocol):
    """Bounded reads. Each may see a state a moment old, never a torn one. `kind` names the engine."""

    kind: str

    async def health(self) -> BrokerHealth:
        """Probe the engine; never raises."""
        ...

    async def types(self) -> list[str]:
        """Return every known type, sorted: many thousands, where a producer misspells them."""
        ...

    async def queues(self, types: Collection[str] | None = None) -> list[QueueView]:
        """Return the queues of those of the types that are known, with their counts, sorted by type.

        The work grows with the types: None is every known one.
        """
        ...

    async def page(
        self, where: Filter, *, limit: int, cursor: str | None, examine: int = 0
    ) -> JobPage:
        """Return the jobs that match, at most `limit` (0: all), newest move first within a state.

        `cursor` is what an earlier page of the same filter gave; another
        text is BadInput. Discarded jobs are not shown. After about `look`
        records (0: any number) the page ends where it is, however few it found:
        its cursor goes on.
        """
        ...

    async def failures(self) -> list[FailureGroup]:
        """Return the retrying, dead and rejected jobs by cause, the group of the newest first.

        Bounded work, however many jobs there are: at most a thousand groups are
        kept; beyond that, new causes of a type share one.
        """
        ...

    async def details(self, job_ids: Sequence[str]) -> list[JobDetail | None]:
        """Return all that is known of each id, None where nothing is, or it cannot be read."""
        ...

    async def progress_of(self, after: Mapping[str, int]) -> dict[str, list[ProgressView]]:
        """Return of each job id the kept lines above its number, all in one round trip.

        They are the last 200 of a job, progress and log together; an id that is
        not known has none.
        """
        ...

    async def workers(self) -> list[WorkerView]:
        """Return the live workers, sorted by id, with the jobs that they run.

        One that has been silent for one and a half leases is not live.
        """
        ...

    async def register(self) -> tuple[list[WorkerView], list[WorkerView]]:
        """Return the live workers as `workers` does, and those of the register that are not live.

        A worker that stops leaves the register; one that falls silent stays in it for five
        minutes, and longer while no other is alive.
        """
        ...

    async def lease_end(self, job_id: str) -> int | None:
        """Return when the lease of a job in processing ends or ended (Unix ms), None for any other."""
        ...

    async def position(self, job_id: str) -> int | None:
        """Count the ready jobs that will be claimed before this one, up to 10,000."""
        ...
