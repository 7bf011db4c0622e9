"""The pure part of a page: its sections and its search matches."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from hms_svc.tui.text import Cell, Line


class Sections:
    """The sections of a page, each from its heading to the line before the next heading."""

    def __init__(self, heads: Mapping[int, str], lines: int) -> None:
        self.heads = heads
        self._starts = sorted(heads)
        self._lines = lines

    def name_at(self, number: int) -> str | None:
        """Return the name of the section of a line; None before the first section."""
        at = bisect_right(self._starts, number)
        return self.heads[self._starts[at - 1]] if at else None

    def head_of(self, name: str) -> int:
        """Return the line number of the heading of a section."""
        return next(number for number in self._starts if self.heads[number] == name)

    def lines_of(self, head: int) -> int:
        """Return how many lines a section has below its heading."""
        at = bisect_right(self._starts, head)
        end = self._starts[at] - 1 if at < len(self._starts) else self._lines
        return max(0, end - head - 1)


def moved_stop(
    before: Mapping[int, str], marked: int | None, after: Mapping[int, str]
) -> int | None:
    """Return the marked line after a page has changed.

    Both mappings have the target of each line that can be marked. The mark stays with its target; if that is gone,
    it moves to the next one below, or to the last.
    """
    if marked is None:
        return None
    same = [each for each in after if after[each] == before.get(marked)]
    if same:
        return min(same, key=lambda each: abs(each - marked))
    below = [each for each in after if each >= marked]
    return min(below) if below else max(after, default=None)


def found_in(lines: Sequence[Line], pattern: re.Pattern[str]) -> list[int]:
    """Return the numbers of the lines that have a match."""
    return [
        number
        for number, whole in enumerate(lines)
        if pattern.search("".join(part.text for part in whole))
    ]


def marked(shown: Line, pattern: re.Pattern[str] | None) -> Iterator[tuple[Cell, bool]]:
    """Yield the cells of a line, split at the matches, and whether each is inside a match."""
    text = "".join(part.text for part in shown)
    spans = [match.span() for match in pattern.finditer(text)] if pattern is not None else []
    edges = sorted({edge for span in spans for edge in span})
    start = 0
    for part in shown:
        end = start + len(part.text)
        cuts = [start, *(edge for edge in edges if start < edge < end), end]
        for left, right in pairwise(cuts):
            is_hit = any(first <= left and right <= last for first, last in spans)
            yield Cell(text[left:right], part.role), is_hit
        start = end
