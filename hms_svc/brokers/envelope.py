"""The fields of a job that brokers do not interpret: stored as one JSON object and passed on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from hms_svc.domain.job import FIRST_VERSION, Job
from hms_svc.domain.strict_json import decode, encode
from hms_svc.domain.timestamps import to_rfc3339
from hms_svc.domain.views import JobView

_NOTHING: Final = msgspec.Raw(b"null")


class JobEnvelope(msgspec.Struct, omit_defaults=True, gc=False):
    """The fields of a job that no statement interprets."""

    traceparent: str | None = None
    meta: msgspec.Raw = _NOTHING
    extra: msgspec.Raw = _NOTHING
    retried_from: str | None = None
    tracestate: str | None = None
    version: int | None = None

    def given(self, name: str) -> bytes | None:
        """Return the bytes of `meta` or `extra`, None if it is empty."""
        raw = bytes(getattr(self, name))
        return None if raw == b"null" else raw


NO_ENVELOPE: Final = JobEnvelope()
read_envelope: Final = msgspec.json.Decoder(JobEnvelope).decode


def envelope_of(job: Job) -> JobEnvelope:
    """Return the envelope fields of a job."""
    return JobEnvelope(
        traceparent=job.traceparent,
        meta=msgspec.Raw(job.meta) if job.meta else _NOTHING,
        extra=msgspec.Raw(job.extra) if job.extra else _NOTHING,
        retried_from=job.retried_from,
        tracestate=job.tracestate,
        version=job.version if _names_version(job) else None,
    )


def has_envelope(job: Job) -> bool:
    """Return whether any envelope field of a job is set."""
    given = job.traceparent or job.tracestate or job.meta or job.extra or job.retried_from
    return bool(given) or _names_version(job)


def _names_version(job: Job) -> bool:
    """Return whether a version is to be stored: a record without one has the first."""
    return job.version is not None and job.version != FIRST_VERSION


def write_envelope(job: Job) -> bytes | None:
    """Return the JSON of a job's envelope fields, None if all are empty."""
    return msgspec.json.encode(envelope_of(job)) if has_envelope(job) else None


def wire_form(view: JobView, times: Mapping[str, int | None], envelope: JobEnvelope) -> bytes:
    """Return a job as a producer would submit it; `times` are `not_before` and `expires_at` (ms)."""
    fields: dict[str, Any] = {
        "id": view.id,
        "type": view.type,
        "data": msgspec.Raw(view.data),
        "enqueued_at": to_rfc3339(view.enqueued_at),
    }
    fields |= {name: to_rfc3339(at) for name, at in times.items() if at is not None}
    optional = {
        "priority": view.priority or None,
        "max_attempts": view.max_attempts,
        "unique_key": view.unique_key,
        "traceparent": envelope.traceparent,
        "tracestate": envelope.tracestate,
        "retried_from": envelope.retried_from,
        "version": envelope.version,
    }
    fields |= {name: value for name, value in optional.items() if value is not None}
    if envelope.given("meta"):
        fields["meta"] = envelope.meta
    if extra := envelope.given("extra"):
        fields |= decode(extra)
    return encode(fields)
