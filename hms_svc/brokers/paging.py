"""Pages of jobs: where one ended, as an opaque text; which queues it may concern; when it is full."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec

from hms_svc.domain.errors import BadInput
from hms_svc.domain.filter import Filter
from hms_svc.domain.views import JobPage, JobView

SLICE: Final = 200
_BEYOND: Final = 2**63
"""What no place in an order reaches."""


def may_match(where: Filter, type: str) -> bool:
    """Tell whether a job of this type may fit."""
    patterns = where.types()
    return patterns is None or any(fnmatchcase(type, pattern) for pattern in patterns)


class Slices:
    """How much a page wants: `limit` jobs (0 for all), after a look at `look` records (0 for any).

    `size` is how many records its walk reads at once: no more than it wants, where
    indexes answer; as many as may be, as soon as one is refused.
    """

    def __init__(self, where: Filter, *, limit: int, look: int) -> None:
        self.limit = limit
        self.look = look
        self._most = min(look or SLICE, SLICE)
        self.size = min(limit + 1, self._most) if limit and not where.unserved() else self._most

    def hear_refusal(self) -> None:
        """Hear that a record did not fit."""
        self.size = self._most


async def fill_page(
    walk: AsyncIterator[tuple[tuple[Any, ...], JobView]],
    where: Filter,
    now_ms: int,
    slices: Slices,
) -> JobPage:
    """Take jobs that match from a walk over all that may, until the page is full or has looked enough.

    The walk gives each job with its place; the place where the page ended makes its cursor.
    """
    found: list[JobView] = []
    looked, limit, look = 0, slices.limit, slices.look
    last: tuple[Any, ...] = ()
    async for place, view in walk:
        if look and looked == look:
            return JobPage(tuple(found), write_cursor(last), looked)
        looked += 1
        fits = where.matches(view, now_ms)
        if fits and limit and len(found) == limit:
            return JobPage(tuple(found), write_cursor(last), looked)
        if fits:
            found.append(view)
        else:
            slices.hear_refusal()
        last = place
    return JobPage(tuple(found), None, looked)


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
        found = msgspec.json.decode(raw, type=kind)
    except (ValueError, msgspec.DecodeError) as error:
        raise _no_cursor(cursor) from error
    if any(isinstance(part, int | float) and not abs(part) < _BEYOND for part in found):
        raise _no_cursor(cursor)
    return found


def _no_cursor(cursor: str) -> BadInput:
    return BadInput(f"cursor {cursor!r:.80} is not one that a page gave")
