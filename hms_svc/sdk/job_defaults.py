"""What a type declares for jobs that do not say it themselves: payload model, unique key, priority."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from hms_svc.domain.errors import HmsError, MalformedJob, MalformedJson
from hms_svc.domain.job import MAX_KEY_CHARACTERS, Job
from hms_svc.domain.strict_json import JsonValue, check_strict
from hms_svc.ports.broker import Enqueued, Producer
from hms_svc.sdk.job_type import JobType
from hms_svc.sdk.payload import PayloadFault, parse_handed_in
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.source_places import name_of
from hms_svc.sdk.storable_text import writable
from hms_svc.sdk.validation import shown


class KeyFault(HmsError):
    """The function that a type declares as `unique` raised, or gave what is no key."""


class Completion(msgspec.Struct, frozen=True):
    """What jobs of one type with the same data are given, where they do not name it."""

    unique_key: str | None = None
    priority: int | None = None

    def apply(self, job: Job) -> Job:
        """Return the job with it."""
        key = self.unique_key if job.unique_key is None else job.unique_key
        priority = self.priority if job.priority is None else job.priority
        if (key, priority) == (job.unique_key, job.priority):
            return job
        return msgspec.structs.replace(job, unique_key=key, priority=priority)


NOTHING: Final = Completion()


def completion_of(job: Job, registry: Registry) -> Completion:
    """Hold a job against the payload model of its type, and find what the type declares for it.

    Nothing where the type is not known. Raises MalformedJob where the payload does not fit,
    or the key that it would have cannot be made.
    """
    declared = registry.get(job.type)
    if declared is None:
        return NOTHING
    key = None
    try:
        if declared.payload is not None or declared.unique is not None:
            payload = _payload_of(job, declared)
            key = None if job.unique_key is not None else key_of(declared, payload)
    except PayloadFault as error:
        raise MalformedJob(str(error), error.field, error.faults) from error
    except KeyFault as error:
        raise MalformedJob(str(error), "unique_key") from error
    return Completion(key, declared.priority or None)


def with_faults_of_data(error: MalformedJob, value: JsonValue, registry: Registry) -> MalformedJob:
    """Return the error of a value that is no job, with what the model of its type refuses besides."""
    named = value.get("type") if isinstance(value, dict) else None
    declared = registry.get(named) if isinstance(named, str) else None
    if (
        declared is None
        or declared.payload is None
        or not isinstance(value, dict)
        or "data" not in value
    ):
        return error
    try:
        parse_handed_in(declared.payload, value["data"])
    except PayloadFault as fault:
        return MalformedJob(f"{error}; {fault}", error.field, [*error.faults, *fault.faults])
    return error


def complete(job: Job, registry: Registry) -> Job:
    """Check a job as `completion_of` does, and give it with what its type declares for it."""
    return completion_of(job, registry).apply(job)


def complete_if_possible(job: Job, registry: Registry) -> Job:
    """Return a job with what its type declares for it, where nobody is there to be told of a fault.

    A job whose key cannot be made goes on without: the worker that claims it finds the same,
    and makes it an end or an error of the job.
    """
    declared = registry.get(job.type)
    if declared is None:
        return job
    key = None
    try:
        if declared.unique is not None and job.unique_key is None:
            key = key_of(declared, _payload_of(job, declared))
    except (PayloadFault, KeyFault):
        pass
    return Completion(key, declared.priority or None).apply(job)


def complete_edited(edited: Job, old_data: bytes, registry: Registry) -> Job:
    """Complete a job whose data was changed: a key that the old data gave it is made anew.

    Raises MalformedJob where its key cannot be made; a payload that does not fit is left to
    the worker.
    """
    declared = registry.get(edited.type)
    if declared is None:
        return edited
    if edited.unique_key is not None:
        before = msgspec.structs.replace(edited, data=old_data, unique_key=None)
        if complete_if_possible(before, registry).unique_key == edited.unique_key:
            edited = msgspec.structs.replace(edited, unique_key=None)
    try:
        key = declared_key(edited, declared)
    except PayloadFault:
        key = None
    except KeyFault as error:
        raise MalformedJob(str(error), "unique_key") from error
    return Completion(key, declared.priority or None).apply(edited)


def declared_key(job: Job, declared: JobType) -> str | None:
    """Return the key that a type declares for a job, None where it declares none.

    Raises PayloadFault where the payload does not fit, and KeyFault.
    """
    return None if declared.unique is None else key_of(declared, _payload_of(job, declared))


def key_of(declared: JobType, payload: Any) -> str | None:
    """Ask the function that a type declares as `unique`; raises KeyFault naming it."""
    if declared.unique is None:
        return None
    try:
        key = declared.unique(payload)
    except Exception as error:
        words = f"raised {type(error).__name__}: {writable(error)[:200]}"
        raise _fault(declared, words) from error
    if not isinstance(key, str) or not 1 <= len(key) <= MAX_KEY_CHARACTERS:
        words = f"gave {shown(key)}, not a string of 1 to {MAX_KEY_CHARACTERS} characters"
        raise _fault(declared, words)
    try:
        check_strict(key)
    except MalformedJson as error:
        raise _fault(declared, f"gave {shown(key)}: {error}") from error
    return str(key)


def _fault(declared: JobType, words: str) -> KeyFault:
    return KeyFault(f"unique key of {declared.type}: {name_of(declared.unique)} {words}")


def _payload_of(job: Job, declared: JobType) -> Any:
    data = job.payload()
    return data if declared.payload is None else parse_handed_in(declared.payload, data)


class CompletingProducer:
    """Enqueues jobs that a worker makes itself, completed by what their types declare."""

    def __init__(self, producer: Producer, registry: Registry) -> None:
        self._producer = producer
        self._registry = registry

    async def enqueue(self, jobs: Sequence[Job]) -> list[Enqueued]:
        """Accept the jobs, as `Broker.enqueue` does."""
        return await self._producer.enqueue(
            [complete_if_possible(job, self._registry) for job in jobs]
        )
