"""The attempt in progress, as far as the DAO, the gate and the transactions of its job need it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from hms_svc.domain.errors import ActionDenied, ActionHeld, DatabaseUnavailable, Outage
from hms_svc.domain.job import ClaimedJob, Job
from hms_svc.domain.trace_context import TraceContext, context_of, with_context
from hms_svc.domain.verdict import DENIED, Permission
from hms_svc.ports.stores import StoredEffect
from hms_svc.ports.tracing import AttemptSpan

UNTRACED: Final = nullcontext()


class Attempt:
    """What one attempt has been permitted and has written, and whether it may still write.

    `expires_ms` is its deadline on the lease clock, which changes of the system time do not move.
    `recorded` has the valid permissions that are recorded with the job's case, `vetted` all
    permissions, including those of this run, by action and payload digest;
    `unanswered` the questions, likewise, that were not allowed yet. `uncertain`: a commit whose
    answer was lost. `transactions` has the keys of those that this attempt has committed or found
    committed.
    """

    __slots__ = (
        "claimed",
        "effects",
        "event_ordinal",
        "expires_ms",
        "lease_until",
        "pending_commits",
        "recorded",
        "revoked",
        "trace",
        "transactions",
        "unanswered",
        "uncertain",
        "validating",
        "verdict",
        "vetted",
    )

    def __init__(
        self,
        claimed: ClaimedJob,
        *,
        expires_ms: int,
        effects: tuple[StoredEffect, ...],
        trace: AttemptSpan | None,
    ) -> None:
        self.claimed = claimed
        self.expires_ms = expires_ms
        self.lease_until = claimed.lease_until
        self.trace = trace
        self.effects = effects
        self.recorded: tuple[Permission, ...] = ()
        self.vetted: dict[tuple[str, str], Permission] = {}
        if effects and DENIED not in claimed.approvals:
            self.recorded = tuple(yes for each in effects for yes in each.vetted)
            self.vetted = {(yes.action, yes.digest): yes for yes in self.recorded}
        self.unanswered: dict[tuple[str, str], Exception] = {}
        self.verdict: ActionDenied | ActionHeld | None = None
        self.validating = False
        self.revoked = False
        self.uncertain: Outage | None = None
        self.pending_commits = 0
        self.transactions: tuple[str, ...] = ()
        self.event_ordinal = 0

    @property
    def id(self) -> str:
        """The job's id."""
        return self.claimed.job.id

    @property
    def type(self) -> str:
        """The job's type."""
        return self.claimed.job.type

    @property
    def lost_commit(self) -> Outage | None:
        """Why the database may hold an effect of this run that is not among `effects`, if it may."""
        if self.uncertain is None and self.pending_commits:
            return DatabaseUnavailable(f"job {self.id} ended while a commit of it was under way")
        return self.uncertain

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Open a span of this attempt's trace, if there is one."""
        return UNTRACED if self.trace is None else self.trace.stage(name)

    def carry_trace(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Return jobs that are submitted from here with this one's trace, unless they have their own."""
        given = self.trace_context()
        return jobs if given is None else [with_context(job, given) for job in jobs]

    def trace_context(self) -> TraceContext | None:
        """Return the current trace context, for jobs and requests that leave from here."""
        return context_of(self.claimed.job) if self.trace is None else self.trace.context
