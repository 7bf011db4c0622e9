"""The scripts of the bus, and of the heads of the audit chain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from hms_svc.brokers.redis.calls import ScriptCall, binary, nothing
from hms_svc.domain.event import Event


class GroupEntries(NamedTuple):
    """First and last position that were lost, if any, and the entries."""

    gap: tuple[int, int] | None
    entries: list[tuple[bytes, list[bytes]]]


def publish(events: Iterable[Event]) -> ScriptCall[None]:
    """Append events; one whose id exists already is skipped."""
    rows = [(event.id, event.at, event.type, event.subject, binary(event.data)) for event in events]
    return ScriptCall("publish", nothing, events=rows)


def read_group(
    group: str, *, limit: int, from_start: bool, again_after_ms: int
) -> ScriptCall[GroupEntries]:
    """Deliver events to a group: overdue ones first, then new ones."""
    return ScriptCall(
        "read_group",
        _group_entries,
        group=group,
        limit=limit,
        from_start=from_start,
        again_after_ms=again_after_ms,
    )


def _group_entries(reply: list[Any]) -> GroupEntries:
    gap, entries = reply
    return GroupEntries((int(gap[0]), int(gap[1])) if gap else None, entries)


def trim_bus(
    *, most: int, before: int, limit: int, below: int = 0, settled: int = 0
) -> ScriptCall[int]:
    """Remove the oldest events, see `trim_bus.lua`; return how many."""
    return ScriptCall(
        "trim_bus", int, most=most, before=before, limit=limit, below=below, settled=settled
    )


def keep_head(line: str, *, over: str, days: int) -> ScriptCall[bool]:
    """Make a head of the audit chain the newest if the line of the newest begins with `over`."""
    return ScriptCall("audit_heads", bool, act="keep", line=line, over=over, most=days)


def doubt_head(name: str, line: str, *, most: int) -> ScriptCall[None]:
    """Store evidence about a head, up to a limit."""
    return ScriptCall("audit_heads", nothing, act="doubt", name=name, line=line, most=most)


def replace_heads(line: str, *, over: str, further: Sequence[tuple[str, str]]) -> ScriptCall[bool]:
    """Replace all stored heads by a newest one and further entries (name and line)."""
    flat = [text for entry in further for text in entry]
    return ScriptCall("audit_heads", bool, act="replace", line=line, over=over, further=flat)
