"""Pages of jobs: their cursors, the types they may contain, and when they are full."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from hms_svc.brokers.chunks import in_slices
from hms_svc.domain.errors import BadInput, FilterTooCostly
from hms_svc.domain.filter import Filter
from hms_svc.domain.globs import Glob, has_globs
from hms_svc.domain.views import JobPage, JobView
from hms_svc.ports.filter_judge import MOST_SHOWN_BYTES, MOST_WORK, FilterJudge
from hms_svc.ports.side_thread import on_side_thread

Place = TypeVar("Place", bound=tuple[Any, ...])
SLICE: Final = 200
WINDOW: Final = 1000
"""Records that a prefilter checks in one statement or script, with one check of the payload."""
NAMED_AT_ONCE: Final = 10
"""Records that are read at once if a filter names ids: each may have a megabyte."""
_MOST_TYPE_TESTS: Final = 1_000_000
_TYPES_AT_ONCE: Final = 500
_BEYOND: Final = 2**63
"""Larger than any position in an order."""


async def types_that_may_match(where: Filter, types: Sequence[str]) -> list[str]:
    """Return the types that may have a job that matches the filter, in order.

    Raise FilterTooCostly if the filter has too many patterns for the number of types.
    """
    patterns = where.types()
    if patterns is None:
        return list(types)
    exact = frozenset(patterns)
    globs = [Glob(pattern) for pattern in patterns if has_globs(pattern)]
    if len(globs) * len(types) > _MOST_TYPE_TESTS:
        raise FilterTooCostly(
            f"the filter has {len(globs)} type patterns; with {len(types)} known types "
            f"at most {_MOST_TYPE_TESTS // len(types)} patterns are allowed"
        )
    found: list[str] = []
    for some in in_slices(types, _TYPES_AT_ONCE):
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
    """Ignore the effort: the number of types and patterns is bounded."""


class Step(NamedTuple, Generic[Place]):
    """A job of a walk with its position; `skipped` records before it did not meet the prefilter."""

    place: Place
    view: JobView
    skipped: int = 0


class Slices:
    """The size of a page: `limit` jobs (0 for all), and `examine` records to examine (0 for any number).

    With `examine` the page also ends when the filter has taken too much work, or the jobs found
    are large. `size` is how many records are read at once: only as many as the page needs while
    every record matches, and the maximum once one did not match. `prefilter` chooses them among
    the next `window` records.
    """

    def __init__(self, where: Filter, now_ms: int, *, limit: int, examine: int) -> None:
        self.limit = limit
        self.examine = examine
        self.now_ms = now_ms
        self.prefilter = where.prefilter(now_ms)
        self.examined = 0
        self._most = self._window = min(examine or SLICE, SLICE)
        self.size = min(limit + 1, self._most) if limit and not where.unserved() else self._most

    @property
    def window(self) -> int:
        """How many records are considered at once."""
        if self.prefilter is None:
            return self.size
        left = self.examine - self.examined if self.examine else WINDOW
        return max(1, min(left, self._window))

    def note_passed(self, passed: int, considered: int) -> None:
        """Record how many of the considered records met the prefilter: the next window has about `size` such."""
        fitting = self.size * considered // max(passed, 1)
        self._window = max(self._most, min(fitting, WINDOW))

    def note_mismatch(self) -> None:
        """Record that a record did not match."""
        self.size = self._most


async def fill_page(walk: AsyncIterator[Step[Any]], where: Filter, slices: Slices) -> JobPage:
    """Return a page of the matching jobs of a walk; it ends when it is full or has examined enough.

    The walk yields each job with its position; the position where the page ends is its cursor.
    """
    found: list[JobView] = []
    judge = FilterJudge(where, slices.now_ms)
    size, limit, examine = 0, slices.limit, slices.examine
    last: tuple[Any, ...] = ()
    async for place, view, skipped in walk:
        is_enough = (
            slices.examined >= examine or judge.work >= MOST_WORK or size >= MOST_SHOWN_BYTES
        )
        if examine and is_enough:
            return JobPage(tuple(found), write_cursor(last), slices.examined, judge.work)
        slices.examined += skipped + 1
        fits = await judge.fits(view)
        if fits and limit and len(found) == limit:
            return JobPage(tuple(found), write_cursor(last), slices.examined, judge.work)
        if fits:
            found.append(view)
            size += len(view.data)
        else:
            slices.note_mismatch()
        last = place
    return JobPage(tuple(found), None, slices.examined, judge.work)


def write_cursor(key: tuple[Any, ...]) -> str:
    """Return the cursor of a page that ended at a position."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def read_cursor(cursor: str | None, kind: Any) -> Any:
    """Return the position in a cursor as a tuple of type `kind`, None without a cursor.

    The tuple is the rank of the state, the position in its order, and a tie-breaker.
    Raise BadInput for an invalid cursor.
    """
    if cursor is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        position = msgspec.json.decode(raw, type=kind)
    except (ValueError, msgspec.DecodeError) as error:
        raise _bad_cursor(cursor) from error
    if any(isinstance(part, int | float) and not abs(part) < _BEYOND for part in position):
        raise _bad_cursor(cursor)
    return position


def _bad_cursor(cursor: str) -> BadInput:
    return BadInput(f"cursor {cursor!r:.80} is invalid: use the cursor of an earlier page")
