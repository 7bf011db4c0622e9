"""Lets claimed jobs in by the limits with a key that their types declare."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from hms_svc.domain.errors import BrokerUnavailable, HmsError
from hms_svc.domain.job import ClaimedJob
from hms_svc.domain.job_limits import Concurrency, KeyedLimit, Rate, limit_of
from hms_svc.domain.outcome import Failure
from hms_svc.ports.broker import Broker
from hms_svc.ports.key_claims import PlaceClaim
from hms_svc.runtime.decide import Outcome, RaisedError, Unreachable
from hms_svc.sdk.job_defaults import payload_of
from hms_svc.sdk.job_type import JobType
from hms_svc.sdk.payload import PayloadFault
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.source_places import name_of
from hms_svc.sdk.storable_text import writable
from hms_svc.sdk.validation import shown

MOST_KEY_CHARACTERS: Final = 1000
_SHOWN_CHARACTERS: Final = 60


class LimitDecision(NamedTuple):
    """Jobs that were queued again, and by fence the outcome of those that must not run."""

    queued: list[ClaimedJob]
    ended: dict[int, Outcome]


class LimitKeyFault(HmsError):
    """The function of a limit's key raised, or returned an invalid value."""


class KeyedLimits:
    """Asks the broker, with one call for all jobs of a claim whose types declare limits with a key."""

    def __init__(self, broker: Broker, registry: Registry, *, lease_ms: int) -> None:
        self._broker = broker
        self._lease_ms = lease_ms
        self._declared = {
            declared.type: declared
            for declared in registry
            if any(limit.key is not None for limit in declared.limits)
        }

    @property
    def are_declared(self) -> bool:
        """Whether any type declares a limit with a key."""
        return bool(self._declared)

    async def let_in(self, claimed: Sequence[ClaimedJob]) -> LimitDecision:
        """Let jobs in, or have them queued again.

        A key that cannot be made is an error of the job; a payload that does not fit its model is
        left to validation.
        """
        ended: dict[int, Outcome] = {}
        wanted: list[PlaceClaim] = []
        for job in claimed:
            declared = self._declared.get(job.job.type)
            if declared is None:
                continue
            try:
                if limits := limits_of_job(job, declared):
                    wanted.append(PlaceClaim(job, limits, self._lease_ms))
            except PayloadFault:
                continue
            except LimitKeyFault as fault:
                error = fault.__cause__ or fault
                failure = Failure(type(error).__name__, writable(fault)[:2000])
                ended[job.token.fence] = RaisedError(failure, "limits", error)
        if not wanted:
            return LimitDecision([], ended)
        try:
            answers = await self._broker.take_places(wanted)
        except BrokerUnavailable as outage:
            return LimitDecision(
                [], ended | {each.claimed.token.fence: Unreachable(outage) for each in wanted}
            )
        pairs = zip(wanted, answers, strict=True)
        return LimitDecision([each.claimed for each, may_run in pairs if not may_run], ended)


def limits_of_job(claimed: ClaimedJob, declared: JobType) -> tuple[KeyedLimit, ...]:
    """Return the limits with a key that apply to a job; raises PayloadFault and LimitKeyFault."""
    payload = payload_of(claimed.job, declared)
    found = (
        _keyed(declared, number, limit, payload)
        for number, limit in enumerate(declared.limits)
        if limit.key is not None
    )
    return tuple(limit for limit in found if limit is not None)


def _keyed(
    declared: JobType, number: int, limit: Concurrency[Any] | Rate[Any], payload: Any
) -> KeyedLimit | None:
    key = _key_of(declared, limit, payload)
    if key is None:
        return None
    identity = f"{declared.type}\n{number}\n{key}"
    digest = hashlib.sha1(identity.encode(), usedforsecurity=False).hexdigest()
    counted = limit_of(limit)
    value = key if len(key) <= _SHOWN_CHARACTERS else key[:_SHOWN_CHARACTERS] + "…"
    return KeyedLimit(digest, f"{counted} for {value!r}", counted, number)


def _key_of(declared: JobType, limit: Concurrency[Any] | Rate[Any], payload: Any) -> str | None:
    """Return the value of a limit's key as text; None if the limit does not apply to the job."""
    assert limit.key is not None
    where = f"limit of {declared.type}: {name_of(limit.key)}"
    try:
        value = limit.key(payload)
    except Exception as error:
        message = f"{where} raised {type(error).__name__}: {writable(error)[:200]}"
        raise LimitKeyFault(message) from error
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise LimitKeyFault(
            f"{where} returned {shown(value)}, not text, a whole number, or None for no limit"
        )
    text = str(value)
    if not 1 <= len(text) <= MOST_KEY_CHARACTERS:
        message = f"returned {len(text)} characters, not 1 to {MOST_KEY_CHARACTERS}"
        raise LimitKeyFault(f"{where} {message}")
    return writable(text)
