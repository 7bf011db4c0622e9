"""Which job types have a label of their own: anybody may push to a queue and so invent a type."""

from __future__ import annotations

from typing import Final

from hms_svc.ports.meters import OTHER

MOST_TYPES: Final = 500


class TypeLabels:
    """First come, first labelled, for as long as the process lives; beyond `most` it is `other`."""

    def __init__(self, most: int = MOST_TYPES) -> None:
        self._most = most
        self._labelled: set[str] = set()

    def label(self, type: str) -> str:
        """Return the label of a type."""
        if type not in self._labelled:
            if len(self._labelled) >= self._most:
                return OTHER
            self._labelled.add(type)
        return type
