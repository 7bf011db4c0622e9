"""Events on their way to receivers: one job for each receiver and event."""

from __future__ import annotations

from typing import Final

from hms_svc.domain.agencies import Receiver
from hms_svc.domain.event import Event
from hms_svc.domain.ids import derived_id
from hms_svc.domain.job import Job
from hms_svc.domain.strict_json import encode

DELIVER: Final = "event.deliver"
"""The type of the jobs that deliver events."""


def is_due(receiver: Receiver, event: Event) -> bool:
    """Return whether a receiver is notified of an event; events about deliveries are never delivered."""
    return receiver.takes(event.type) and not _is_of_a_delivery(event)


def delivery_job(receiver: Receiver, event: Event, namespace: str, now_ms: int) -> Job:
    """Return the job that delivers an event: always the same id for the same receiver and event."""
    data = {"receiver": receiver.name, "event": event.to_cloudevent(namespace)}
    return Job(
        id=derived_id("delivery", receiver.name, event.id),
        type=DELIVER,
        data=encode(data),
        enqueued_at=now_ms,
    )


def _is_of_a_delivery(event: Event) -> bool:
    if not event.type.startswith("job."):
        return False
    payload = event.payload()
    return isinstance(payload, dict) and payload.get("type") == DELIVER
