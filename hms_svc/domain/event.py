"""Events as CloudEvents 1.0: life-cycle events of jobs, and those that services announce."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec

from hms_svc.domain.errors import BadInput, MalformedJson
from hms_svc.domain.ids import event_id
from hms_svc.domain.plain_text import brief
from hms_svc.domain.strict_json import JsonValue, check_strict, decode, encode
from hms_svc.domain.timestamps import to_rfc3339
from hms_svc.domain.trace_context import read_traceparent

JOB_COMPLETED: Final = "job.completed"
JOB_FAILED: Final = "job.failed"
JOB_RETRYING: Final = "job.retrying"
JOB_REJECTED: Final = "job.rejected"
JOB_DEAD: Final = "job.dead"
JOB_HELD: Final = "job.held"
JOB_CANCELLED: Final = "job.cancelled"
EVENTS_GAP: Final = "events.gap"
AUDIT_SEALED: Final = "audit.sealed"
RECEIVER_GROUPS: Final = "receiver:"
"""Prefix of the consumer groups by which events are forwarded to receivers."""
MAX_EVENT_KEY_CHARACTERS: Final = 256

TRACE_MEMBER: Final = "hms:traceparent"
"""The key in the stored data of an event under which the trace of its job is kept; readers do not see it."""

_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
_OURS: Final = ("job.", "audit.", "events.")
_ALSO_OURS: Final = frozenset({"case.opened", "case.closed", "case.reopened"})
_GROUP: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


def is_of_types(event_type: str, globs: Iterable[str]) -> bool:
    """Return whether an event type matches one of the globs, such as `case.*`."""
    return any(fnmatchcase(event_type, glob) for glob in globs)


def check_group(name: str) -> str:
    """Return the name of a consumer group, or raise BadInput if it is not a valid one."""
    if _GROUP.fullmatch(name):
        return name
    raise BadInput(
        f"group {brief(name)}: expected 1 to 128 letters, digits and . _ : -, such as act"
    )


def check_consumer_group(name: str) -> str:
    """Return the name that a consumer chose for its group; BadInput if it is invalid or reserved."""
    if name.startswith(RECEIVER_GROUPS):
        raise BadInput(
            f"group {name:.80} is reserved: the groups of hms-svc that begin with {RECEIVER_GROUPS}"
            " forward events to receivers"
        )
    return check_group(name)


def check_draft(draft: Mapping[str, Any], ordinal: int) -> None:
    """Validate `type` and `key` of an event that a service announces, else raise BadInput.

    A type is 1 to 128 of a-z, 0-9, `.`, `_` and `-`, and not one that hms-svc announces
    itself; a key is optional, a string of at most 256 characters.
    """
    type, key = draft.get("type"), draft.get("key")
    if type is None:
        raise BadInput(f"event {ordinal} has no type: an event is {{'type', 'data'}}")
    if not isinstance(type, str) or not _TYPE.fullmatch(type):
        raise BadInput(f"event {ordinal}: type {brief(type)} does not match {_TYPE.pattern}")
    if type.startswith(_OURS) or type in _ALSO_OURS:
        raise BadInput(f"event {ordinal}: type {type} is announced by hms-svc itself")
    if key is None:
        return
    if not isinstance(key, str) or len(key) > MAX_EVENT_KEY_CHARACTERS:
        most = f"a string of at most {MAX_EVENT_KEY_CHARACTERS} characters"
        raise BadInput(f"event {ordinal}: key {brief(key)} is not {most}")
    try:
        check_strict(key)
    except MalformedJson as error:
        raise BadInput(f"event {ordinal}: key {brief(key)}: {error}") from error


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event. `position` is its place on the bus, 0 until it has been published."""

    id: str
    type: str
    subject: str
    at: int
    data: bytes
    position: int = 0

    def payload(self) -> JsonValue:
        """Decode `data`, without the trace that is kept in it."""
        return self._opened()[0]

    def written(self) -> bytes:
        """Return the payload as JSON."""
        return encode(self.payload()) if TRACE_MEMBER.encode() in self.data else self.data

    @property
    def traceparent(self) -> str | None:
        """The trace of the job that the event is about, None if there is none."""
        return self._opened()[1]

    def _opened(self) -> tuple[JsonValue, str | None]:
        value: JsonValue = decode(self.data)
        trace = value.pop(TRACE_MEMBER, None) if isinstance(value, dict) else None
        return value, read_traceparent(trace)

    def to_cloudevent(self, namespace: str) -> dict[str, JsonValue]:
        """Return the CloudEvents 1.0 JSON object of this event; the trace is its extension attribute."""
        data, traceparent = self._opened()
        event: dict[str, JsonValue] = {
            "specversion": "1.0",
            "id": self.id,
            "type": self.type,
            "source": f"/hms-svc/{namespace}",
            "subject": self.subject,
            "time": to_rfc3339(self.at),
            "datacontenttype": "application/json",
        }
        if traceparent is not None:
            event["traceparent"] = traceparent
        return {**event, "data": data}


def service_event(
    job_id: str, name: str, key: str, data: object, at: int, traceparent: str | None = None
) -> Event:
    """Return an event that a service announces: `key` is its own, or the ordinal within the run.

    `traceparent` is that of the job. It is not stored if the data is not an object.
    """
    if isinstance(data, Mapping) and read_traceparent(traceparent):
        data = {**data, TRACE_MEMBER: traceparent}
    return Event(
        id=event_id(job_id, name, key), type=name, subject=job_id, at=at, data=encode(data)
    )
