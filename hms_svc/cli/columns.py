"""Which columns of a table fit a terminal: the least important are left out, and nothing wraps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

_AROUND: Final = 3
"""Padding on both sides of a cell, and the line before it."""
_EDGE: Final = 1
_LEAST_PROSE: Final = 16


class TableColumn(msgspec.Struct, frozen=True):
    """A column by its width in cells; `is_prose`: it may be shortened, with an ellipsis."""

    name: str
    width: int
    is_prose: bool

    @property
    def least(self) -> int:
        """The width below which it is left out."""
        return min(self.width, _LEAST_PROSE) if self.is_prose else self.width


def fit(columns: Sequence[TableColumn], available: int, leaving: Sequence[str]) -> dict[int, int]:
    """Return the width of each column that fits, by its number; the first is always complete.

    `leaving` names the columns to leave out first; then they are left out from the right.
    """
    shown = {number: column.least for number, column in enumerate(columns)}
    for number in _order(columns, leaving):
        if _total(shown) <= available:
            break
        del shown[number]
    for number, width in shown.items():
        spare = max(available - _total(shown), 0)
        shown[number] = min(columns[number].width, width + spare)
    return shown


def _order(columns: Sequence[TableColumn], leaving: Sequence[str]) -> list[int]:
    names = [column.name for column in columns]
    first = [names.index(name) for name in leaving if name in names[1:]]
    return first + [number for number in range(len(names) - 1, 0, -1) if number not in first]


def _total(shown: dict[int, int]) -> int:
    return sum(shown.values()) + len(shown) * _AROUND + _EDGE
