"""A job as a producer creates it, and how jobs are enqueued: both written once for the two forms of `Job`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import msgspec

from hms_svc.api.portal import now_ms, on_right_loop, portal
from hms_svc.domain.batches import NewBatch
from hms_svc.domain.errors import BadInput, BatchClosed, IdConflict, MalformedJob
from hms_svc.domain.job import Job as Envelope
from hms_svc.domain.job import check_submitted, make_job
from hms_svc.domain.plain_text import plural
from hms_svc.domain.timestamps import EPOCH, MILLISECOND
from hms_svc.ports.broker import Acceptance, Enqueued, Producer, conflicts
from hms_svc.sdk.running_job import find_job
from hms_svc.sdk.value_checks import not_a_job

ValueT = TypeVar("ValueT")
BATCH: Final = 5000
"""Jobs per transaction: a much longer one would keep the workers waiting."""


class NewJob:
    """What both forms of `Job` share: see `hms_svc.Job`."""

    def __init__(
        self,
        type: str,
        data: Any,
        *,
        id: str | None = None,
        delay: timedelta | None = None,
        not_before: datetime | None = None,
        expires_at: datetime | None = None,
        priority: int | None = None,
        max_attempts: int | None = None,
        unique_key: str | None = None,
        traceparent: str | None = None,
        tracestate: str | None = None,
        meta: dict[str, Any] | None = None,
        version: int | None = None,
    ) -> None:
        now = now_ms()
        first = _unix_ms("not_before", not_before)
        if delay is not None:
            first = now + _milliseconds(delay)
        self.envelope: Envelope = make_job(
            type,
            data,
            now_ms=now,
            id=id,
            not_before=first,
            expires_at=_unix_ms("expires_at", expires_at),
            priority=priority,
            max_attempts=max_attempts,
            unique_key=unique_key,
            traceparent=traceparent,
            tracestate=tracestate,
            meta=meta,
            version=version,
        )
        running = find_job()
        check_submitted(self.envelope, running.id if running is not None else "")
        self.is_named = id is not None
        self.id = self.envelope.id
        self.type = self.envelope.type
        self.data = data
        self.held_by: str | None = None
        """The job that holds its unique key, once this one was enqueued and rejected for that."""
        self.replaced: str | None = None
        """The waiting job that was cancelled for this one, once this one was enqueued."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r}, type={self.type!r})"


def one_job(call: str, job: NewJob) -> NewJob:
    """Return the job that a call was given; raise BadInput for another value."""
    if not isinstance(job, NewJob):
        raise not_a_job(call, job, "hms_svc.Job.enqueue_all(jobs), or hms_svc.Batch(jobs)")
    return job


def all_jobs(call: str, jobs: Iterable[NewJob]) -> list[NewJob]:
    """Return the jobs that a call was given; raise BadInput for another value, and for one among them."""
    given = all_of(call, "jobs", jobs)
    for job in given:
        if not isinstance(job, NewJob):
            raise not_a_job(call, job, "a single list")
    return given


def all_of(call: str, name: str, values: Iterable[ValueT]) -> list[ValueT]:
    """Return the values that a call was given; raise BadInput for what is not several, such as None or a text.

    It does not show them, since they may be payloads.
    """
    refused = BadInput(f"{call}: expected a list of {name}, got {type(values).__name__}")
    if isinstance(values, str | bytes) or (name == "payloads" and isinstance(values, Mapping)):
        raise refused
    try:
        each = iter(values)
    except TypeError:
        raise refused from None
    return list(each)


def note_answers(jobs: Sequence[NewJob], answers: Sequence[Enqueued]) -> list[str]:
    """Note in jobs what became of them, and return their states."""
    for job, answer in zip(jobs, answers, strict=True):
        job.held_by, job.replaced = answer.held_by, answer.replaced
    return [answer.state.value for answer in answers]


async def enqueue(jobs: Sequence[Envelope]) -> list[Enqueued]:
    """Submit jobs to the broker, and return its answers; raises IdConflict for an id that is taken."""
    job = find_job()
    if job is None:
        return await enqueue_to((await portal().backend()).broker, jobs)
    return await enqueue_to(job.broker, job.carry_trace(jobs))


async def enqueue_here(jobs: Sequence[Envelope]) -> list[Enqueued]:
    """Submit jobs as `enqueue` does, from any running loop: without another thread if there is a way."""
    broker = await portal().broker_here() if find_job() is None else None
    if broker is None:
        return await on_right_loop(lambda: enqueue(jobs))
    return await enqueue_to(broker, jobs)


async def enqueue_to(broker: Producer, jobs: Sequence[Envelope]) -> list[Enqueued]:
    """Submit jobs to a broker on the running loop; see `enqueue`."""
    answers: list[Enqueued] = []
    for start in range(0, len(jobs), BATCH):
        answered = await broker.enqueue(jobs[start : start + BATCH])
        for job_id in conflicts(answered):
            raise IdConflict(
                f"id {job_id!r} belongs to another job, with another type or other data"
            )
        answers += answered
    return answers


async def submit_batch(batch: NewBatch) -> bool:
    """Submit a batch to the broker, and return whether it existed.

    Raises IdConflict for an id that is taken, and BatchClosed if an operator has closed it.
    """
    job = find_job()
    if job is None:
        return await _submit_batch_to((await portal().backend()).broker, _by(batch))
    members, follow_ups = (
        tuple(job.carry_trace(jobs)) for jobs in (batch.members, batch.follow_ups)
    )
    batch = msgspec.structs.replace(batch, members=members, follow_ups=follow_ups)
    return await _submit_batch_to(job.broker, msgspec.structs.replace(batch, by=f"job:{job.id}"))


async def submit_batch_here(batch: NewBatch) -> bool:
    """Submit a batch as `submit_batch` does, from any running loop."""
    broker = await portal().broker_here() if find_job() is None else None
    if broker is None:
        return await on_right_loop(lambda: submit_batch(batch))
    return await _submit_batch_to(broker, _by(batch))


def _by(batch: NewBatch) -> NewBatch:
    return msgspec.structs.replace(batch, by=portal().settings.actor)


async def _submit_batch_to(broker: Producer, batch: NewBatch) -> bool:
    answer = await broker.enqueue_batch(batch)
    if answer.acceptance is Acceptance.CONFLICT:
        raise IdConflict(
            f"batch {batch.id}: id {answer.taken!r} belongs to a job that is not of this batch"
            if answer.taken
            else f"batch id {batch.id!r} belongs to another batch, with other jobs"
        )
    if answer.left_out:
        raise BatchClosed(
            f"batch {batch.id} was closed by {answer.closed_by} without {answer.left_out:,} of its "
            f"{plural(len(batch.members), 'job')}, which are not accepted: submit what is missing in a batch "
            "with another id",
            batch_id=batch.id,
            left_out=answer.left_out,
        )
    return answer.acceptance is Acceptance.EXISTS


def _unix_ms(name: str, moment: datetime | None) -> int | None:
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        raise MalformedJob(f"{name} {moment!r:.80} is not a datetime", name)
    if moment.utcoffset() is None:
        raise MalformedJob(f"{name} {moment.isoformat()} has no time zone", name)
    return (moment - EPOCH) // MILLISECOND


def _milliseconds(delay: timedelta) -> int:
    if not isinstance(delay, timedelta):
        raise MalformedJob(f"delay {delay!r:.80} is not a timedelta", "not_before")
    return delay // MILLISECOND
