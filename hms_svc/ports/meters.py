"""The metrics of a worker, and the report that carries them to the process that renders them.

A worker keeps plain counters and reports the changes once a second.
Label values come from closed sets: any value that was not declared is `other`.
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
OUTCOME_OF_STATE: Final = {
    State.COMPLETED: COMPLETED,
    State.RETRYING: "retried",
    State.REJECTED: "rejected",
    State.DEAD: "dead",
    State.HELD: "held",
    State.CANCELLED: "cancelled",
}
OUTCOMES: Final = (*OUTCOME_OF_STATE.values(), LOST, SNOOZED, GIVEN_BACK)
"""How an attempt can end."""
OPERATIONS: Final = ("claim", "settle")
"""The calls of the broker that are timed."""


class Family(msgspec.Struct, frozen=True):
    """A metric: its help text, and the names of its labels. Counters end in `_total`."""

    help: str
    labels: tuple[str, ...] = ()


class HistogramFamily(msgspec.Struct, frozen=True):
    """A histogram of seconds: its help text, its labels, and the upper bounds of its buckets."""

    help: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...]


COUNTERS: Final[Mapping[str, Family]] = {
    "hms_worker_attempts_total": Family("Attempts that ended, by outcome.", ("type", "outcome")),
    "hms_worker_refusals_total": Family("Jobs rejected, by validator.", ("type", "validator")),
    "hms_worker_vets_total": Family("Decisions of governance.", ("action", "decision")),
    "hms_worker_leases_lost_total": Family("Running jobs whose lease was lost."),
    "hms_worker_settlements_refused_total": Family(
        "Settlements that the broker refused because the lease was lost."
    ),
    "hms_worker_claims_total": Family("Claim requests to the broker."),
    "hms_worker_claimed_jobs_total": Family("Jobs that those claims returned.", ("type",)),
}

HISTOGRAMS: Final[Mapping[str, HistogramFamily]] = {
    "hms_worker_attempt_duration_seconds": HistogramFamily(
        "Time from the claim of a job to the end of that attempt.",
        ("type",),
        (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
    ),
    "hms_worker_wait_seconds": HistogramFamily(
        "Time from when a job was first ready to its first claim.",
        ("type",),
        (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200),
    ),
    "hms_worker_broker_round_trip_seconds": HistogramFamily(
        "Duration of one call to the broker.",
        ("operation",),
        (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    ),
    "hms_worker_loop_lag_seconds": HistogramFamily(
        "Delay of the event loop, sampled four times a second.",
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
    "hms_worker_slots": Family("Slots of the workers that report to this process."),
    "hms_worker_busy_slots": Family("Busy slots of those workers."),
    "hms_worker_hung_slots": Family(
        "Slots of those workers held by functions that still run after their job was settled."
    ),
}


class Tally:
    """A mutable histogram: one count for each bucket; the last is for values above all bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one value; a negative one, from clocks of two machines that differ, counts as 0."""
        seconds = max(seconds, 0.0)
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def take(self, delta: HistogramDelta) -> None:
        """Add the growth of another tally with the same bounds."""
        for index, grown in enumerate(delta.counts):
            self.counts[index] += grown
        self.total += delta.total


class CounterDelta(msgspec.Struct, frozen=True, array_like=True):
    """The growth of a counter."""

    name: str
    labels: tuple[str, ...]
    grown: int


class HistogramDelta(msgspec.Struct, frozen=True, array_like=True):
    """The growth of each bucket (not cumulative) and of the sum of a histogram."""

    name: str
    labels: tuple[str, ...]
    counts: tuple[int, ...]
    total: float


Delta = CounterDelta | HistogramDelta


class WorkerReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker measured since its previous report. `sequence` grows by one with each report.

    `iteration_seconds` is how long the current iteration of the claim loop has taken, 0 while it
    waits intentionally. `goodbye` marks a worker's last report. `pid` is the worker process on this
    machine, while the pid in its name is that of the process that named it. `lane` is the lane
    that it claims from.
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
    """Records what a worker does, on its event loop; costs at most a microsecond or two for a job."""

    def iteration_began(self) -> None:
        """Note that an iteration of the claim loop has begun, in which it does not wait intentionally."""
        ...

    def iteration_ended(self) -> None:
        """Note that the iteration has ended, and the loop may wait."""
        ...

    def claimed(self, jobs: Sequence[ClaimedJob], seconds: float) -> None:
        """Record one claim: the jobs it returned, and how long the broker took."""
        ...

    def settled(
        self, settlements: Sequence[Settlement], refused: Sequence[LeaseToken], seconds: float
    ) -> None:
        """Record one settle: what was submitted, what of it was refused, and how long it took."""
        ...

    def vetted(self, action: str, decision: Effect) -> None:
        """Record one decision of governance."""
        ...

    def lease_lost(self) -> None:
        """Record the lost lease of a running job."""
        ...


class Unmetered:
    """A Meter that records nothing, for workers that do not report."""

    def iteration_began(self) -> None:
        """Do nothing."""

    def iteration_ended(self) -> None:
        """Do nothing."""

    def claimed(self, jobs: Sequence[ClaimedJob], seconds: float) -> None:
        """Do nothing."""

    def settled(
        self, settlements: Sequence[Settlement], refused: Sequence[LeaseToken], seconds: float
    ) -> None:
        """Do nothing."""

    def vetted(self, action: str, decision: Effect) -> None:
        """Do nothing."""

    def lease_lost(self) -> None:
        """Do nothing."""


UNMETERED: Final = Unmetered()
