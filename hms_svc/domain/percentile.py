"""Percentiles of a few numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Number = TypeVar("Number", int, float)


def percentile(numbers: Sequence[Number], share: float) -> Number:
    """Return the nearest-rank percentile of some numbers."""
    ordered = sorted(numbers)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * int(share * 100) // 100) - 1))]
