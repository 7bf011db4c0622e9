"""Payloads in one line: of jobs that failed alike, what differs between them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from hms_svc.domain.strict_json import JsonValue, decode
from hms_svc.domain.views import JobView

MOST_BYTES: Final = 4096
MOST_WORDS: Final = 300
"""More of a payload is not read for a line of it."""


def payload_words(data: bytes, leaving: Mapping[str, JsonValue] | None = None) -> str:
    """Return a payload in one line, without the entries `leaving`; of a long one, or no object, its start."""
    value = _object(data)
    if value is None:
        return data[:MOST_WORDS].decode(errors="replace")
    leaving = leaving or {}
    described = [
        f"{name}: {_word(each)}" for name, each in value.items() if not _is_in(leaving, name, each)
    ]
    return ", ".join(described)[:MOST_WORDS]


def differing_words(data: bytes, shared: Mapping[str, JsonValue]) -> str:
    """Return what of a payload is not `shared` with others; all of it where that is nothing."""
    return payload_words(data, shared) or payload_words(data)


def common_entries(jobs: Sequence[JobView]) -> dict[str, JsonValue]:
    """Return the entries that the payloads of all these jobs have; none of a single one."""
    found = [_object(job.data) for job in jobs]
    if len(found) < 2 or None in found:
        return {}
    known = [each for each in found if each is not None]
    first, *others = known
    return {
        name: value
        for name, value in first.items()
        if all(_is_in(other, name, value) for other in others)
    }


def common_cause(jobs: Iterable[JobView], causes: Sequence[str]) -> str:
    """Return the only one of the `causes` that a filter names, or that all of several jobs have; else nothing."""
    if len(causes) == 1:
        return causes[0]
    found = [job.cause for job in jobs]
    return found[0] if len(found) > 1 and len(set(found)) == 1 else ""


def _object(data: bytes) -> dict[str, JsonValue] | None:
    if len(data) > MOST_BYTES:
        return None
    try:
        value = decode(data)
    except ValueError:
        return None
    return dict(value) if isinstance(value, dict) else None


def _is_in(entries: Mapping[str, JsonValue], name: str, value: JsonValue) -> bool:
    return name in entries and entries[name] == value


def _word(value: JsonValue) -> str:
    return value if isinstance(value, str) else str(value)
