"""Bounds on the work of one step of a broker, so that other calls are served in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

Item = TypeVar("Item")
MOST_JOBS: Final = 500
"""Jobs that one script or transaction accepts or changes: takes some tens of milliseconds."""
TYPES_AT_ONCE: Final = 100
"""Types whose indexes one script reads."""
MOST_BYTES: Final = 4 * 1024 * 1024
"""The maximum size of the arguments of one script, except for a single larger job."""


def chunks(
    items: Sequence[Item], size_of: Callable[[Item], int], *, most: int = MOST_JOBS
) -> Iterator[Sequence[Item]]:
    """Return chunks of at most `most` items and `MOST_BYTES`, with at least one item each."""
    first = size = 0
    for number, item in enumerate(items):
        own = size_of(item)
        if number > first and (number - first >= most or size + own > MOST_BYTES):
            yield items[first:number]
            first, size = number, 0
        size += own
    if items:
        yield items[first:]


def in_slices(items: Sequence[Item], most: int = TYPES_AT_ONCE) -> list[Sequence[Item]]:
    """Return the items in slices of at most `most`."""
    return [items[first : first + most] for first in range(0, len(items), most)]
