"""The record of a job as one string: a line of fields, then the bodies, then the history.

The scripts change the fields, replace the outcome and append to the history;
envelope (except a unique key that is taken later), data and raw bytes stay as
they were accepted. the scripts get the names of the fields from here.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from hms_svc.brokers.codes import CODE_OF, DISCARDED, PRIORITY_STEP, STATE_OF
from hms_svc.brokers.envelope import Envelope, envelope_of, has_envelope, wire_form
from hms_svc.brokers.history import attempts_of, erased_history, history_of, read_history
from hms_svc.brokers.intake import KeptBytes
from hms_svc.domain.causes import FAILED, GROUPED, cause_of
from hms_svc.domain.job import ClaimedJob, Job, Lane, LeaseToken
from hms_svc.domain.lifecycle import TERMINAL, State
from hms_svc.domain.verdict import DENIED
from hms_svc.domain.views import JobDetail, JobView, ProgressView

FIELDS: Final = (
    "STATE", "FENCE", "ATTEMPT", "CLAIMS", "GIVE_BACKS", "CRASHES", "SUSPECT", "LANE", "MOST",
    "PRIORITY", "ENQUEUED", "EXPIRES", "STARTED", "POSITION", "CAUSE", "APPROVED", "ENVELOPE", "DATA",
    "RAW", "OUTCOME", "MARK", "CASE", "TYPE", "UNIQUE", "NOT_BEFORE", "WORKER",
)  # fmt: skip
"""The fields of the line, by the names that the scripts have for them."""
(
    _STATE, _FENCE, _ATTEMPT, _CLAIMS, _GIVE_BACKS, _CRASHES, _SUSPECT, _LANE, _MOST, _PRIORITY,
    _ENQUEUED, _EXPIRES, _STARTED, _POSITION, _CAUSE, _APPROVED, _ENVELOPE, _DATA, _RAW,
    _OUTCOME, _MARK, _CASE, _TYPE, _UNIQUE, _NOT_BEFORE, _WORKER,
) = range(len(FIELDS))  # fmt: skip
_NONE: Final = msgspec.Raw(b"null")
REFUSED_BYTES: Final = "raw"
"""The mark of a dead letter whose bytes were not a job."""


class KeptEnvelope(Envelope, omit_defaults=True, gc=False):
    """The envelope in a record: fields that no script reads, or only as a digest."""

    unique_key: str | None = None
    raw_length: int = 0
    raw_digest: str = ""


class Outcome(msgspec.Struct, omit_defaults=True, gc=False):
    """The outcome of the last settlement, act or crash."""

    reason: str = ""
    by: str = ""
    detail: str = ""
    result: msgspec.Raw = _NONE
    failure: str = ""
    hold: tuple[str, str, str] | None = None


write_json: Final = msgspec.json.Encoder().encode
_read_envelope: Final = msgspec.json.Decoder(KeptEnvelope).decode
_read_outcome: Final = msgspec.json.Decoder(Outcome).decode


class RecordDraft(msgspec.Struct, frozen=True, gc=False):
    """A new record: its line before and after the position, to which a queued job's time is added.

    If the job has no priority the line has 0, and the scripts insert what its type declares.
    """

    state: int
    head: bytes
    tail: bytes
    position: int
    unique: str
    names_priority: bool

    def at(self, position: int) -> bytes:
        """Return the record with its position filled in."""
        return b"%b%d%b" % (self.head, position, self.tail)


def draft_of(job: Job, now: int) -> RecordDraft:
    """Return the record of a job to be scheduled or queued."""
    scheduled = job.not_before is not None and job.not_before > now
    state = CODE_OF[State.SCHEDULED if scheduled else State.QUEUED]
    position = (job.not_before or 0) if scheduled else -(job.priority or 0) * PRIORITY_STEP
    return _draft(job, state, position, b"", b"", _envelope_of(job), "0")


def refused_draft(
    job: Job, state: State, at: int, outcome: Outcome, kept: KeptBytes | None = None
) -> RecordDraft:
    """Return the record of a job that can never run, with the refused bytes."""
    envelope = _envelope_of(job) or KeptEnvelope()
    if kept is not None:
        envelope.raw_length, envelope.raw_digest = kept.length, kept.digest
    raw = kept.raw if kept is not None else b""
    cause = cause_of(
        state, job.type, reason=outcome.reason, by=outcome.by, detail=outcome.detail, failure=""
    )
    return _draft(job, CODE_OF[state], at, raw, write_json(outcome), envelope, cause.id)


def keyed_envelope(job: Job, unique_key: str) -> bytes:
    """Return the envelope of a job that takes a unique key."""
    return write_json(_envelope_of(msgspec.structs.replace(job, unique_key=unique_key)))


def _envelope_of(job: Job) -> KeptEnvelope | None:
    if not has_envelope(job) and not job.unique_key:
        return None
    given = envelope_of(job)
    return KeptEnvelope(**msgspec.structs.asdict(given), unique_key=job.unique_key)


def _draft(
    job: Job,
    state: int,
    position: int,
    raw: bytes,
    outcome: bytes,
    kept: KeptEnvelope | None,
    cause: str,
) -> RecordDraft:
    envelope = write_json(kept) if kept is not None else b""
    unique = digest_of(job.unique_key)
    head = (
        f"{state} 0 0 0 0 0 0 0 {job.max_attempts or 0} {job.priority or 0} {job.enqueued_at}"
        f" {_field(job.expires_at)} 0 "
    )
    mark = REFUSED_BYTES if kept is not None and kept.raw_digest else "-"
    lengths = f"{len(envelope)} {len(job.data)} {len(raw)} {len(outcome)}"
    tail = f" {cause} 0 {lengths} {mark} - {job.type} {unique} {_field(job.not_before)} -\n"
    body = b"".join((tail.encode(), envelope, job.data, raw, outcome))
    return RecordDraft(state, head.encode(), body, position, unique, job.priority is not None)


def worker_field(worker: str) -> str:
    """Return a worker's id without white space, as it is stored in records and registers."""
    return "_".join(worker.split()) or "_"


