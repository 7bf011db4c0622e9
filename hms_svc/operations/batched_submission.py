"""Jobs from outside: validated as a whole, written in batches, and answered once durable.

What arrives while one write is under way leaves with the next. A sender's idempotency key is
reserved for its request before jobs are made, and their ids are derived from key and request:
a repeated request finds what it made before, wherever it was interrupted.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from hms_svc.domain import failpoints
from hms_svc.domain.errors import (
    BadInput,
    BrokerUnavailable,
    JobFault,
    KeyReused,
    MalformedJob,
    MalformedJobs,
    Outage,
)
from hms_svc.domain.ids import derived_id, is_reserved_id
from hms_svc.domain.job import Job, read_job
from hms_svc.domain.strict_json import JsonValue, encode, encode_canonical, read_strict
from hms_svc.operations.admission import Admission
from hms_svc.operations.answers.jobs import Accepted, EnvelopeJob, Received
from hms_svc.operations.submission import check_same, find_taken, id_taken
from hms_svc.ports.broker import Acceptance, Broker, Enqueued, conflicts
from hms_svc.ports.clock import Clock
from hms_svc.ports.inspection import Inspection
from hms_svc.ports.side_thread import aside
from hms_svc.ports.stores import AcceptedKey, AcceptedKeyStore
from hms_svc.sdk.batcher import Batcher
from hms_svc.sdk.job_defaults import complete, complete_if_possible, with_faults_of_data
from hms_svc.sdk.registry import Registry

log: Final = logging.getLogger("hms_svc.http")
MOST_JOBS: Final = 10_000
MOST_FAULTS: Final = 50
WRITTEN_TOGETHER: Final = 500
"""The jobs of many small requests are written together in one step of at most this size."""


class Submitted(msgspec.Struct, frozen=True):
    """The result of a request: its answer as JSON, and its job's id if it was a single job.

    `replayed` is whether the answer was given before.
    """

    answer: bytes
    job_id: str = ""
    replayed: bool = False


class BatchedSubmission:
    """Accepts requests of producers."""

    def __init__(
        self,
        *,
        broker: Broker,
        inspection: Inspection,
        accepted_keys: AcceptedKeyStore,
        registry: Registry,
        clock: Clock,
        queue_limit: int = 0,
    ) -> None:
        self._broker = broker
        self._inspection = inspection
        self._accepted_keys = accepted_keys
        self._registry = registry
        self._clock = clock
        self._admission = Admission(inspection, queue_limit)
        self._writes = Batcher(self._write, limit=WRITTEN_TOGETHER, weigh=len)
        self._large_writes = Batcher(self._write, limit=1, weigh=len)
        self._lookups = Batcher(accepted_keys.find)
        self._reservations = Batcher(accepted_keys.reserve)
        self._keys = Batcher(self._keep)

    async def post(
        self,
        body: bytes,
        *,
        sender: str,
        key: str = "",
        adopt: Callable[[Job], Job] = lambda job: job,
    ) -> Submitted:
        """Accept one job, or an array of them: all or none, durably.

        `adopt` adds the trace of the request to each; it may be called on any thread.

        Raises MalformedJson, MalformedJob, MalformedJobs, IdConflict, KeyReused,
        QueueFull, IntakePaused, and Outage; then nothing was accepted, except for
        an array of which another request has taken an id at the same moment, and for
        an outage during the write, whose message says so: repeated with the same ids or key,
        the request creates no second job.
        """
        value, known = await aside(len(body), lambda: _open(body, sender, key))
        if known is not None and (answer := await self._answer_to(known)):
            return Submitted(answer, _only_id(answer), replayed=True)
        jobs = await aside(len(body), lambda: self._read(value, adopt))
        items = value if isinstance(value, list) else [value]
        if known is not None or isinstance(value, list):
            await self._check_ids(items, jobs)
        entered = await self._admission.enter(jobs)
        try:
            if known is not None:
                jobs = _named(items, jobs, known, await self._reserved(known))
            answers = await self._written(jobs, keyed=known is not None)
            self._admission.accepted(jobs, answers)
        finally:
            self._admission.leave(entered)
        if failpoints.armed is not None:
            failpoints.reached("http.accepted")
        _check_taken(answers, keyed=known is not None)
        accepted = [Accepted.of(job.type, each) for job, each in zip(jobs, answers, strict=True)]
        answer = encode(accepted if isinstance(value, list) else accepted[0])
        if known is not None:
            await self._keep_answer(known, answer)
        return Submitted(answer, "" if isinstance(value, list) else jobs[0].id)

    async def _reserved(self, key: _Key) -> AcceptedKey:
        """Reserve a key, and return what is stored: KeyReused if another request has it."""
        stored = await self._reservations.ask(key.kept(b"", self._clock.now_ms()))
        if stored.request != key.request:
            raise key.reused()
        return stored

    async def _keep_answer(self, key: _Key, answer: bytes) -> None:
        """Store the answer. Without it the request, repeated, finds its jobs as well."""
        try:
            await self._keys.ask(key.kept(answer, self._clock.now_ms()))
        except Outage as error:
            log.warning(
                "the answer to a request could not be stored for its key; its jobs are accepted: %s",
                error,
            )

    async def _written(self, jobs: Sequence[Job], *, keyed: bool) -> list[Enqueued]:
        """Write jobs; those of a large request step by step, interleaved with those of small ones."""
        if len(jobs) <= WRITTEN_TOGETHER:
            return await self._writes.ask(jobs)
        try:
            return await self._large_writes.ask(jobs)
        except BrokerUnavailable as error:
            hint = (
                "repeating the same request creates no second job"
                if keyed
                else "with an Idempotency-Key, or ids, a request can be repeated safely"
            )
            raise BrokerUnavailable(
                f"{error}; some of the {len(jobs):,} jobs may have been accepted: {hint}"
            ) from error

    async def accept(self, jobs: Sequence[Job]) -> list[Enqueued]:
        """Enqueue jobs in one write with those of others; answers are in the order of `jobs`.

        Raises QueueFull and IntakePaused: then nothing was accepted. After an Outage
        some may be: the same jobs, submitted again, are recognised by their ids.
        """
        entered = await self._admission.enter(jobs)
        try:
            answers = await self._written(jobs, keyed=True)
            self._admission.accepted(jobs, answers)
            return answers
        finally:
            self._admission.leave(entered)

    async def accept_once(self, jobs: Sequence[Job]) -> Received:
        """Enqueue jobs whose ids come from their senders, each once.

        An id is known for a day, even if the broker no longer has the job. Raises
        IdConflict if one came before with other data; the others are accepted.
        """
        jobs = [complete_if_possible(job, self._registry) for job in jobs]
        size = sum(len(job.data) for job in jobs)
        keys = await aside(size, lambda: [_Key.of_job(job) for job in jobs])
        found = await self._accepted_keys.find([key.digest for key in keys])
        fresh = [job for job, known in zip(jobs, found, strict=True) if known is None]
        answers = dict(zip(fresh, await self.accept(fresh), strict=True)) if fresh else {}
        now = self._clock.now_ms()
        await self._accepted_keys.keep(
            [
                key.kept(b"", now)
                for key, job in zip(keys, jobs, strict=True)
                if job in answers and answers[job].acceptance is not Acceptance.CONFLICT
            ]
        )
        _check_taken(list(answers.values()))
        for job, key, known in zip(jobs, keys, found, strict=True):
            if known is not None and known.request != key.request:
                raise id_taken(job.id)
        return Received(tuple(EnvelopeJob.of(job, answers.get(job)) for job in jobs))

    def _read(self, value: JsonValue, adopt: Callable[[Job], Job]) -> list[Job]:
        many = isinstance(value, list)
        items = value if isinstance(value, list) else [value]
        if not 1 <= len(items) <= MOST_JOBS:
            raise MalformedJob(f"an array of {len(items)} jobs: expected 1 to {MOST_JOBS:,}")
        now = self._clock.now_ms()
        jobs: list[Job] = []
        faults: list[JobFault] = []
        for place, item in enumerate(items):
            try:
                jobs.append(self._read_one(item, adopt, now))
            except BadInput as error:
                if not many:
                    raise
                faults += _faults_of(error, place)
                if len(faults) >= MOST_FAULTS:
                    break
        if faults:
            raise MalformedJobs(faults[:MOST_FAULTS])
        return jobs

    def _read_one(self, item: JsonValue, adopt: Callable[[Job], Job], now: int) -> Job:
        try:
            job = read_job(item, now_ms=now)
        except MalformedJob as error:
            raise with_faults_of_data(error, item, self._registry) from error
        return adopt(complete(job, self._registry))

    async def _check_ids(self, items: Sequence[JsonValue], jobs: Sequence[Job]) -> None:
        """Find ids that are taken, before anything is written: an array is accepted as a whole."""
        named = [job for item, job in zip(items, jobs, strict=True) if _names_itself(item)]
        seen: dict[str, Job] = {}
        for job in named:
            check_same(job, seen)
        for place in await find_taken(named, self._inspection):
            raise id_taken(named[place].id)

    async def _answer_to(self, key: _Key) -> bytes | None:
        found = await self._lookups.ask(key.digest)
        if found is None:
            return None
        if found.request != key.request:
            raise key.reused()
        return found.answer

    async def _write(self, groups: Sequence[Sequence[Job]]) -> Sequence[list[Enqueued]]:
        answers = iter(await self._broker.enqueue([job for group in groups for job in group]))
        return [[next(answers) for _ in group] for group in groups]

    async def _keep(self, keys: Sequence[AcceptedKey]) -> Sequence[None]:
        await self._accepted_keys.keep(keys)
        return [None] * len(keys)


class _Key:
    """An idempotency key, within one `space` of such names, and the request that came with it."""

    def __init__(self, space: str, *names: str, request: bytes) -> None:
        self._text = names[-1]
        self.digest = hashlib.sha256(encode([space, *names])).hexdigest()
        self.request = hashlib.sha256(request).hexdigest()

    @classmethod
    def of_request(cls, sender: str, key: str, request: bytes) -> _Key:
        """Return the key that a sender gave to a request; `request` is its canonical JSON."""
        return cls("sender", sender, key, request=request)

    @classmethod
    def of_job(cls, job: Job) -> _Key:
        """Return the key of a job whose id identifies its sender's message."""
        return cls("job", job.id, request=encode_canonical(job.payload()))

    def kept(self, answer: bytes, at: int) -> AcceptedKey:
        """Return the record that is stored from then on (Unix ms); an empty answer only reserves the key."""
        return AcceptedKey(key=self.digest, request=self.request, answer=answer, at=at)

    def job_id(self, reserved: AcceptedKey, place: int) -> str:
        """Return the id of the job at an index of the request: a different one once the key was forgotten."""
        return derived_id("posted", self.digest, self.request, str(reserved.at), str(place))

    def reused(self) -> KeyReused:
        """Return the error of a key that came before, with another request."""
        return KeyReused(f"key {self._text!r:.80} was used before, with a different request")


