"""The job envelope: what a producer submits, and what a worker receives."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Final

import msgspec

from hms_svc.domain.errors import BadInput, FieldFault, MalformedJob
from hms_svc.domain.ids import (
    RESERVED_PREFIX,
    check_job_id,
    check_job_type,
    follow_up_id,
    is_reserved_id,
    new_job_id,
)
from hms_svc.domain.job_fields import NAMES, unmeant_names
from hms_svc.domain.plain_text import brief
from hms_svc.domain.strict_json import JsonValue, check_strict, decode, encode
from hms_svc.domain.timestamps import check_time, from_rfc3339
from hms_svc.domain.uniqueness import UniqueRule

MAX_DATA_BYTES: Final = 1024 * 1024
MAX_ITEM_BYTES: Final = 4 * 1024 * 1024
MAX_PRIORITY: Final = 1000
MAX_KEY_CHARACTERS: Final = 256
MOST_VERSIONS: Final = 1000
FIRST_VERSION: Final = 1
"""The version of the payload of a job that names none."""
MAX_TRACESTATE_CHARACTERS: Final = 512
INTERNAL_TYPES: Final = frozenset({"envelope.receive", "event.deliver"})
"""Types of jobs that only hms-svc creates: their content was checked, or is signed. They cannot be submitted."""


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One accepted job. Times are Unix milliseconds; bytes are trusted JSON.

    `data` is the payload, `meta` an object of the producer's, `extra` the
    unknown envelope fields, which are kept and passed on. A higher
    `priority` (-1000 to 1000) runs first within its type; None means the one that
    the type declares. `version` is that of the payload's form: None in an accepted job means 1.
    `unique` is the rule that its type declares for its key (None: the usual one),
    `batch` the id of the batch that it belongs to.
    """

    id: str
    type: str
    data: bytes
    enqueued_at: int = 0
    not_before: int | None = None
    expires_at: int | None = None
    priority: int | None = None
    max_attempts: int | None = None
    unique_key: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    meta: bytes | None = None
    extra: bytes | None = None
    retried_from: str | None = None
    version: int | None = None
    unique: UniqueRule | None = None
    batch: str | None = None

    @property
    def rule_delay_ms(self) -> int:
        """For how long it waits because of the rule for its key; 0 if it says itself when it is due."""
        if self.unique is None or self.not_before != self.enqueued_at + self.unique.delay_ms:
            return 0
        return self.unique.delay_ms

    def payload(self) -> JsonValue:
        """Decode `data`."""
        value: JsonValue = decode(self.data)
        return value


MOST_STEPS_OF_A_JOB: Final = 1000
CURSOR: Final = ""
"""In place of the name of a step: where the next attempt continues."""


class LeaseToken(msgspec.Struct, frozen=True, gc=False):
    """Proof of ownership: the job, the fence of this claim, and where the broker keeps it.

    `locator` is the broker's own shortcut to the record (SQLite: its row).
    """

    job_id: str
    fence: int
    locator: int = 0


class Lane(StrEnum):
    """Which jobs a claim takes: ordinary ones, or suspects (their worker died), one at a time."""

    NORMAL = "normal"
    SUSPECT = "suspect"


