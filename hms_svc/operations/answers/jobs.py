"""Answers about jobs."""

from __future__ import annotations

import base64
from typing import Any, Self

import msgspec
from msgspec import UNSET, UnsetType

from hms_svc.domain.job import Job
from hms_svc.domain.lifecycle import State
from hms_svc.domain.strict_json import JsonValue, decode
from hms_svc.domain.timestamps import to_rfc3339
from hms_svc.domain.views import (
    AttemptView,
    FailureGroup,
    JobDetail,
    JobPage,
    JobView,
    ProgressView,
    Transition,
)
from hms_svc.operations.answers.times import JsonMembers, Time, time_or_none
from hms_svc.operations.producer_fields import producer_fields
from hms_svc.ports.broker import Acceptance, Enqueued


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A job that has been stored durably. `exists` is true if it was there before, with the same type and data.

    `held_by` is the job that holds its unique key, if it was rejected for that; `replaced` is the
    waiting job that was cancelled for this one.
    """

    id: str
    type: str
    state: State
    exists: bool
    held_by: str | UnsetType = UNSET
    replaced: str | UnsetType = UNSET

    @classmethod
    def of(cls, type: str, enqueued: Enqueued) -> Self:
        """Return the answer for a job of a type."""
        return cls(
            id=enqueued.job_id,
            type=type,
            state=enqueued.state,
            exists=enqueued.acceptance is not Acceptance.ACCEPTED,
            held_by=enqueued.held_by or UNSET,
            replaced=enqueued.replaced or UNSET,
        )


class EnvelopeJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was made from an envelope. `state` is missing if the envelope came before and its job is no longer kept."""

    id: str
    type: str
    state: State | UnsetType = UNSET
    exists: bool
    held_by: str | UnsetType = UNSET
    replaced: str | UnsetType = UNSET

    @classmethod
    def of(cls, job: Job, enqueued: Enqueued | None) -> Self:
        """Return the answer for a job; `enqueued` is None if only its key is known."""
        if enqueued is None:
            return cls(id=job.id, type=job.type, exists=True)
        accepted = Accepted.of(job.type, enqueued)
        return cls(**msgspec.structs.asdict(accepted))


class Received(msgspec.Struct, frozen=True):
    """The jobs that were made from envelopes."""

    jobs: tuple[EnvelopeJob, ...]


class JobAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A job in a list. `cause` is the id of the failure group of a job that is dead, rejected or retrying."""

    id: str
    type: str
    state: State
    attempt: int
    enqueued_at: Time
    reason: str
    by: str
    detail: str
    cause: str

    @classmethod
    def of(cls, view: JobView) -> JobAnswer:
        """Return the answer for a job."""
        return JobAnswer(
            id=view.id,
            type=view.type,
            state=view.state,
            attempt=view.attempt,
            enqueued_at=to_rfc3339(view.enqueued_at),
            reason=view.reason,
            by=view.by,
            detail=view.detail,
            cause=view.cause,
        )


class JobPageAnswer(msgspec.Struct, frozen=True):
    """A page of jobs. `cursor` gets the next page; it is null on the last one."""

    jobs: tuple[JobAnswer, ...]
    cursor: str | None

    @classmethod
    def of(cls, page: JobPage) -> Self:
        """Return the answer for a page."""
        return cls(tuple(map(JobAnswer.of, page.jobs)), page.cursor)


class EndedJobAnswer(JobAnswer, frozen=True, kw_only=True):
    """A job in a list of finished jobs."""

    finished_at: Time | None

    @classmethod
    def of(cls, view: JobView) -> EndedJobAnswer:
        """Return the answer for a finished job."""
        return EndedJobAnswer(**_of_view(view), finished_at=time_or_none(view.finished_at))


class AttemptAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to run a job. `error` is the class and the message, `log` what the handler printed."""

    attempt: int
    started_at: Time
    ended_at: Time | None
    worker: str
    error: str
    fence: int
    traceback: str
    log: str

    @classmethod
    def of(cls, view: AttemptView) -> Self:
        """Return the answer for an attempt."""
        return cls(
            attempt=view.attempt,
            started_at=to_rfc3339(view.started_at),
            ended_at=time_or_none(view.ended_at),
            worker=view.worker,
            error=view.error,
            fence=view.fence,
            traceback=view.traceback,
            log=view.log,
        )


class TransitionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One transition in the history of a job, and what triggered it. `from` is null in the first one."""

    at: Time
    source: State | None = msgspec.field(name="from")
    target: State = msgspec.field(name="to")
    trigger: str
    detail: str

    @classmethod
    def of(cls, transition: Transition) -> Self:
        """Return the answer for a transition."""
        return cls(
            at=to_rfc3339(transition.at),
            source=transition.source,
            target=transition.target,
            trigger=transition.trigger,
            detail=transition.detail,
        )


class ProgressAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A progress report of a handler, or, if `log` is true, a line of its log."""

    at: Time
    share: float | None
    message: str
    log: bool

    @classmethod
    def of(cls, line: ProgressView) -> Self:
        """Return the answer for a report."""
        return cls(at=to_rfc3339(line.at), share=line.share, message=line.message, log=line.log)


class FollowedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A progress report of the job `id`, or a line of its log, for who follows it. Reports and lines share their numbers."""

    id: str
    number: int
    at: Time
    share: float | None
    message: str
    log: bool

    @classmethod
    def of(cls, job_id: str, line: ProgressView) -> Self:
        """Return the answer for a report."""
        return cls(
            id=job_id,
            number=line.number,
            at=to_rfc3339(line.at),
            share=line.share,
            message=line.message,
            log=line.log,
        )


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """What a held job waits for. `id` is the value for `If-Match` when it is approved or denied."""

    id: str
    action: str
    rule: str
    digest: str

    @classmethod
    def of(cls, detail: JobDetail) -> Self | None:
        """Return the hold of a job, None if it is not held."""
        if detail.hold is None or detail.view.state is not State.HELD:
            return None
        action, rule, digest = detail.hold
        return cls(id=str(detail.view.fence), action=action, rule=rule, digest=digest)


class Raw(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that were pushed and are not a job: the first of them in Base64, the length and the digest."""

    base64: str
    length: int
    sha256: str | UnsetType = UNSET
    sha256_of_beginning: str | UnsetType = UNSET

    @classmethod
    def of(cls, detail: JobDetail) -> Self | UnsetType:
        """Return the bytes that are not a job, if the job has any."""
        if detail.raw is None:
            return UNSET
        kind, _, digest = detail.raw_digest.rpartition(":")
        digests = {kind or "sha256": digest}
        return cls(
            base64=base64.b64encode(detail.raw).decode(), length=detail.raw_length, **digests
        )


class JobDetailAnswer(JobAnswer, frozen=True, kw_only=True):
    """Everything that is known about a job."""

    data: Any
    result: Any
    case_id: str | None
    attempts: tuple[AttemptAnswer, ...]
    history: tuple[TransitionAnswer, ...]
    retried_from: str | None
    priority: int
    max_attempts: int | None
    version: int
    due_at: Time | None
    started_at: Time | None
    finished_at: Time | None
    worker: str
    unique_key: str | None
    suspect: bool
    progress: tuple[ProgressAnswer, ...]
    hold: Hold | None
    traceparent: str | None
    tracestate: str | None
    meta: JsonMembers | None
    unknown_fields: JsonMembers
    raw: Raw | UnsetType = UNSET
    batch: str | None
    archived: bool

    @classmethod
    def of_detail(cls, detail: JobDetail, *, archived: bool) -> Self:
        """Return the answer for a job; `archived` if only the archive has it."""
        view, sent = detail.view, producer_fields(detail)
        return cls(
            **_of_view(view),
            data=json_or_none(view.data),
            result=decode(detail.result) if detail.result else None,
            case_id=view.case_id,
            attempts=tuple(map(AttemptAnswer.of, detail.attempts)),
            history=tuple(map(TransitionAnswer.of, detail.history)),
            retried_from=detail.retried_from,
            priority=view.priority,
            max_attempts=view.max_attempts,
            version=sent.version,
            due_at=time_or_none(view.due_at),
            started_at=time_or_none(view.started_at),
            finished_at=time_or_none(view.finished_at),
            worker=view.worker,
            unique_key=view.unique_key,
            suspect=view.suspect,
            progress=tuple(map(ProgressAnswer.of, detail.progress)),
            hold=Hold.of(detail),
            traceparent=sent.traceparent,
            tracestate=sent.tracestate,
            meta=sent.meta,
            unknown_fields=sent.unknown_fields,
            raw=Raw.of(detail),
            batch=view.batch,
            archived=archived,
        )


class WaitedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that a command waited for: as it ended, or its state when the time was over."""

    id: str
    type: str
    state: State
    result: Any
    reason: str
    by: str
    detail: str
    latency_ms: int | None

    @classmethod
    def of(cls, detail: JobDetail) -> Self:
        """Return the answer for a job."""
        view, ended = detail.view, detail.view.finished_at
        return cls(
            id=view.id,
            type=view.type,
            state=view.state,
            result=decode(detail.result) if detail.result else None,
            reason=view.reason,
            by=view.by,
            detail=view.detail,
            latency_ms=None if ended is None else max(ended - view.enqueued_at, 0),
        )


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """An explanation in one sentence."""

    id: str
    why: str


class FailureGroupAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs that are dead, rejected or retrying for the same cause.

    `recent` counts the jobs of the last hour in steps of five minutes, or, if they are retrying, their
    failures; `next_at` is then the time of the first retry.
    """

    id: str
    state: State
    type: str
    reason: str
    by: str
    error: str
    pattern: str
    count: int
    first_at: Time
    last_at: Time
    newest_detail: str
    newest_id: str
    recent: tuple[int, ...]
    next_at: Time | None

    @classmethod
    def of(cls, group: FailureGroup) -> Self:
        """Return the answer for a group."""
        fields = msgspec.structs.asdict(group) | {
            "first_at": to_rfc3339(group.first_at),
            "last_at": to_rfc3339(group.last_at),
            "next_at": time_or_none(group.next_at),
        }
        return cls(**fields)


class FailureList(msgspec.Struct, frozen=True):
    """Retrying, dead and rejected jobs, grouped by cause."""

    failures: tuple[FailureGroupAnswer, ...]


def json_or_none(raw: bytes) -> JsonValue:
    """Return a payload, None if the bytes are not JSON (a malformed job)."""
    try:
        value: JsonValue = decode(raw)
    except msgspec.DecodeError:
        return None
    return value


def _of_view(view: JobView) -> dict[str, Any]:
    return msgspec.structs.asdict(JobAnswer.of(view))
