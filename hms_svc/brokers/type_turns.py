"""In which order a claim asks the types of a worker for jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from hms_svc.ports.broker import ServedType


class TypeTurns:
    """Lets types go first in turn.

    Without weights each claim begins with another type. With weights the type goes first that would have had the
    fewest jobs for its weight with one more. A type that had no job when others had saves up nothing: it is at least
    as far as they were.
    """

    def __init__(self) -> None:
        self._next = 0
        self._had: dict[str, float] = {}

    def order(self, types: Sequence[ServedType]) -> list[ServedType]:
        """Return the types in the order in which the next claim asks them."""
        self._next = (self._next + 1) % max(1, len(types))
        turned = [*types[self._next :], *types[: self._next]]
        if _are_equal(types):
            return turned
        return sorted(
            turned, key=lambda served: self._had.get(served.type, 0.0) + 1 / served.weight
        )

    def note(self, asked: Sequence[ServedType], claimed: Iterable[str], limit: int) -> None:
        """Note the types of the jobs that a claim returned which asked these types, in this order, for `limit` jobs."""
        if _are_equal(asked) or not (counts := Counter(claimed)):
            return
        had, is_full = self._had, counts.total() >= limit
        floor = min(had.get(type, 0.0) for type in counts)
        for served in asked:
            before = had.get(served.type, 0.0)
            more = counts.pop(served.type, 0) / served.weight
            had[served.type] = before + more if more else max(before, floor)
            if is_full and not counts:
                return  # the others were not asked


def _are_equal(types: Sequence[ServedType]) -> bool:
    return all(served.weight == 1 for served in types)
