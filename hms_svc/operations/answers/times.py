"""The format of times in answers."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec

from hms_svc.domain.timestamps import to_rfc3339

Time: TypeAlias = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
"""RFC 3339 in UTC with milliseconds."""
JsonMembers: TypeAlias = Annotated[
    dict[str, Any], msgspec.Meta(extra_json_schema={"additionalProperties": True})
]
"""An object with any members."""


def time_or_none(unix_ms: int | None) -> str | None:
    """Return a time as text, None if there is none."""
    return None if unix_ms is None else to_rfc3339(unix_ms)


def age_seconds(unix_ms: int, now_ms: int) -> float:
    """Return how long ago a time was, to the millisecond; 0 for a time in the future."""
    return round(max(now_ms - unix_ms, 0) / 1000, 3)
