"""Suggestions for unknown names: which known one was meant."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

_LONGEST: Final = 64
_LEAST_FOR_ONE: Final = 4
_LEAST_FOR_TWO: Final = 8
"""Characters of a known name from which one, or two, may be wrong."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that suggests the nearest known name; "" if none is near."""
    from difflib import get_close_matches

    found = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else ""


def misspelt(name: str, known: Iterable[str]) -> str:
    """Return the known name that was almost certainly meant, "" if the name may be a valid other one.

    Ignoring case, `-` and `_`, it differs in nothing, in one character if the known name has four, or in
    two if it has eight and begins alike; a character that is left out, added or changed counts, or two that
    are swapped. Below eight, a character added or changed makes another word: `metal`, `beta`.
    """
    return "" if len(name) > _LONGEST else _misspelt(name, tuple(known))


@lru_cache(maxsize=512)  # A producer sends the same names with every job.
def _misspelt(name: str, known: tuple[str, ...]) -> str:
    plain = plain_name(name)
    for each in known:
        wanted = plain_name(each)
        is_long = len(wanted) >= _LEAST_FOR_TWO
        allowed = (len(wanted) >= _LEAST_FOR_ONE) + (is_long and plain[:1] == wanted[:1])
        if abs(len(plain) - len(wanted)) > allowed or _distance(plain, wanted) > allowed:
            continue
        if is_long or len(plain) < len(wanted) or sorted(plain) == sorted(wanted):
            return each
    return ""


def plain_name(name: str) -> str:
    """Return a name without what differs between the styles of writing it: case, `-` and `_`."""
    return name.lower().replace("-", "").replace("_", "")


def _distance(left: str, right: str) -> int:
    """Count the edits between two words (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, ours in enumerate(left, 1):
        older, before, row = before, row, [i]
        for j, theirs in enumerate(right, 1):
            costs = [row[-1] + 1, before[j] + 1, before[j - 1] + (ours != theirs)]
            if older and j > 1 and ours == right[j - 2] and left[i - 2] == theirs:
                costs.append(older[j - 2] + 1)
            row.append(min(costs))
    return row[-1]