class ClaimedJob(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A job claimed by a worker until `lease_until` (milliseconds of the lease clock).

    `attempt` counts the claims of this run, `claims` those of all runs: from the
    second one on, the job may have left effects behind. `approvals` are the
    holds that humans have approved (`Permission.key`) since the last denial; `DENIED` is
    among them if there was one. `run_began_at` (Unix ms) is when the first counted attempt of this run
    began, if this is a later one and the type limits the time of all together. `steps` are the kept
    results of earlier attempts (JSON), by name, and the cursor.
    """

    job: Job
    token: LeaseToken
    attempt: int
    claims: int
    max_attempts: int
    give_backs: int
    claimed_at: int
    lease_until: int
    lane: Lane = Lane.NORMAL
    approvals: tuple[str, ...] = ()
    run_began_at: int | None = None
    steps: dict[str, bytes] | None = None


def log_fields(job_id: str, type: str, attempt: int) -> dict[str, str | int]:
    """Return the fields that a log record about a job carries, as its `extra`."""
    return {"job_id": job_id, "job_type": type, "attempt": attempt}


_KNOWN: Final = frozenset(NAMES)


def read_job(
    value: JsonValue, *, now_ms: int, default_type: str | None = None, any_names: bool = False
) -> Job:
    """Return the job in a strictly parsed JSON value, or raise MalformedJob naming each field at fault.

    `default_type` serves producers whose queue names the type. The value has
    passed `read_strict`; a missing id is generated here. What `check_submitted` rejects
    is rejected, and so are the names of `unmeant_names`. `any_names` allows them: stored records
    are read as they are.
    """
    if not isinstance(value, dict):
        raise MalformedJob(f"a job is a JSON object, not {_kind(value)}")
    extra = {key: item for key, item in value.items() if key not in _KNOWN}
    unmeant = [] if any_names or not extra else unmeant_names(value, extra)
    try:
        job = _read_job(value, extra, now_ms, default_type)
        if not unmeant:
            check_submitted(job)
            return job
    except MalformedJob:
        pass
    faults = [*unmeant, *_faults(value, default_type)]
    raise MalformedJob("; ".join(fault.detail for fault in faults), faults[0].field, faults)


def _read_job(
    value: dict[str, JsonValue], extra: dict[str, JsonValue], now_ms: int, default_type: str | None
) -> Job:
    given_id = value.get("id")
    meta = _meta(value)
    return Job(
        id=new_job_id() if given_id is None else check_job_id(given_id),
        type=_type(value, default_type),
        data=_data(value),
        enqueued_at=now_ms,
        not_before=_time(value, "not_before"),
        expires_at=_time(value, "expires_at"),
        priority=_priority(value),
        max_attempts=_max_attempts(value),
        unique_key=_text(value, "unique_key"),
        traceparent=_text(value, "traceparent"),
        tracestate=_text(value, "tracestate", MAX_TRACESTATE_CHARACTERS),
        meta=encode(meta) if meta else None,
        extra=encode(extra) if extra else None,
        retried_from=_retried_from(value),
        version=_version(value),
    )


def _faults(value: dict[str, JsonValue], default_type: str | None) -> list[FieldFault]:
    """Return everything that is wrong with the fields of a job; valid fields are not listed."""
    checks: list[Callable[[], object]] = [
        lambda: None if value.get("id") is None else _check_submitted_id(check_job_id(value["id"])),
        lambda: _check_submitted_type(_type(value, default_type)),
        lambda: _data(value),
        *(partial(_time, value, name) for name in ("not_before", "expires_at")),
        lambda: _priority(value),
        lambda: _max_attempts(value),
        *(partial(_text, value, name) for name in ("unique_key", "traceparent")),
        partial(_text, value, "tracestate", MAX_TRACESTATE_CHARACTERS),
        lambda: _meta(value),
        lambda: _retried_from(value),
        lambda: _version(value),
    ]
    found: list[FieldFault] = []
    for check in checks:
        try:
            check()
        except MalformedJob as error:
            found += error.faults
    return found


def _type(value: dict[str, JsonValue], default_type: str | None) -> str:
    given = value.get("type", default_type)
    if given is None:
        raise MalformedJob("type is missing: add it to the job or pass --type", "type")
    return check_job_type(given)


def _data(value: dict[str, JsonValue]) -> bytes:
    if "data" not in value:
        raise MalformedJob("data is missing: a job is an object with type and data", "data")
    return encode_data(value["data"])


def _meta(value: dict[str, JsonValue]) -> dict[str, JsonValue] | None:
    meta = value.get("meta")
    if meta is not None and not isinstance(meta, dict):
        raise MalformedJob(f"meta must be an object, not {_kind(meta)}", "meta")
    return meta


def _retried_from(value: dict[str, JsonValue]) -> str | None:
    given = value.get("retried_from")
    return None if given is None else check_job_id(given, "retried_from")


def _priority(value: dict[str, JsonValue]) -> int | None:
    return _integer(value, "priority", -MAX_PRIORITY, MAX_PRIORITY)


def _max_attempts(value: dict[str, JsonValue]) -> int | None:
    return _integer(value, "max_attempts", 1, 1000)


def _version(value: dict[str, JsonValue]) -> int | None:
    return _integer(value, "version", FIRST_VERSION, MOST_VERSIONS)


def check_submitted(job: Job, running: str = "") -> None:
    """Raise MalformedJob for a type or an id that only hms-svc itself may give to a job.

    `running` is the id of the job whose handler submits this one: see `is_reserved_id`. The id of
    its follow-up of this type is allowed as well.
    """
    _check_submitted_type(job.type)
    if running and job.id == follow_up_id(running, job.type):
        return
    _check_submitted_id(job.id, running)


def _check_submitted_type(type: str) -> None:
    if type in INTERNAL_TYPES:
        raise MalformedJob(f"type {type} is reserved for jobs that hms-svc creates itself", "type")


def _check_submitted_id(job_id: str, running: str = "") -> None:
    if is_reserved_id(job_id, running):
        raise MalformedJob(
            f"id {job_id} begins with {RESERVED_PREFIX}, which is reserved for jobs that hms-svc creates itself:"
            " choose another id, or omit it",
            "id",
        )


def make_job(
    type: str,
    data: object,
    *,
    now_ms: int,
    id: str | None = None,
    not_before: int | None = None,
    expires_at: int | None = None,
    priority: int | None = None,
    max_attempts: int | None = None,
    unique_key: str | None = None,
    traceparent: str | None = None,
    tracestate: str | None = None,
    meta: dict[str, JsonValue] | None = None,
    retried_from: str | None = None,
    version: int | None = None,
) -> Job:
    """Return a job made of Python values, which must follow the same rules as foreign bytes."""
    check_strict(data)
    check_strict(meta)
    limits = {"priority": priority, "max_attempts": max_attempts, "unique_key": unique_key}
    limits |= {
        "version": version,
        "traceparent": None if traceparent == "" else traceparent,
        "tracestate": None if tracestate == "" else tracestate,
    }
    for name in ("traceparent", "tracestate"):
        check_strict(limits[name])
    checked_meta = _meta({"meta": meta})
    return Job(
        id=new_job_id() if id is None else check_job_id(id),
        type=check_job_type(type),
        data=encode_data(data),
        enqueued_at=now_ms,
        not_before=_unix_ms("not_before", not_before),
        expires_at=_unix_ms("expires_at", expires_at),
        priority=_integer(limits, "priority", -MAX_PRIORITY, MAX_PRIORITY),
        max_attempts=_integer(limits, "max_attempts", 1, 1000),
        unique_key=_text(limits, "unique_key"),
        traceparent=_text(limits, "traceparent"),
        tracestate=_text(limits, "tracestate", MAX_TRACESTATE_CHARACTERS),
        meta=encode(checked_meta) if checked_meta else None,
        retried_from=retried_from,
        version=_integer(limits, "version", FIRST_VERSION, MOST_VERSIONS),
    )


def encode_data(data: object) -> bytes:
    """Return a strictly checked payload as JSON bytes; over 1 MiB is MalformedJob."""
    raw = encode(data)
    if len(raw) > MAX_DATA_BYTES:
        raise MalformedJob(f"data has {len(raw)} bytes; the limit is {MAX_DATA_BYTES}", "data")
    return raw


def _kind(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")


def _integer(fields: object, name: str, low: int, high: int) -> int | None:
    assert isinstance(fields, dict)
    value = fields.get(name)
    if value is None:
        return None
    if type(value) is not int or not low <= value <= high:
        raise MalformedJob(f"{name} {brief(value)} is not an integer from {low} to {high}", name)
    return value


def _text(fields: object, name: str, most: int = MAX_KEY_CHARACTERS) -> str | None:
    assert isinstance(fields, dict)
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= most:
        raise MalformedJob(f"{name} {brief(value)} is not a string of 1 to {most} characters", name)
    return value


def _unix_ms(name: str, at: int | None) -> int | None:
    try:
        return None if at is None else check_time(at)
    except BadInput as error:
        raise MalformedJob(f"{name} {error}", name) from error


def _time(fields: dict[str, JsonValue], name: str) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise MalformedJob(f"{name} {brief(value)} is not an RFC 3339 time", name)
    try:
        return from_rfc3339(value)
    except BadInput as error:
        raise MalformedJob(f"{name} {error}", name) from error