def _open(body: bytes, sender: str, key: str) -> tuple[JsonValue, _Key | None]:
    value = read_strict(body)
    return value, _Key.of_request(sender, key, encode_canonical(value)) if key else None


def _named(
    items: Sequence[JsonValue], jobs: Sequence[Job], key: _Key, reserved: AcceptedKey
) -> list[Job]:
    """Return the jobs; those without an id of the sender's get one that is derived from the key."""
    return [
        job if _names_itself(item) else msgspec.structs.replace(job, id=key.job_id(reserved, place))
        for place, (item, job) in enumerate(zip(items, jobs, strict=True))
    ]


def _check_taken(answers: Sequence[Enqueued], *, keyed: bool = False) -> None:
    """Raise IdConflict for an id that is taken; an id derived from the request's key then belongs to an erased job."""
    taken = [job_id for job_id in conflicts(answers) if not (keyed and is_reserved_id(job_id))]
    if taken:
        others = len(answers) - len(taken)
        more = f"; the other {others} of the request were accepted" if others else ""
        raise id_taken(taken[0], more)


def _faults_of(error: BadInput, place: int) -> list[JobFault]:
    if isinstance(error, MalformedJob):
        return [JobFault(place, fault.field, fault.detail) for fault in error.faults]
    return [JobFault(place, "", str(error))]


def _names_itself(item: JsonValue) -> bool:
    return isinstance(item, dict) and item.get("id") is not None


def _only_id(answer: bytes) -> str:
    value = msgspec.json.decode(answer)
    return str(value["id"]) if isinstance(value, dict) else ""
