"""What a type declares for jobs that do not set it themselves: payload model, unique key, priority, version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from hms_svc.domain.batches import NewBatch
from hms_svc.domain.errors import HmsError, MalformedJob, MalformedJson
from hms_svc.domain.job import FIRST_VERSION, MAX_KEY_CHARACTERS, Job
from hms_svc.domain.strict_json import JsonValue, check_strict
from hms_svc.domain.uniqueness import PLAIN, UniqueRule, key_function, rule_of
from hms_svc.ports.broker import Enqueued, EnqueuedBatch, Producer
from hms_svc.sdk.job_type import JobType
from hms_svc.sdk.payload import PayloadFault, parse_submitted
from hms_svc.sdk.payload_versions import current_data, is_newer
from hms_svc.sdk.registry import Registry
from hms_svc.sdk.source_places import name_of
from hms_svc.sdk.storable_text import writable
from hms_svc.sdk.validation import shown


class KeyFault(HmsError):
    """The function that a type declares as `unique` raised, or returned an invalid key."""


class Defaults(msgspec.Struct, frozen=True):
    """The defaults of jobs of one type with the same data."""

    unique_key: str | None = None
    priority: int | None = None
    version: int | None = None
    unique: UniqueRule = PLAIN

    def apply(self, job: Job) -> Job:
        """Return the job with the defaults applied."""
        key = self.unique_key if job.unique_key is None else job.unique_key
        priority = self.priority if job.priority is None else job.priority
        version = self.version if job.version is None else job.version
        if (key, priority, version) != (job.unique_key, job.priority, job.version):
            job = msgspec.structs.replace(job, unique_key=key, priority=priority, version=version)
        if self.unique == PLAIN or key is None:
            return job
        due = job.not_before
        if due is None and self.unique.delay_ms:
            due = job.enqueued_at + self.unique.delay_ms
        return msgspec.structs.replace(job, unique=self.unique, not_before=due)


NOTHING: Final = Defaults()


def defaults_of(job: Job, registry: Registry) -> Defaults:
    """Validate a job against the payload model of its type, and return the defaults of the type.

    A payload of an older version is upgraded first; one of a newer version is left to a worker
    that knows it. Empty if the type is not known. Raises MalformedJob if the payload does not match,
    or its key cannot be computed.
    """
    declared = registry.get(job.type)
    return NOTHING if declared is None else _defaults_by(job, declared)


def _defaults_by(job: Job, declared: JobType) -> Defaults:
    if is_newer(job, declared):
        return Defaults(None, declared.priority or None)
    job, key = stamped(job, declared), None
    try:
        if declared.payload is not None or declared.unique is not None or declared.upgrade:
            payload = payload_of(job, declared)
            key = None if job.unique_key is not None else key_of(declared, payload)
    except PayloadFault as error:
        raise MalformedJob(str(error), error.field, error.faults) from error
    except KeyFault as error:
        raise MalformedJob(str(error), "unique_key") from error
    return Defaults(key, declared.priority or None, job.version, rule_of(declared.unique))


class Completer:
    """Completes the copies of one job; of those with the same data only the first is validated.

    Without a registry nothing is validated or completed.
    """

    def __init__(self, registry: Registry | None) -> None:
        self._registry = registry
        self._checked: bytes | None = None
        self._defaults = NOTHING

    def complete(self, copy: Job) -> Job:
        """Return the copy with the defaults of its type; raises MalformedJob as `defaults_of` does."""
        if self._registry is not None and copy.data != self._checked:
            self._defaults = defaults_of(copy, self._registry)
            self._checked = copy.data
        return self._defaults.apply(copy)


def with_faults_of_data(error: MalformedJob, value: JsonValue, registry: Registry) -> MalformedJob:
    """Return the error of a value that is not a job, with what the model of its type rejects added."""
    named = value.get("type") if isinstance(value, dict) else None
    declared = registry.get(named) if isinstance(named, str) else None
    if (
        declared is None
        or declared.payload is None
        or not isinstance(value, dict)
        or "data" not in value
        or value.get("version", declared.version) != declared.version
    ):
        return error
    try:
        parse_submitted(declared.payload, value["data"])
    except PayloadFault as fault:
        return MalformedJob(f"{error}; {fault}", error.field, [*error.faults, *fault.faults])
    return error


def complete(job: Job, registry: Registry) -> Job:
    """Validate a job as `defaults_of` does, and return it with the defaults of its type."""
    return defaults_of(job, registry).apply(job)


def complete_declared(job: Job, declared: JobType) -> Job:
    """Validate a job of a declared type as `defaults_of` does, and return it with the defaults."""
    return _defaults_by(job, declared).apply(job)


def stamped(job: Job, declared: JobType) -> Job:
    """Return a job of who knows the declaration: if it names no version, its payload has the declared one."""
    if job.version is not None or declared.version == FIRST_VERSION:
        return job
    return msgspec.structs.replace(job, version=declared.version)


def complete_if_possible(job: Job, registry: Registry) -> Job:
    """Return a job with the defaults of its type except the version, for callers that cannot report a fault.

    A job whose key cannot be computed goes on without one: the worker that claims it finds the same
    fault, and ends the job or counts it as an error.
    """
    declared = registry.get(job.type)
    if declared is None:
        return job
    key = None
    try:
        if job.unique_key is None:
            key = declared_key(job, declared)
    except (PayloadFault, KeyFault):
        pass
    return Defaults(key, declared.priority or None, unique=rule_of(declared.unique)).apply(job)


def complete_edited(edited: Job, old_data: bytes, registry: Registry) -> Job:
    """Complete a job whose data was changed: a key that came from the old data is computed anew.

    Raises MalformedJob if its key cannot be computed; a payload that does not match is left to
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
    return Defaults(key, declared.priority or None, unique=rule_of(declared.unique)).apply(edited)


