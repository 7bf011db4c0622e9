"""Payloads in one line; for jobs with the same cause, only what differs between them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from hms_svc.domain.strict_json import JsonValue, decode
from hms_svc.domain.views import JobView

MOST_BYTES: Final = 4096
MAX_CHARACTERS: Final = 300
"""The limits of what is parsed and shown of a payload."""


def payload_summary(data: bytes, leaving: Mapping[str, JsonValue] | None = None) -> str:
    """Return a payload in one line without the entries `leaving`; only its start if it is long or not an object."""
    value = _object(data)
    if value is None:
        return data[:MAX_CHARACTERS].decode(errors="replace")
    leaving = leaving or {}
    described = [
        f"{name}: {_value_text(each)}"
        for name, each in value.items()
        if not _is_in(leaving, name, each)
    ]
    return ", ".join(described)[:MAX_CHARACTERS]


def differing_summary(data: bytes, shared: Mapping[str, JsonValue]) -> str:
    """Return the entries of a payload that are not `shared` with others; all of it if all are shared."""
    return payload_summary(data, shared) or payload_summary(data)


def common_entries(jobs: Sequence[JobView]) -> dict[str, JsonValue]:
    """Return the entries that the payloads of all these jobs share; none for a single job."""
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
    """Return the only cause that a filter names, or that all of several jobs share; else an empty string."""
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


def _value_text(value: JsonValue) -> str:
    return value if isinstance(value, str) else str(value)
