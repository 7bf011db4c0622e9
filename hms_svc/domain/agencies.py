"""Other agencies: who sends envelopes here, and who is notified of events."""

from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec

from hms_svc.domain.event import is_of_types


class EventMapping(msgspec.Struct, frozen=True):
    """Events whose type fits the glob `event` become jobs of the type `job`."""

    event: str
    job: str


class Sender(msgspec.Struct, frozen=True, kw_only=True):
    """Who sends envelopes: `source` is a glob over theirs; with `secrets` each request is signed."""

    name: str
    source: str
    secrets: tuple[str, ...] = ()
    mappings: tuple[EventMapping, ...] = ()

    def __repr__(self) -> str:
        return f"Sender({self.name!r}, {self.source!r})"


class Receiver(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told, at `url`, of the events whose type fits one of the globs `types`."""

    name: str
    url: str
    secret: str
    types: tuple[str, ...]
    allow_private: bool = False

    def __repr__(self) -> str:
        return f"Receiver({self.name!r}, {self.types!r})"

    def takes(self, event_type: str) -> bool:
        """Return whether this receiver is notified of events of a type."""
        return is_of_types(event_type, self.types)


class Agencies(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, in the order of their file: the first that fits decides."""

    senders: tuple[Sender, ...] = ()
    receivers: tuple[Receiver, ...] = ()

    def sender_of(self, source: str) -> Sender | None:
        """Return the sender that a source belongs to, None for a stranger's."""
        return next((sender for sender in self.senders if fnmatchcase(source, sender.source)), None)

    def job_type_of(self, source: str, event_type: str) -> str | None:
        """Return the type of job that an event becomes, None where no mapping takes it."""
        sender = self.sender_of(source)
        for mapping in sender.mappings if sender else ():
            if fnmatchcase(event_type, mapping.event):
                return mapping.job
        return None
