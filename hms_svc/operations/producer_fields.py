"""The fields that the producer of a job sent besides type and data."""

from __future__ import annotations

from typing import Any

import msgspec

from hms_svc.domain.job import FIRST_VERSION
from hms_svc.domain.job_fields import NAMES
from hms_svc.domain.strict_json import JsonValue, decode
from hms_svc.domain.views import JobDetail


class ProducerFields(msgspec.Struct, frozen=True, kw_only=True):
    """A job's trace, its meta, unknown fields, and the version of its payload; empty if the record cannot be read.

    `meta.cloudevent` identifies the sender if the job was an envelope.
    """

    traceparent: Any
    tracestate: Any
    meta: Any
    unknown_fields: dict[str, Any]
    version: int = FIRST_VERSION


def producer_fields(detail: JobDetail) -> ProducerFields:
    """Return the fields of a job."""
    try:
        given = decode(detail.envelope)
    except msgspec.DecodeError:
        given = {}
    return ProducerFields(
        traceparent=given.get("traceparent"),
        tracestate=given.get("tracestate"),
        meta=given.get("meta"),
        unknown_fields={name: item for name, item in given.items() if name not in NAMES},
        version=given.get("version", FIRST_VERSION),
    )


def sender_facts(sent: ProducerFields) -> list[tuple[str, str]]:
    """Return the sender of a job, as names and texts: for an envelope all its attributes."""
    event = sent.meta.get("cloudevent") if isinstance(sent.meta, dict) else None
    facts: list[tuple[str, JsonValue]] = []
    if isinstance(event, dict):
        further = event.get("extensions")
        facts = [
            ("sent by", event.get("source")),
            ("as event", event.get("id")),
            ("event type", event.get("type")),
            *(
                (name, event.get(name))
                for name in ("subject", "time", "datacontenttype", "dataschema")
            ),
            *(further.items() if isinstance(further, dict) else ()),
        ]
    shown = [(name, value) for name, value in facts if name != "traceparent"]
    shown.append(("trace", sent.traceparent))
    return [(name, str(value)) for name, value in shown if value not in (None, "")]
