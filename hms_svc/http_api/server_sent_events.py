"""Server-sent events as bytes; those of the bus are encoded once for all followers."""

from __future__ import annotations

from typing import Final

from hms_svc.domain.event import Event
from hms_svc.domain.strict_json import encode

_BREAKS: Final = str.maketrans("\r\n\0", "   ")


def sse(name: str, body: bytes, id: str = "") -> bytes:
    """Return one server-sent event; `body` is JSON, which has no line breaks.

    Line breaks of the other values become blanks: none of them may begin a new field.
    """
    head = f"id: {id.translate(_BREAKS)}\n" if id else ""
    return f"{head}event: {name.translate(_BREAKS)}\n".encode() + b"data: " + body + b"\n\n"


class Announced:
    """An event of the bus on its way to followers."""

    __slots__ = ("_sent", "event")

    def __init__(self, event: Event) -> None:
        self.event = event
        self._sent = b""

    def to_sse(self, namespace: str) -> bytes:
        """Return the event as a CloudEvent whose id resumes after it; encoded on first use."""
        if not self._sent:
            body = encode(self.event.to_cloudevent(namespace))
            self._sent = sse(self.event.type, body, str(self.event.position))
        return self._sent
