"""Limits the job types with their own label: any producer can create a type by pushing to its queue."""

from __future__ import annotations

from typing import Final

from hms_svc.ports.meters import OTHER

MOST_TYPES: Final = 500


class TypeLabels:
    """The first `most` types get their own label while the process runs; all others are `other`."""

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
