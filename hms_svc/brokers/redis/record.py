"""The record of a job as one string: a binary head, then the texts of the job.

The head has the fields of `HEAD` in this order, numbers little-endian: those that change
most often first, those that stay as they were accepted last. Its sizes are the bytes of
the texts, which follow in this order: worker, failure group, type, digest of the unique key, envelope, data, raw
bytes, case, approvals, outcome, history. Behind the digest a job of a batch has a slash and the id of the batch.
Envelope (except a unique key that is taken later),
data and raw bytes stay as they were accepted. The scripts get fields and formats from here.
"""

from __future__ import annotations

import struct
from typing import Final, Literal

import msgspec

from hms_svc.brokers.codes import CODE_OF, DISCARDED, LIMITED, PRIORITY_STEP, STATE_OF
from hms_svc.brokers.envelope import JobEnvelope, envelope_of, has_envelope, wire_form
from hms_svc.brokers.history import attempts_of, erased_history, history_of, read_history
from hms_svc.brokers.intake import KeptBytes
from hms_svc.brokers.redis.unique_keys import RuleRow, rule_row, unique_text
from hms_svc.domain.causes import FAILED, GROUPED, cause_of
from hms_svc.domain.job import ClaimedJob, Job, Lane, LeaseToken
from hms_svc.domain.lifecycle import REASON_UNIQUE, TERMINAL, State
from hms_svc.domain.unique_keys import holder_in
from hms_svc.domain.verdict import DENIED
from hms_svc.domain.views import JobDetail, JobView, ProgressView

SETTLED: Final = {
    "POSITION": "i8",
    "STATE": "B",
    "SUSPECT": "B",
    "MARK": "I4",
    "OUTCOME_SIZE": "I4",
}
"""The fields that a settlement sets which ends a job, with their formats in Lua. SUSPECT is 1 for a suspect,
and LIMITED more for a queued job that waits for a limit with a key."""
FRONT: Final = SETTLED | {
    "FENCE": "i8",
    "OUTCOME_AT": "I4",
    "WORKER_SIZE": "I2",
    "CAUSE_SIZE": "B",
    "TYPE_SIZE": "B",
    "UNIQUE_SIZE": "B",
}
"""With these the scripts know who owns a job. OUTCOME_AT is where its outcome begins, counted from 1."""
CHANGING: Final = FRONT | {
    "LANE": "B",
    "ATTEMPT": "i4",
    "CLAIMS": "i4",
    "GIVE_BACKS": "B",
    "CRASHES": "B",
    "MOST": "i4",
    "STARTED": "i8",
    "CASE_SIZE": "I2",
    "APPROVED_SIZE": "I2",
    "EXPIRES": "i8",
    "NOT_BEFORE": "i8",
}
"""All fields that a change of state may set."""
ACCEPTED: Final = {
    "PRIORITY": "i2",
    "ENQUEUED": "i8",
    "ENVELOPE_SIZE": "I4",
    "DATA_SIZE": "I4",
    "RAW_SIZE": "I4",
}
"""The fields that stay as they were accepted, except in rare acts."""
HEAD: Final = (*CHANGING, *ACCEPTED)
_PYTHON: Final = {"i8": "q", "i4": "i", "I4": "I", "I2": "H", "i2": "h", "B": "B"}


def _struct(*formats: str) -> struct.Struct:
    return struct.Struct("<" + "".join(_PYTHON[each] for each in formats))


_HEAD: Final = _struct(*CHANGING.values(), *ACCEPTED.values())
HEAD_SIZE: Final = _HEAD.size
CHANGING_SIZE: Final = _struct(*CHANGING.values()).size
SETTLED_SIZE: Final = _struct(*SETTLED.values()).size
POSITION_SIZE: Final = _struct(SETTLED["POSITION"]).size
NO_TIME: Final = -1
"""In place of `expires_at` or `not_before`."""
NO_CAUSE: Final = ""
NO_MARK: Final = 0
REFUSED_BYTES: Final = 1
"""The mark of a dead letter whose bytes were not a job; those of settlements are higher."""
_POSITION, _STATE, _SUSPECT, _MARK, _OUTCOME = range(len(SETTLED))
_FENCE, _OUTCOME_AT, _WORKER, _CAUSE, _TYPE, _UNIQUE = range(len(SETTLED), len(FRONT))
_LANE, _ATTEMPT, _CLAIMS, _GIVE_BACKS, _CRASHES, _MOST = range(len(FRONT), len(FRONT) + 6)
_STARTED, _CASE, _APPROVED, _EXPIRES, _NOT_BEFORE = range(_MOST + 1, len(CHANGING))
_PRIORITY, _ENQUEUED, _ENVELOPE, _DATA, _RAW = range(len(CHANGING), len(HEAD))
_TEXTS: Final = (
    _WORKER,
    _CAUSE,
    _TYPE,
    _UNIQUE,
    _ENVELOPE,
    _DATA,
    _RAW,
    _CASE,
    _APPROVED,
    _OUTCOME,
)
"""The sizes of the texts, in the order of the texts; the history follows."""
_HISTORY: Final = -1
_NONE: Final = msgspec.Raw(b"null")


