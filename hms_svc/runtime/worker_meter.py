"""Counts what one worker does, in plain numbers that only its event loop changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import monotonic
from typing import TypeAlias

from hms_svc.domain.job import ClaimedJob, LeaseToken
from hms_svc.domain.lifecycle import Trigger
from hms_svc.domain.outcome import Disposition
from hms_svc.domain.verdict import Effect
from hms_svc.ports.broker import Settlement
from hms_svc.ports.meters import (
    GIVEN_BACK,
    HISTOGRAMS,
    LOST,
    OPERATIONS,
    OTHER,
    OUTCOME_OF_STATE,
    SNOOZED,
    Tally,
)
from hms_svc.sdk.label_values import LabelValues
from hms_svc.sdk.registry import Registry

Counts: TypeAlias = dict[tuple[str, ...], int]


class WorkerMeter:
    """Implements ports.meters.Meter; `counters` and `histograms` return the totals so far."""

    def __init__(self, registry: Registry) -> None:
        self._labels = LabelValues(registry)
        self._attempts: Counts = {}
        self._refusals: Counts = {}
        self._vets: Counts = {}
        self._claimed: Counts = {}
        self._claims = self._leases_lost = self._refused = 0
        self._iteration_began: float | None = None
        types = self._labels.types
        self._durations = _tallies("hms_worker_attempt_duration_seconds", types)
        self._waits = _tallies("hms_worker_wait_seconds", types)
        self._calls = _tallies("hms_worker_broker_round_trip_seconds", OPERATIONS)
        self.loop_lag = Tally(HISTOGRAMS["hms_worker_loop_lag_seconds"].bounds)

    def iteration_began(self) -> None:
        """Record when the iteration began."""
        self._iteration_began = monotonic()

    def iteration_ended(self) -> None:
        """Clear it: what follows is an intentional wait."""
        self._iteration_began = None

    def iteration_seconds(self) -> float:
        """Return how long the current iteration of the claim loop has taken; 0 between iterations."""
        return 0.0 if self._iteration_began is None else monotonic() - self._iteration_began

    def claimed(self, jobs: Sequence[ClaimedJob], seconds: float) -> None:
        """Count a claim; the wait of a job is measured at its first claim only."""
        self._claims += 1
        self._calls["claim"].add(seconds)
        for claimed in jobs:
            job = claimed.job
            type = job.type if job.type in self._waits else OTHER
            self._claimed[(type,)] = self._claimed.get((type,), 0) + 1
            if claimed.claims == 1:
                ready = max(job.enqueued_at, job.not_before or 0)
                self._waits[type].add((claimed.claimed_at - ready) / 1000)

    def settled(
        self, settlements: Sequence[Settlement], refused: Sequence[LeaseToken], seconds: float
    ) -> None:
        """Count the attempts of one settle by how they ended."""
        self._calls["settle"].add(seconds)
        self._refused += len(refused)
        lost = {token.fence for token in refused}
        for settlement in settlements:
            type = settlement.type if settlement.type in self._durations else OTHER
            outcome = OUTCOME_OF_STATE.get(settlement.disposition.state)
            if outcome is None:
                outcome = _outcome_of_a_return(settlement.disposition)
            if lost and settlement.token.fence in lost:
                outcome = LOST
            self._attempts[type, outcome] = self._attempts.get((type, outcome), 0) + 1
            self._durations[type].add((settlement.ended_at - settlement.started_at) / 1000)
            if outcome == "rejected":
                reason = settlement.disposition.reason
                _count(self._refusals, type, self._labels.validator(type, reason or ""))

    def vetted(self, action: str, decision: Effect) -> None:
        """Count a decision of governance; actions that no type declares share one label."""
        _count(self._vets, self._labels.action(action), decision.value)

    def lease_lost(self) -> None:
        """Count a lease that was lost while its job was running."""
        self._leases_lost += 1

    def counters(self) -> Iterator[tuple[str, tuple[str, ...], int]]:
        """Return each counter that is not 0: its name, labels and value."""
        for name, counts in (
            ("hms_worker_attempts_total", self._attempts),
            ("hms_worker_refusals_total", self._refusals),
            ("hms_worker_vets_total", self._vets),
            ("hms_worker_claimed_jobs_total", self._claimed),
            ("hms_worker_claims_total", {(): self._claims}),
            ("hms_worker_leases_lost_total", {(): self._leases_lost}),
            ("hms_worker_settlements_refused_total", {(): self._refused}),
        ):
            for labels, value in counts.items():
                yield name, labels, value

    def histograms(self) -> Iterator[tuple[str, tuple[str, ...], Tally]]:
        """Return each histogram: its name, labels and tally."""
        for name, tallies in (
            ("hms_worker_attempt_duration_seconds", self._durations),
            ("hms_worker_wait_seconds", self._waits),
            ("hms_worker_broker_round_trip_seconds", self._calls),
        ):
            for label, tally in tallies.items():
                yield name, (label,), tally
        yield "hms_worker_loop_lag_seconds", (), self.loop_lag


def _tallies(name: str, labels: Sequence[str]) -> dict[str, Tally]:
    return {label: Tally(HISTOGRAMS[name].bounds) for label in labels}


def _count(counts: Counts, *labels: str) -> None:
    counts[labels] = counts.get(labels, 0) + 1


def _outcome_of_a_return(disposition: Disposition) -> str:
    """Return the outcome of a disposition that gives the job back to its queue."""
    return SNOOZED if disposition.trigger is Trigger.SNOOZED else GIVEN_BACK
