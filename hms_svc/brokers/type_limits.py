"""How both brokers store the limits that types declare: as JSON, one pair of numbers for each."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hms_svc.domain.job_limits import Limit


def limits_text(limits: Sequence[Limit | None]) -> str:
    """Return the limits as JSON, empty if there are none."""
    return msgspec.json.encode(tuple(limits)).decode() if limits else ""


def read_keyed_limits(text: str | bytes | None) -> tuple[Limit | None, ...]:
    """Return the limits with a key in a text that `limits_text` made, None in place of others."""
    return msgspec.json.decode(text, type=tuple[Limit | None, ...]) if text else ()


def with_keys(text: str | bytes | None) -> tuple[Limit, ...]:
    """Return the limits with a key alone, of a text that `limits_text` made."""
    return tuple(limit for limit in read_keyed_limits(text) if limit is not None)


def read_limits(text: str | bytes | None) -> tuple[Limit, ...]:
    """Return the limits in a text that `limits_text` made."""
    return msgspec.json.decode(text, type=tuple[Limit, ...]) if text else ()
