"""Patterns with `*` and `?`, matched in linear time if no `?` follows a `*`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

CHARACTERS: Final = frozenset("*?")
_STEPS: Final = 1_000_000
"""Comparisons of one call at most: no other thread of the process can run during one."""
Spend = Callable[[int], None]


def has_globs(text: str) -> bool:
    """Return whether a text is a pattern."""
    return not CHARACTERS.isdisjoint(text)


class Glob:
    """One pattern: `*` matches any text, `?` any one character, everything else itself."""

    def __init__(self, text: str) -> None:
        pieces = text.split("*")
        self._is_whole = len(pieces) == 1
        self._first = _Piece(pieces[0])
        self._middle = [_Piece(piece) for piece in pieces[1:-1] if piece]
        self._last = _Piece(pieces[-1])

    def matches(self, text: str, spend: Spend) -> bool:
        """Return whether the whole text matches. `spend` is called with the work beforehand, in characters."""
        spend(len(text))
        if self._is_whole:
            return len(text) == self._first.length and self._first.matches_at(text, 0)
        start, end = self._first.length, len(text) - self._last.length
        if start > end or not self._first.matches_at(text, 0):
            return False
        for piece in self._middle:
            found = piece.find(text, start, end, spend)
            if found < 0:
                return False
            start = found + piece.length
        return start <= end and self._last.matches_at(text, end)


class _Piece:
    """The part between two stars; its length is fixed."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.length = len(text)
        self._pattern: re.Pattern[str] | None = None
        if "?" in text:
            self._pattern = re.compile(".".join(map(re.escape, text.split("?"))), re.DOTALL)

    def matches_at(self, text: str, place: int) -> bool:
        if self._pattern is None:
            return text.startswith(self._text, place)
        return self._pattern.match(text, place) is not None

    def find(self, text: str, start: int, end: int, spend: Spend) -> int:
        """Return the first match between start and end, -1 if there is none."""
        if self._pattern is None:
            return text.find(self._text, start, end)
        places = _STEPS // self.length
        while start + self.length <= end:
            until = min(end, start + places + self.length)
            spend((until - start) * self.length)
            if found := self._pattern.search(text, start, until):
                return found.start()
            start = until - self.length + 1
        return -1