def digest_of(unique_key: str | None) -> str:
    """Return the digest of a unique key, `-` for none."""
    return (
        hashlib.sha1(unique_key.encode(), usedforsecurity=False).hexdigest() if unique_key else "-"
    )


class Record:
    """A parsed record: the fields immediately, the bodies on access."""

    __slots__ = ("_body", "_fields", "_text", "id")

    def __init__(self, job_id: str, text: bytes) -> None:
        line, _, _ = text.partition(b"\n")
        self.id = job_id
        self._text = text
        self._body = len(line) + 1
        self._fields = line.decode().split(" ")

    @property
    def type(self) -> str:
        """The job's type."""
        return self._fields[_TYPE]

    @property
    def state(self) -> State | None:
        """The job's state, None while it is discarded."""
        return STATE_OF.get(int(self._fields[_STATE]))

    @property
    def is_discarded(self) -> bool:
        """Whether an operator has hidden the job."""
        return int(self._fields[_STATE]) == DISCARDED

    @property
    def enqueued_at(self) -> int:
        """When the job was created (Unix ms)."""
        return int(self._fields[_ENQUEUED])

    @property
    def position(self) -> int:
        """Its score in the index of its state."""
        return int(self._fields[_POSITION])

    @property
    def data(self) -> bytes:
        """The payload."""
        return self._part(1)

    def claimed(self, *, now: int, lease_until: int, most: int) -> ClaimedJob:
        """Return the job for its worker; `most` is its number of attempts if it has no own limit."""
        fields, kept = self._fields, self._envelope()
        job = Job(
            id=self.id,
            type=fields[_TYPE],
            data=self._part(1),
            enqueued_at=int(fields[_ENQUEUED]),
            not_before=_or_none(fields[_NOT_BEFORE]),
            expires_at=_or_none(fields[_EXPIRES]),
            priority=int(fields[_PRIORITY]),
            max_attempts=_or_zero(fields[_MOST]),
            unique_key=kept.unique_key,
            traceparent=kept.traceparent,
            tracestate=kept.tracestate,
            meta=kept.given("meta"),
            extra=kept.given("extra"),
            retried_from=kept.retried_from,
        )
        return ClaimedJob(
            job=job,
            token=LeaseToken(self.id, int(fields[_FENCE])),
            attempt=int(fields[_ATTEMPT]),
            claims=int(fields[_CLAIMS]),
            max_attempts=int(fields[_MOST]) or most,
            give_backs=int(fields[_GIVE_BACKS]),
            claimed_at=now,
            lease_until=lease_until,
            lane=Lane.SUSPECT if fields[_LANE] == "1" else Lane.NORMAL,
            approvals=self._approvals(),
        )

    def view(self) -> JobView:
        """Return the job for a list."""
        return self._view(self._outcome(), self._envelope())

    def detail(self, progress: tuple[ProgressView, ...]) -> JobDetail:
        """Return the full details of the job."""
        outcome, kept = self._outcome(), self._envelope()
        view = self._view(outcome, kept)
        steps = read_history(self._part(4).decode())
        times = {
            "not_before": _or_none(self._fields[_NOT_BEFORE]),
            "expires_at": _or_none(self._fields[_EXPIRES]),
        }
        result = bytes(outcome.result)
        return JobDetail(
            view=view,
            result=None if result == b"null" else result,
            attempts=tuple(attempts_of(steps)),
            history=tuple(history_of(view, steps)),
            progress=progress,
            envelope=wire_form(view, times, kept),
            hold=outcome.hold,
            retried_from=kept.retried_from,
            raw=self._part(2) if kept.raw_digest else None,
            raw_length=kept.raw_length,
            raw_digest=kept.raw_digest,
        )

    def erased(self) -> tuple[bytes, bytes, bytes, str]:
        """Return envelope, outcome and history without personal data, and the resulting failure group."""
        outcome, origin = self._outcome(), self._envelope().retried_from
        kept = Outcome(reason=outcome.reason, by=outcome.by)
        cause = "0"
        if (state := self.state) in FAILED:
            cause = cause_of(
                state, self.type, reason=kept.reason, by=kept.by, detail="", failure=""
            ).id
        return (
            write_json(KeptEnvelope(retried_from=origin)) if origin else b"",
            write_json(kept),
            erased_history(self._part(4).decode()).encode(),
            cause,
        )

    def _view(self, outcome: Outcome, kept: KeptEnvelope) -> JobView:
        fields, state, position = self._fields, self.state, self.position
        assert state is not None, "a discarded job is not shown"
        waits = state in (State.SCHEDULED, State.RETRYING)
        return JobView(
            id=self.id,
            type=fields[_TYPE],
            state=state,
            attempt=int(fields[_ATTEMPT]),
            enqueued_at=int(fields[_ENQUEUED]),
            reason=outcome.reason,
            by=outcome.by,
            detail=outcome.detail,
            data=self._part(1),
            priority=int(fields[_PRIORITY]),
            max_attempts=_or_zero(fields[_MOST]),
            due_at=position if waits else None,
            finished_at=position if state in TERMINAL else None,
            started_at=_or_zero(fields[_STARTED]),
            worker="" if fields[_WORKER] == "-" else fields[_WORKER],
            fence=int(fields[_FENCE]),
            suspect=fields[_SUSPECT] == "1",
            case_id=None if fields[_CASE] == "-" else fields[_CASE],
            failure=outcome.failure,
            unique_key=kept.unique_key,
            cause=fields[_CAUSE] if state in GROUPED and fields[_CAUSE] != "0" else "",
            approvals=len(set(self._approvals()) - {DENIED}),
        )

    def _approvals(self) -> tuple[str, ...]:
        field = self._fields[_APPROVED]
        return () if field == "0" else tuple(field.split(","))

    def _envelope(self) -> KeptEnvelope:
        return _read_envelope(self._part(0)) if self._fields[_ENVELOPE] != "0" else KeptEnvelope()

    def _outcome(self) -> Outcome:
        return _read_outcome(self._part(3)) if self._fields[_OUTCOME] != "0" else Outcome()

    def _part(self, number: int) -> bytes:
        """Return envelope, data, raw bytes, outcome, or (4) the history."""
        lengths = [int(field) for field in self._fields[_ENVELOPE : _OUTCOME + 1]]
        start = self._body + sum(lengths[:number])
        return self._text[start : start + lengths[number] if number < 4 else None]


def _field(number: int | None) -> str:
    return "-" if number is None else str(number)


def _or_none(field: str) -> int | None:
    return None if field == "-" else int(field)


def _or_zero(field: str) -> int | None:
    return int(field) or None
