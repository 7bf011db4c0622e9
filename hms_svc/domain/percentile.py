"""Percentiles of a few numbers."""

from __future__ import annotations

from collections.abc import Sequence


def percentile(numbers: Sequence[int], share: float) -> int:
    """Return the nearest-rank percentile of some numbers."""
    ordered = sorted(numbers)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * int(share * 100) // 100) - 1))]
