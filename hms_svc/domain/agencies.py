"""Other agencies: those that send envelopes here, and those that are notified of events."""

from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec

from hms_svc.domain.event import is_of_types


class EventMapping(msgspec.Struct, frozen=True):
    """Maps events whose type matches the glob `event` to jobs of the type `job`."""

    event: str
    job: str


class Sender(msgspec.Struct, frozen=True, kw_only=True):
    """An agency that sends envelopes: `source` is a glob over their sources; with `secrets`, each request is signed."""

    name: str
    source: str
    secrets: tuple[str, ...] = ()
    mappings: tuple[EventMapping, ...] = ()

    def __repr__(self) -> str:
        return f"Sender({self.name!r}, {self.source!r})"


class Receiver(msgspec.Struct, frozen=True, kw_only=True):
    """An agency that is notified, at `url`, of the events whose type matches one of the globs `types`."""

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
    """All agencies, in the order of their file: the first match decides."""

    senders: tuple[Sender, ...] = ()
    receivers: tuple[Receiver, ...] = ()

    def sender_of(self, source: str) -> Sender | None:
        """Return the sender that a source belongs to, None for an unknown one."""
        return next((sender for sender in self.senders if fnmatchcase(source, sender.source)), None)

    def job_type_of(self, source: str, event_type: str) -> str | None:
        """Return the type of job that an event becomes, None if no mapping matches."""
        sender = self.sender_of(source)
        for mapping in sender.mappings if sender else ():
            if fnmatchcase(event_type, mapping.event):
                return mapping.job
        return None
