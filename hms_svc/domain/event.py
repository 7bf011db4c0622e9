"""Events as CloudEvents 1.0: life-cycle events of jobs, and those that services announce."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from hms_svc.domain.errors import BadInput
from hms_svc.domain.ids import event_id
from hms_svc.domain.strict_json import JsonValue, decode, encode
from hms_svc.domain.timestamps import to_rfc3339

JOB_COMPLETED: Final = "job.completed"
JOB_FAILED: Final = "job.failed"
JOB_RETRYING: Final = "job.retrying"
JOB_REJECTED: Final = "job.rejected"
JOB_DEAD: Final = "job.dead"
JOB_HELD: Final = "job.held"
JOB_CANCELLED: Final = "job.cancelled"
EVENTS_GAP: Final = "events.gap"
AUDIT_SEALED: Final = "audit.sealed"


_GROUP: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


def is_of_types(event_type: str, globs: Iterable[str]) -> bool:
    """Tell whether a type of event fits one of the globs, such as `case.*`."""
    return any(fnmatchcase(event_type, glob) for glob in globs)


def check_group(name: str) -> str:
    """Give back the name of a consumer group, or raise BadInput for what is none."""
    if _GROUP.fullmatch(name):
        return name
    raise BadInput(f"group {name!r:.80}: want 1 to 128 letters, digits and . _ : -, such as act")


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One announcement. `position` is its place on the bus, 0 until it has been published."""

    id: str
    type: str
    subject: str
    at: int
    data: bytes
    position: int = 0

    def payload(self) -> JsonValue:
        """Decode `data`."""
        value: JsonValue = decode(self.data)
        return value

    def to_cloudevent(self, namespace: str) -> dict[str, JsonValue]:
        """Give the CloudEvents 1.0 JSON object of this event."""
        return {
            "specversion": "1.0",
            "id": self.id,
            "type": self.type,
            "source": f"/hms-svc/{namespace}",
            "subject": self.subject,
            "time": to_rfc3339(self.at),
            "datacontenttype": "application/json",
            "data": self.payload(),
        }


def service_event(job_id: str, name: str, key: str, data: object, at: int) -> Event:
    """Make an event that a service announces: `key` is its own, or the ordinal within the run."""
    return Event(
        id=event_id(job_id, name, key), type=name, subject=job_id, at=at, data=encode(data)
    )