class KeptEnvelope(JobEnvelope, omit_defaults=True, gc=False):
    """The envelope in a record: fields that no script reads, or only as a digest."""

    unique_key: str | None = None
    raw_length: int = 0
    raw_digest: str = ""


class RecordOutcome(msgspec.Struct, omit_defaults=True, gc=False):
    """The outcome of the last settlement, act or crash."""

    reason: str = ""
    by: str = ""
    detail: str = ""
    result: msgspec.Raw = _NONE
    failure: str = ""
    hold: tuple[str, str, str] | None = None


write_json: Final = msgspec.json.Encoder().encode
_NO_ENVELOPE: Final = KeptEnvelope()
_read_envelope: Final = msgspec.json.Decoder(KeptEnvelope).decode
_read_outcome: Final = msgspec.json.Decoder(RecordOutcome).decode


class RecordDraft(msgspec.Struct, frozen=True, gc=False):
    """A new record without its first field, the position, to which a queued job's time is added.

    If the job has no priority the record has 0, and the scripts insert what its type declares.
    """

    state: int
    rest: bytes
    position: int
    unique: str
    names_priority: bool
    rule: RuleRow | Literal[False] = False

    def at(self, position: int) -> bytes:
        """Return the record with its position."""
        return position.to_bytes(POSITION_SIZE, "little", signed=True) + self.rest


def draft_of(job: Job, now: int) -> RecordDraft:
    """Return the record of a job to be scheduled or queued."""
    scheduled = job.not_before is not None and (job.not_before > now or job.rule_delay_ms > 0)
    state = CODE_OF[State.SCHEDULED if scheduled else State.QUEUED]
    position = (job.not_before or 0) if scheduled else -(job.priority or 0) * PRIORITY_STEP
    return _draft(job, state, position, b"", b"", _envelope_of(job), NO_CAUSE)