def declared_key(job: Job, declared: JobType) -> str | None:
    """Return the key that a type computes for a job, None if it declares none or does not know the payload's version.

    Raises PayloadFault if the payload does not match, and KeyFault.
    """
    if declared.unique is None or is_newer(job, declared):
        return None
    return key_of(declared, payload_of(job, declared))


def key_of(declared: JobType, payload: Any) -> str | None:
    """Call the function that a type declares as `unique`; raises KeyFault naming it."""
    if declared.unique is None:
        return None
    try:
        key = key_function(declared.unique)(payload)
    except Exception as error:
        message = f"raised {type(error).__name__}: {writable(error)[:200]}"
        raise _fault(declared, message) from error
    if not isinstance(key, str) or not 1 <= len(key) <= MAX_KEY_CHARACTERS:
        message = f"returned {shown(key)}, not a string of 1 to {MAX_KEY_CHARACTERS} characters"
        raise _fault(declared, message)
    try:
        check_strict(key)
    except MalformedJson as error:
        raise _fault(declared, f"returned {shown(key)}: {error}") from error
    return str(key)


def _fault(declared: JobType, message: str) -> KeyFault:
    named = declared.unique and name_of(key_function(declared.unique))
    return KeyFault(f"unique key of {declared.type}: {named} {message}")


def payload_of(job: Job, declared: JobType) -> Any:
    """Return the payload as handlers get it: of the declared version, as the instance of its model.

    Raises PayloadFault.
    """
    data = current_data(job, declared)
    return data if declared.payload is None else parse_submitted(declared.payload, data)


class CompletingProducer:
    """Enqueues jobs that a worker creates itself, with the defaults and versions of their types."""

    def __init__(self, producer: Producer, registry: Registry) -> None:
        self._producer = producer
        self._registry = registry

    async def enqueue(self, jobs: Sequence[Job]) -> list[Enqueued]:
        """Accept the jobs, as `Broker.enqueue` does."""
        return await self._producer.enqueue([self._completed(job) for job in jobs])

    async def enqueue_batch(self, batch: NewBatch) -> EnqueuedBatch:
        """Accept a batch, as `Broker.enqueue_batch` does."""
        members, follow_ups = (
            tuple(map(self._completed, jobs)) for jobs in (batch.members, batch.follow_ups)
        )
        return await self._producer.enqueue_batch(
            msgspec.structs.replace(batch, members=members, follow_ups=follow_ups)
        )

    def _completed(self, job: Job) -> Job:
        declared = self._registry.get(job.type)
        job = job if declared is None else stamped(job, declared)
        return complete_if_possible(job, self._registry)
