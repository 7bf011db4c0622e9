"""Heads of the audit chain as a broker stores them: one line of fields under a name for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from hms_svc.domain.audit_heads import AuditHead, Doubt, KeptHeads

NEWEST: Final = "newest"
_DAY: Final = "day:"
_DOUBT: Final = "doubt:"
_NONE: Final = "-"


def head_line(head: AuditHead) -> str:
    """Return the line of a head: link, digest, time, unproven rows, signature."""
    fields = (head.link, head.digest, head.at, head.unproven, head.signature)
    return " ".join(str(field) or _NONE for field in fields)


def mark_of(head: AuditHead | None) -> str:
    """Return the beginning of the line of this head; empty for None."""
    return "" if head is None else f"{head.link} {head.digest or _NONE} {head.at} "


def day_name(head: AuditHead) -> str:
    """Return the name of a head's entry as the last one of its day."""
    return f"{_DAY}{head.day}"


def doubt_name(doubt: Doubt) -> str:
    """Return the name of a doubt's entry."""
    return f"{_DOUBT}{doubt.found_link}:{doubt.found_digest or _NONE}"


def doubt_line(doubt: Doubt) -> str:
    """Return the line of a doubt: time, link and digest of the head, link and digest that were found."""
    fields = (doubt.at, doubt.link, doubt.digest, doubt.found_link, doubt.found_digest)
    return " ".join(str(field) or _NONE for field in fields)


def days_beyond(names: Iterable[str], most: int) -> list[str]:
    """Return the names of the days beyond the newest `most`."""
    days = sorted((name for name in names if name.startswith(_DAY)), key=_number)
    return days[: max(0, len(days) - most)]


def count_doubts(names: Iterable[str]) -> int:
    """Count the doubts."""
    return sum(name.startswith(_DOUBT) for name in names)


def may_follow(newest: str, head: AuditHead) -> bool:
    """Return whether a head has a higher link than the newest line, or is the same head."""
    before = _read_head(newest)
    if before is None:
        return False
    return head.link > before.link or (head.link, head.digest) == (before.link, before.digest)


def day_of_line(line: str) -> str:
    """Return the day name of a line that `may_follow` could read."""
    head = _read_head(line)
    assert head is not None
    return day_name(head)


def read_heads(entries: Mapping[str, str]) -> KeptHeads:
    """Return the heads and doubts of all entries."""
    days = sorted((name for name in entries if name.startswith(_DAY)), key=_number)
    daily = [_read_head(entries[name]) for name in days]
    doubts = [_read_doubt(entries[name]) for name in entries if name.startswith(_DOUBT)]
    newest = _read_head(entries[NEWEST]) if NEWEST in entries else None
    lost = [*daily, *doubts].count(None) + (NEWEST in entries and newest is None)
    return KeptHeads(
        newest=newest,
        daily=tuple(head for head in daily if head is not None),
        doubts=tuple(
            sorted((doubt for doubt in doubts if doubt is not None), key=lambda doubt: doubt.at)
        ),
        unreadable=lost,
    )


def _number(name: str) -> int:
    digits = name.removeprefix(_DAY)
    return int(digits) if digits.isdecimal() and len(digits) < 19 else 0


def _read_head(line: str) -> AuditHead | None:
    try:
        link, digest, at, unproven, signature = line.split(" ")
        return AuditHead(
            link=int(link),
            digest=_field(digest),
            at=int(at),
            unproven=int(unproven),
            signature=_field(signature),
        )
    except ValueError:
        return None


def _read_doubt(line: str) -> Doubt | None:
    try:
        at, link, digest, found_link, found_digest = line.split(" ")
        return Doubt(
            at=int(at),
            link=int(link),
            digest=_field(digest),
            found_link=int(found_link),
            found_digest=_field(found_digest),
        )
    except ValueError:
        return None


def _field(text: str) -> str:
    return "" if text == _NONE else text
