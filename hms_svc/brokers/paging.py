"""Where a page of jobs ended, as an opaque text; and which queues a filter may concern."""

from __future__ import annotations

import base64
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from hms_svc.domain.errors import BadInput
from hms_svc.domain.filter import Filter


def may_match(where: Filter, type: str) -> bool:
    """Tell whether a job of this type may fit."""
    patterns = where.types()
    return patterns is None or any(fnmatchcase(type, pattern) for pattern in patterns)


def write_cursor(key: tuple[Any, ...]) -> str:
    """Write the cursor of a page that ended there."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def read_cursor(cursor: str | None, kind: Any) -> Any:
    """Read a cursor into a kind of tuple, None where there is none; BadInput for another text.

    The tuple is rank of the state, place in its order, and what tells equal places apart.
    """
    if cursor is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        return msgspec.json.decode(raw, type=kind)
    except (ValueError, msgspec.DecodeError) as error:
        raise BadInput(f"cursor {cursor!r:.80} is not one that a page gave") from error