def refused_draft(
    job: Job, state: State, at: int, outcome: RecordOutcome, kept: KeptBytes | None = None
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
    unique, type = unique_text(job), job.type.encode()
    mark = REFUSED_BYTES if kept is not None and kept.raw_digest else NO_MARK
    keys = f"{unique}/{job.batch}" if job.batch else unique
    texts = b"".join((cause.encode(), type, keys.encode(), envelope, job.data, raw))
    fields = [0] * len(HEAD)
    fields[_STATE], fields[_MARK], fields[_MOST] = state, mark, job.max_attempts or 0
    fields[_OUTCOME], fields[_OUTCOME_AT] = len(outcome), HEAD_SIZE + len(texts) + 1
    fields[_CAUSE], fields[_TYPE], fields[_UNIQUE] = len(cause), len(type), len(keys)
    fields[_EXPIRES], fields[_NOT_BEFORE] = _time(job.expires_at), _time(job.not_before)
    fields[_PRIORITY], fields[_ENQUEUED] = job.priority or 0, job.enqueued_at
    fields[_ENVELOPE], fields[_DATA], fields[_RAW] = len(envelope), len(job.data), len(raw)
    rest = b"".join((_HEAD.pack(*fields)[POSITION_SIZE:], texts, outcome))
    rule = rule_row(job.unique_key, job.unique, job.rule_delay_ms)
    return RecordDraft(state, rest, position, unique, job.priority is not None, rule)


class Record:
    """A parsed record: the fields immediately, the texts on access."""

    __slots__ = ("_fields", "_text", "id")

    def __init__(self, job_id: str, text: bytes) -> None:
        self.id = job_id
        self._text = text
        self._fields = _HEAD.unpack_from(text)

    @property
    def type(self) -> str:
        """The job's type."""
        return self._part(_TYPE).decode()

    @property
    def state(self) -> State | None:
        """The job's state, None while it is discarded."""
        return STATE_OF.get(self._fields[_STATE])

    @property
    def is_discarded(self) -> bool:
        """Whether an operator has hidden the job."""
        return bool(self._fields[_STATE] == DISCARDED)

    @property
    def fence(self) -> int:
        """The fence of its last claim."""
        return int(self._fields[_FENCE])

    @property
    def enqueued_at(self) -> int:
        """When the job was created (Unix ms)."""
        return int(self._fields[_ENQUEUED])

    @property
    def held_by(self) -> str | None:
        """The id of the job that held its unique key, if it was rejected for that."""
        outcome = self._outcome()
        is_held = self.state is State.REJECTED and outcome.reason == REASON_UNIQUE
        return holder_in(outcome.detail) if is_held else None

    @property
    def data(self) -> bytes:
        """The payload."""
        return self._part(_DATA)

    def claimed(self, *, now: int, lease_until: int) -> ClaimedJob:
        """Return the job for its worker."""
        fields, kept = self._fields, self._envelope()
        job = Job(
            id=self.id,
            type=self.type,
            data=self.data,
            enqueued_at=fields[_ENQUEUED],
            not_before=_or_none(fields[_NOT_BEFORE]),
            expires_at=_or_none(fields[_EXPIRES]),
            priority=fields[_PRIORITY],
            max_attempts=fields[_MOST] or None,
            unique_key=kept.unique_key,
            traceparent=kept.traceparent,
            tracestate=kept.tracestate,
            meta=kept.given("meta") if fields[_ENVELOPE] else None,
            extra=kept.given("extra") if fields[_ENVELOPE] else None,
            retried_from=kept.retried_from,
            version=kept.version,
            batch=self._batch() if fields[_UNIQUE] else None,
        )
        return ClaimedJob(
            job=job,
            token=LeaseToken(self.id, fields[_FENCE]),
            attempt=fields[_ATTEMPT],
            claims=fields[_CLAIMS],
            max_attempts=fields[_MOST],
            give_backs=fields[_GIVE_BACKS],
            claimed_at=now,
            lease_until=lease_until,
            lane=Lane.SUSPECT if fields[_LANE] else Lane.NORMAL,
            approvals=self._approvals() if fields[_APPROVED] else (),
        )

    def view(self) -> JobView:
        """Return the job for a list."""
        return self._view(self._outcome(), self._envelope())

    def detail(self, progress: tuple[ProgressView, ...]) -> JobDetail:
        """Return the full details of the job."""
        outcome, kept = self._outcome(), self._envelope()
        view = self._view(outcome, kept)
        steps = read_history(self._part(_HISTORY).decode())
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
            raw=self._part(_RAW) if kept.raw_digest else None,
            raw_length=kept.raw_length,
            raw_digest=kept.raw_digest,
        )

    def erased(self) -> tuple[bytes, bytes, bytes, str]:
        """Return envelope, outcome and history without personal data, and the resulting failure group."""
        outcome, origin = self._outcome(), self._envelope().retried_from
        kept = RecordOutcome(reason=outcome.reason, by=outcome.by)
        cause = NO_CAUSE
        if (state := self.state) in FAILED:
            cause = cause_of(
                state, self.type, reason=kept.reason, by=kept.by, detail="", failure=""
            ).id
        return (
            write_json(KeptEnvelope(retried_from=origin)) if origin else b"",
            write_json(kept),
            erased_history(self._part(_HISTORY).decode()).encode(),
            cause,
        )

    def _view(self, outcome: RecordOutcome, kept: KeptEnvelope) -> JobView:
        fields, state, position = self._fields, self.state, self._fields[_POSITION]
        assert state is not None, "a discarded job is not shown"
        waits = state in (State.SCHEDULED, State.RETRYING)
        cause = self._part(_CAUSE).decode()
        return JobView(
            id=self.id,
            type=self.type,
            state=state,
            attempt=fields[_ATTEMPT],
            enqueued_at=fields[_ENQUEUED],
            reason=outcome.reason,
            by=outcome.by,
            detail=outcome.detail,
            data=self.data,
            priority=fields[_PRIORITY],
            max_attempts=fields[_MOST] or None,
            due_at=position if waits else None,
            finished_at=position if state in TERMINAL else None,
            started_at=fields[_STARTED] or None,
            worker=self._part(_WORKER).decode() if state is State.PROCESSING else "",
            fence=fields[_FENCE],
            suspect=bool(fields[_SUSPECT] % LIMITED),
            case_id=self._part(_CASE).decode() or None,
            failure=outcome.failure,
            unique_key=kept.unique_key,
            cause=cause if state in GROUPED else "",
            approvals=len(set(self._approvals()) - {DENIED}),
            batch=self._batch(),
        )

    def _batch(self) -> str | None:
        return self._part(_UNIQUE).partition(b"/")[2].decode() or None

    def _approvals(self) -> tuple[str, ...]:
        approved = self._part(_APPROVED)
        return tuple(approved.decode().split(",")) if approved else ()

    def _envelope(self) -> KeptEnvelope:
        return _read_envelope(self._part(_ENVELOPE)) if self._fields[_ENVELOPE] else _NO_ENVELOPE

    def _outcome(self) -> RecordOutcome:
        return _read_outcome(self._part(_OUTCOME)) if self._fields[_OUTCOME] else RecordOutcome()

    def _part(self, wanted: int) -> bytes:
        """Return one of the texts, named by the field of its size."""
        start = HEAD_SIZE
        for text in _TEXTS:
            size: int = self._fields[text]
            if text == wanted:
                return self._text[start : start + size]
            start += size
        return self._text[start:]


def _time(given: int | None) -> int:
    return NO_TIME if given is None else given


def _or_none(field: int) -> int | None:
    return None if field == NO_TIME else field
