"""Jobs from outside: checked whole, written together with those of others, answered when durable.

What arrives while one write is under way leaves with the next. A sender's key
makes the ids of its jobs: repeated, the request finds what it made before,
whether its answer was lost before or after the key itself was kept.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Final

import msgspec

from hms_svc.domain.errors import (
    BadInput,
    Fault,
    KeyReused,
    MalformedJob,
    MalformedJobs,
    Outage,
)
from hms_svc.domain.ids import name_based_id
from hms_svc.domain.job import INTERNAL_TYPES, Job, read_job
from hms_svc.domain.strict_json import JsonValue, encode, encode_canonical, read_strict
from hms_svc.handling.batching import Batcher
from hms_svc.handling.registry import Registry
from hms_svc.operations.room import Room
from hms_svc.operations.submission import check_payload, check_same, find_taken, id_taken
from hms_svc.ports.broker import Acceptance, Broker, Enqueued
from hms_svc.ports.clock import Clock
from hms_svc.ports.inspection import Inspection
from hms_svc.ports.stores import AcceptedKey, DoorStore

log: Final = logging.getLogger("hms_svc.http")
MOST_JOBS: Final = 10_000
MOST_FAULTS: Final = 50
WRITTEN_TOGETHER: Final = 200


class Posted(msgspec.Struct, frozen=True):
    """What a request made: its answer as JSON, and the one job that it named, if it was one.

    `replayed` where the answer was given before.
    """

    answer: bytes
    job_id: str = ""
    replayed: bool = False


class Posting:
    """Takes requests of producers."""

    def __init__(
        self,
        *,
        broker: Broker,
        inspection: Inspection,
        store: DoorStore,
        registry: Registry,
        clock: Clock,
        queue_limit: int = 0,
    ) -> None:
        self._broker = broker
        self._inspection = inspection
        self._store = store
        self._registry = registry
        self._clock = clock
        self._room = Room(inspection, queue_limit)
        self._writes = Batcher(self._write, limit=WRITTEN_TOGETHER)
        self._look_ups = Batcher(self._look_up)
        self._keys = Batcher(self._keep)

    async def post(
        self, body: bytes, *, sender: str, key: str = "", traceparent: str | None = None
    ) -> Posted:
        """Accept one job, or an array of them: all or none, durably.

        Raises MalformedJson, MalformedJob, MalformedJobs, IdConflict, KeyReused,
        QueueFull, IntakePaused, and Outage; then nothing was accepted, but for
        an array of which another request has taken an id in the same moment.
        """
        value = read_strict(body)
        known = _Key(sender, key, encode_canonical(value)) if key else None
        if known is not None and (answer := await self._answer_to(known)) is not None:
            return Posted(answer, _only_id(answer), replayed=True)
        jobs = self._read(value, known, traceparent)
        if isinstance(value, list):
            await self._check_ids(value, jobs)
        answers = await self.accept(jobs)
        _check_taken(answers, known)
        shapes = [_shape(job, answer) for job, answer in zip(jobs, answers, strict=True)]
        answer = encode(shapes if isinstance(value, list) else shapes[0])
        if known is not None:
            await self._keep_answer(known, answer)
        return Posted(answer, "" if isinstance(value, list) else jobs[0].id)

    async def _keep_answer(self, key: _Key, answer: bytes) -> None:
        """Keep what was answered. Without it the ids of the jobs, made of the key, say as much."""
        kept = AcceptedKey(
            key=key.digest, request=key.request, answer=answer, at=self._clock.now_ms()
        )
        try:
            await self._keys.ask(kept)
        except Outage as error:
            log.warning("a key is not kept, its jobs are: %s", error)

    async def accept(self, jobs: Sequence[Job]) -> list[Enqueued]:
        """Enqueue jobs in one write with those of others; answers stand in the order of `jobs`.

        Raises QueueFull, IntakePaused and Outage: then nothing was accepted.
        """
        async with self._room.entered(jobs) as entered:
            answers = await self._writes.ask(jobs)
            entered.accepted(jobs, answers)
            return answers

    async def accept_once(self, jobs: Sequence[Job]) -> list[dict[str, JsonValue]]:
        """Enqueue jobs whose ids their senders made, each once; gives the shape of each answer.

        An id is known for a day, also where the broker has let go of the job. Raises
        IdConflict where one came before with other data; the others are accepted.
        """
        keys = [_Key("once", job.id, encode_canonical(job.payload())) for job in jobs]
        found = await self._store.accepted_keys([key.digest for key in keys])
        fresh = [job for job, known in zip(jobs, found, strict=True) if known is None]
        answers = dict(zip(fresh, await self.accept(fresh), strict=True)) if fresh else {}
        now = self._clock.now_ms()
        await self._store.keep_keys(
            [
                AcceptedKey(key=key.digest, request=key.request, answer=b"", at=now)
                for key, job in zip(keys, jobs, strict=True)
                if job in answers and answers[job].acceptance is not Acceptance.CONFLICT
            ]
        )
        _check_taken(list(answers.values()), None)
        for job, key, known in zip(jobs, keys, found, strict=True):
            if known is not None and known.request != key.request:
                raise id_taken(job.id)
        return [_shape(job, answers.get(job)) for job in jobs]

    def _read(self, value: JsonValue, key: _Key | None, traceparent: str | None) -> list[Job]:
        many = isinstance(value, list)
        items = value if isinstance(value, list) else [value]
        if not 1 <= len(items) <= MOST_JOBS:
            raise MalformedJob(f"an array of {len(items)} jobs: want 1 to {MOST_JOBS:,}")
        now = self._clock.now_ms()
        jobs: list[Job] = []
        faults: list[Fault] = []
        for place, item in enumerate(items):
            try:
                jobs.append(self._read_one(item, place, key, traceparent, now))
            except BadInput as error:
                if not many:
                    raise
                faults.append(Fault(place, getattr(error, "field", ""), str(error)))
                if len(faults) == MOST_FAULTS:
                    break
        if faults:
            raise MalformedJobs(faults)
        return jobs

    def _read_one(
        self, item: JsonValue, place: int, key: _Key | None, traceparent: str | None, now: int
    ) -> Job:
        job = read_job(item, now_ms=now)
        if job.type in INTERNAL_TYPES:
            raise MalformedJob(
                f"type {job.type} is made by hms-svc itself, never handed in", "type"
            )
        check_payload(job, self._registry)
        if key is not None and not _names_itself(item):
            job = msgspec.structs.replace(job, id=key.job_id(place))
        if traceparent is not None and job.traceparent is None:
            job = msgspec.structs.replace(job, traceparent=traceparent)
        return job

    async def _check_ids(self, items: Sequence[JsonValue], jobs: Sequence[Job]) -> None:
        """Find ids that are taken before anything is written: an array is accepted whole."""
        named = [job for item, job in zip(items, jobs, strict=True) if _names_itself(item)]
        seen: dict[str, Job] = {}
        for job in named:
            check_same(job, seen)
        for place in await find_taken(named, self._inspection):
            raise id_taken(named[place].id)

    async def _answer_to(self, key: _Key) -> bytes | None:
        found = await self._look_ups.ask(key.digest)
        if found is None:
            return None
        if found.request != key.request:
            raise key.reused()
        return found.answer

    async def _write(self, groups: Sequence[Sequence[Job]]) -> Sequence[list[Enqueued]]:
        answers = iter(await self._broker.enqueue([job for group in groups for job in group]))
        return [[next(answers) for _ in group] for group in groups]

    async def _look_up(self, keys: Sequence[str]) -> Sequence[AcceptedKey | None]:
        return await self._store.accepted_keys(keys)

    async def _keep(self, keys: Sequence[AcceptedKey]) -> Sequence[None]:
        await self._store.keep_keys(keys)
        return [None] * len(keys)


class _Key:
    """A sender's key of one request, and the request that came with it."""

    def __init__(self, sender: str, key: str, body: bytes) -> None:
        self._text = key
        self.digest = hashlib.sha256(f"{sender}\n{key}".encode()).hexdigest()
        self.request = hashlib.sha256(body).hexdigest()

    def job_id(self, place: int) -> str:
        """Give the id of the job at this place of the request."""
        return name_based_id("posted", self.digest, str(place))

    def reused(self) -> KeyReused:
        """Make the error of a key that came before, with another request."""
        return KeyReused(f"key {self._text!r:.80} was used before, with another request")


def _check_taken(answers: Sequence[Enqueued], key: _Key | None) -> None:
    taken = [
        (place, answer.job_id)
        for place, answer in enumerate(answers)
        if answer.acceptance is Acceptance.CONFLICT
    ]
    if not taken:
        return
    place, job_id = taken[0]
    if key is not None and job_id == key.job_id(place):
        raise key.reused()
    others = len(answers) - len(taken)
    raise id_taken(job_id, f"; the other {others} of the request are accepted" if others else "")


def _names_itself(item: JsonValue) -> bool:
    return isinstance(item, dict) and item.get("id") is not None


def _shape(job: Job, answer: Enqueued | None) -> dict[str, JsonValue]:
    """Give the answer for one job; that of one known by its key alone says nothing of its state."""
    shape: dict[str, JsonValue] = {"id": job.id, "type": job.type}
    if answer is None:
        return {**shape, "exists": True}
    exists = answer.acceptance is Acceptance.EXISTS
    return {**shape, "state": answer.state.value, "exists": exists}


def _only_id(answer: bytes) -> str:
    value = msgspec.json.decode(answer)
    return str(value["id"]) if isinstance(value, dict) else ""
