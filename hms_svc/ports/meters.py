"""What is measured in a worker, and the report that carries it to whoever renders it.

A worker counts in plain numbers, and reports once a second what has changed.
Label values come from closed sets: whatever is not known beforehand is `other`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Protocol

import msgspec

from hms_svc.domain.job import ClaimedJob, Lane, LeaseToken
from hms_svc.domain.lifecycle import State
from hms_svc.domain.verdict import Effect
from hms_svc.ports.broker import Settlement

OTHER: Final = "other"
MAX_REPORT_BYTES: Final = 64 * 1024
COMPLETED: Final = "completed"
LOST: Final = "lost"
SNOOZED: Final = "snoozed"
GIVEN_BACK: Final = "given_back"
WAYS_OUT: Final = {
    State.COMPLETED: COMPLETED,
    State.RETRYING: "retried",
    State.REJECTED: "rejected",
    State.DEAD: "dead",
    State.HELD: "held",
    State.CANCELLED: "cancelled",
}
OUTCOMES: Final = (*WAYS_OUT.values(), LOST, SNOOZED, GIVEN_BACK)
"""How an attempt can end."""
OPERATIONS: Final = ("claim", "settle")
"""The calls of the broker that are timed."""


class Family(msgspec.Struct, frozen=True):
    """A metric: what it tells, and the names of its labels. Counters end in `_total`."""

    words: str
    labels: tuple[str, ...] = ()


class HistogramFamily(msgspec.Struct, frozen=True):
    """A metric of seconds: what it tells, its labels, and the upper bounds of its buckets."""

    words: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...]


COUNTERS: Final[Mapping[str, Family]] = {
    "hms_worker_attempts_total": Family("Attempts that ended, by how.", ("type", "outcome")),
    "hms_worker_refusals_total": Family(
        "Jobs rejected, by the validator that said no.", ("type", "validator")
    ),
    "hms_worker_vets_total": Family("Answers of governance.", ("action", "decision")),
    "hms_worker_leases_lost_total": Family("Jobs in hand whose lease was found to be gone."),
    "hms_worker_settlements_refused_total": Family(
        "Settlements that the broker refused, since the lease was lost."
    ),
    "hms_worker_claims_total": Family("Claims asked of the broker."),
    "hms_worker_claimed_jobs_total": Family("Jobs that those claims gave.", ("type",)),
}

HISTOGRAMS: Final[Mapping[str, HistogramFamily]] = {
    "hms_worker_attempt_duration_seconds": HistogramFamily(
        "From the claim of a job to the end of that attempt.",
        ("type",),
        (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
    ),
    "hms_worker_wait_seconds": HistogramFamily(
        "From when a job could first run to its first claim.",
        ("type",),
        (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200),
    ),
    "hms_worker_broker_round_trip_seconds": HistogramFamily(
        "Time that one call of the broker took.",
        ("operation",),
        (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    ),
    "hms_worker_loop_lag_seconds": HistogramFamily(
        "How late the event loop was, sampled four times a second.",
        (),
        (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    ),
}

LABELS: Final[Mapping[str, tuple[str, ...]]] = {
    **{name: family.labels for name, family in COUNTERS.items()},
    **{name: family.labels for name, family in HISTOGRAMS.items()},
}
"""The names of the labels of each counter and histogram."""

GAUGES: Final[Mapping[str, Family]] = {
    "hms_worker_slots": Family("Slots of the workers that report here."),
    "hms_worker_busy_slots": Family("Slots of those that hold a job."),
    "hms_worker_hung_slots": Family(
        "Slots of those held by functions that run on past the end of their job."
    ),
}


class Tally:
    """A histogram in the making: a count for each bucket, the last for what is above all bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one value; a negative one, as between the clocks of two machines, is 0."""
        seconds = max(seconds, 0.0)
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def take(self, delta: HistogramDelta) -> None:
        """Add what another tally of the same bounds has grown by."""
        for index, grown in enumerate(delta.counts):
            self.counts[index] += grown
        self.total += delta.total


class CounterDelta(msgspec.Struct, frozen=True, array_like=True):
    """By how much a counter has grown."""

    name: str
    labels: tuple[str, ...]
    grown: int


class HistogramDelta(msgspec.Struct, frozen=True, array_like=True):
    """By how much each bucket (not cumulative) and the sum of a histogram have grown."""

    name: str
    labels: tuple[str, ...]
    counts: tuple[int, ...]
    total: float


Delta = CounterDelta | HistogramDelta


class WorkerReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker has measured since its report before. `sequence` goes up by one each.

    `iteration_seconds` is how long the claim loop has been in its present turn,
    0 where it waits on purpose. `goodbye` marks a worker's last report. `pid` is its own
    process, on this machine; its name bears that of its maker. `lane` tells which jobs it claims.
    """

    worker: str
    sequence: int
    pid: Annotated[int, msgspec.Meta(ge=1)]
    counters: tuple[CounterDelta, ...] = ()
    histograms: tuple[HistogramDelta, ...] = ()
    gauges: dict[str, float] = {}
    iteration_seconds: float = 0.0
    lane: Lane = Lane.NORMAL
    goodbye: bool = False


class Meter(Protocol):
    """Hears what a worker does, on its event loop; costs a microsecond or two a job at most."""

    def iteration_began(self) -> None:
        """Note that the claim loop works: from now on it waits for nothing on purpose."""
        ...

    def iteration_ended(self) -> None:
        """Note that it may wait now."""
        ...

    def claimed(self, jobs: Sequence[ClaimedJob], seconds: float) -> None:
        """Hear of one claim: what it gave, and how long the broker took."""
        ...

    def settled(
        self, settlements: Sequence[Settlement], refused: Sequence[LeaseToken], seconds: float
    ) -> None:
        """Hear of one settle: what was submitted, what was refused of it, how long it took."""
        ...

    def vetted(self, action: str, decision: Effect) -> None:
        """Hear of one answer of governance."""
        ...

    def lease_lost(self) -> None:
        """Hear of a job in progress whose lease is gone."""
        ...


class Unmetered:
    """A Meter for workers that report to nobody."""

    def iteration_began(self) -> None:
        """Let it go."""

    def iteration_ended(self) -> None:
        """Let it go."""

    def claimed(self, jobs: Sequence[ClaimedJob], seconds: float) -> None:
        """Let it go."""

    def settled(
        self, settlements: Sequence[Settlement], refused: Sequence[LeaseToken], seconds: float
    ) -> None:
        """Let it go."""

    def vetted(self, action: str, decision: Effect) -> None:
        """Let it go."""

    def lease_lost(self) -> None:
        """Let it go."""


UNMETERED: Final = Unmetered()
