"""Takes the unique keys of claimed jobs whose producer did not know what their type declares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hms_svc.domain.errors import BrokerUnavailable, ValidationFailed
from hms_svc.domain.job import ClaimedJob
from hms_svc.domain.lifecycle import REASON_UNIQUE
from hms_svc.domain.outcome import Failure
from hms_svc.domain.unique_keys import held_by
from hms_svc.domain.uniqueness import key_function, rule_of
from hms_svc.ports.broker import Broker
from hms_svc.ports.key_claims import KeyClaim
from hms_svc.runtime.decide import Outcome, RaisedError, RejectedAttempt, Stopped, Unreachable
from hms_svc.sdk.job_defaults import KeyFault, declared_key
from hms_svc.sdk.job_type import JobType
from hms_svc.sdk.payload import PayloadFault
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.source_places import name_of
from hms_svc.sdk.storable_text import writable

BY: Final = "claim"


class UniqueKeys:
    """Enforces the unique keys that types declare, with one call for all jobs of a claim."""

    def __init__(self, broker: Broker, registry: Registry) -> None:
        self._broker = broker
        self._declared = {
            declared.type: declared for declared in registry if _is_taken_at_claim(declared)
        }
        self._rules = {type: rule_of(each.unique) for type, each in self._declared.items()}

    @property
    def are_declared(self) -> bool:
        """Whether any type declares a unique key that a claimed job can hold."""
        return bool(self._declared)

    async def take(self, claimed: Sequence[ClaimedJob]) -> dict[int, Outcome]:
        """Take the missing keys; return, by fence, the outcome of jobs that must not run.

        A job whose key another job holds is rejected, `unique`; a key that cannot be made is an
        error of the job. A payload that does not fit its model is left to validation.
        """
        ended: dict[int, Outcome] = {}
        wanted: list[KeyClaim] = []
        for job in claimed:
            try:
                if (key := self._missing_key(job)) is not None:
                    wanted.append(KeyClaim(job, key, self._rules[job.job.type]))
            except PayloadFault:
                continue
            except KeyFault as fault:
                ended[job.token.fence] = self._broken(job, fault)
        return ended | await self._take(wanted)

    def _missing_key(self, claimed: ClaimedJob) -> str | None:
        declared = self._declared.get(claimed.job.type)
        if declared is None or claimed.job.unique_key is not None:
            return None
        if claimed.attempt > 1 and self._rules[claimed.job.type].until != "ended":
            return None  # its window began with the first attempt
        return declared_key(claimed.job, declared)

    def _broken(self, claimed: ClaimedJob, fault: KeyFault) -> Outcome:
        error = fault.__cause__ or fault
        unique = self._declared[claimed.job.type].unique
        where = name_of(unique and key_function(unique))
        failure = Failure(type(error).__name__, writable(fault)[:2000])
        return RaisedError(failure, where, error)

    async def _take(self, wanted: Sequence[KeyClaim]) -> dict[int, Outcome]:
        if not wanted:
            return {}
        try:
            holders = await self._broker.take_keys(wanted)
        except BrokerUnavailable as outage:
            return {each.claimed.token.fence: Unreachable(outage) for each in wanted}
        pairs = zip(wanted, holders, strict=True)
        return {
            each.claimed.token.fence: _refusal(each, holder)
            for each, holder in pairs
            if holder != each.claimed.token.job_id
        }


def _is_taken_at_claim(declared: JobType) -> bool:
    """Return whether a job that is claimed without a key takes one: not if it would be free by then."""
    rule = rule_of(declared.unique)
    return declared.unique is not None and (rule.until == "ended" or rule.window_ms > 0)


def _refusal(wanted: KeyClaim, holder: str | None) -> Outcome:
    if holder is None:
        return Stopped()
    detail = held_by(wanted.unique_key, holder)
    return RejectedAttempt(ValidationFailed(detail, validator=REASON_UNIQUE), BY)
