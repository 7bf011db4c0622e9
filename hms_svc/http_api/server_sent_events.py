"""Server-sent events as bytes; those of the bus are made once for all who follow."""

from __future__ import annotations

from hms_svc.domain.event import Event
from hms_svc.domain.strict_json import encode


def sse(name: str, body: bytes, id: str = "") -> bytes:
    """Give one server-sent event; `body` is JSON, which has no line breaks."""
    head = f"id: {id}\n" if id else ""
    return f"{head}event: {name}\n".encode() + b"data: " + body + b"\n\n"


class Announced:
    """An event of the bus on its way to followers."""

    __slots__ = ("_sent", "event")

    def __init__(self, event: Event) -> None:
        self.event = event
        self._sent = b""

    def to_sse(self, namespace: str) -> bytes:
        """Give it as a CloudEvent whose id resumes after it; encoded for the first who asks."""
        if not self._sent:
            body = encode(self.event.to_cloudevent(namespace))
            self._sent = sse(self.event.type, body, str(self.event.position))
        return self._sent
