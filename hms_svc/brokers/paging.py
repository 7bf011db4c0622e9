"""Where a page of jobs ended, as an opaque text; and which queues a filter may concern."""

from __future__ import annotations

import base64
from fnmatch import fnmatchcase

import msgspec

from hms_svc.domain.errors import BadInput
from hms_svc.domain.filter import Filter

Key = tuple[int, float, str]
"""Rank of the state, place in its order, and what tells equal places apart."""


def may_match(where: Filter, type: str) -> bool:
    """Tell whether a job of this type may fit."""
    patterns = where.types()
    return patterns is None or any(fnmatchcase(type, pattern) for pattern in patterns)


def write_cursor(key: Key) -> str:
    """Write the cursor of a page that ended there."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def read_cursor(cursor: str | None) -> Key | None:
    """Read a cursor; BadInput for a text that no page gave."""
    if cursor is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        key: Key = msgspec.json.decode(raw, type=Key)
    except (ValueError, msgspec.DecodeError) as error:
        raise BadInput(f"cursor {cursor!r:.80} is not one that a page gave") from error
    return key
