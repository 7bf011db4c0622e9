"""Bounds of what one step of a broker does, so that others come in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

Item = TypeVar("Item")
MOST_JOBS: Final = 500
"""Jobs that one script or transaction accepts or changes: some tens of milliseconds."""
TYPES_AT_ONCE: Final = 100
"""Types of which one script looks at all indexes."""
MOST_BYTES: Final = 4 * 1024 * 1024
"""What the words of one script may have in all, but for a single larger job."""


def chunks(
    items: Sequence[Item], size_of: Callable[[Item], int], *, most: int = MOST_JOBS
) -> Iterator[Sequence[Item]]:
    """Return stretches of at most `most` items and `MOST_BYTES`, each of one item at least."""
    first = size = 0
    for number, item in enumerate(items):
        own = size_of(item)
        if number > first and (number - first >= most or size + own > MOST_BYTES):
            yield items[first:number]
            first, size = number, 0
        size += own
    if items:
        yield items[first:]


def in_stretches(items: Sequence[Item], most: int = TYPES_AT_ONCE) -> list[Sequence[Item]]:
    """Cut into stretches of at most `most` items."""
    return [items[first : first + most] for first in range(0, len(items), most)]
