"""Pages of jobs: where one ended, as an opaque text; which queues it may concern; when it is full."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from hms_svc.brokers.chunks import in_stretches
from hms_svc.domain.errors import BadInput, FilterTooCostly
from hms_svc.domain.filter import Filter
from hms_svc.domain.globs import Glob, has_globs
from hms_svc.domain.views import JobPage, JobView
from hms_svc.ports.filter_judge import MOST_SHOWN_BYTES, MOST_WORK, FilterJudge
from hms_svc.ports.side_thread import on_side_thread

SLICE: Final = 200
NAMED_AT_ONCE: Final = 10
"""Records that are read at once where a filter names ids: each may have a megabyte."""
_MOST_TYPE_TESTS: Final = 1_000_000
_TYPES_AT_ONCE: Final = 500
_BEYOND: Final = 2**63
"""What no place in an order reaches."""


async def types_that_may_match(where: Filter, types: Sequence[str]) -> list[str]:
    """Return the types that may have a job that the filter matches, in their order.

    Raises FilterTooCostly where the filter has too many patterns for so many types.
    """
    patterns = where.types()
    if patterns is None:
        return list(types)
    exact = frozenset(patterns)
    globs = [Glob(pattern) for pattern in patterns if has_globs(pattern)]
    if len(globs) * len(types) > _MOST_TYPE_TESTS:
        raise FilterTooCostly(
            f"the filter has {len(globs)} patterns of types for {len(types)} types: "
            f"at most {_MOST_TYPE_TESTS // len(types)} can be looked for among so many"
        )
    found: list[str] = []
    for some in in_stretches(types, _TYPES_AT_ONCE):
        found += (
            await on_side_thread(partial(_fitting, some, exact, globs))
            if globs
            else [type for type in some if type in exact]
        )
    return found


def _fitting(types: Sequence[str], exact: frozenset[str], globs: Sequence[Glob]) -> list[str]:
    return [
        type for type in types if type in exact or any(glob.matches(type, _free) for glob in globs)
    ]


def _free(characters: int) -> None:
    """Count nothing: the number of types and patterns is bounded."""


class Slices:
    """How much a page wants: `limit` jobs (0 for all), after a check at `look` records (0 for any).

    With a `look` it is also over once its filter has taken its work, or what was found is large.
    `size` is how many records its walk reads at once: no more than it wants, where
    indexes answer; as many as may be, as soon as one is refused.
    """

    def __init__(self, where: Filter, *, limit: int, examine: int) -> None:
        self.limit = limit
        self.examine = examine
        self._most = min(examine or SLICE, SLICE)
        self.size = min(limit + 1, self._most) if limit and not where.unserved() else self._most

    def read_refusal(self) -> None:
        """Note that a record did not fit."""
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
    judge = FilterJudge(where, now_ms)
    examined, size, limit, examine = 0, 0, slices.limit, slices.examine
    last: tuple[Any, ...] = ()
    async for place, view in walk:
        is_enough = examined >= examine or judge.work >= MOST_WORK or size >= MOST_SHOWN_BYTES
        if examine and is_enough:
            return JobPage(tuple(found), write_cursor(last), examined, judge.work)
        examined += 1
        fits = await judge.fits(view)
        if fits and limit and len(found) == limit:
            return JobPage(tuple(found), write_cursor(last), examined, judge.work)
        if fits:
            found.append(view)
            size += len(view.data)
        else:
            slices.read_refusal()
        last = place
    return JobPage(tuple(found), None, examined, judge.work)


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
