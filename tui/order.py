"""A stable order of rows while a list is open: rows keep their places, and new ones are appended."""

from __future__ import annotations

from collections.abc import Sequence

from hms_svc.tui.text import Row


class KeptOrder:
    """Keeps rows in their earlier order, and appends new ones."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._began = 0

    def forget(self) -> None:
        """Forget the order: the next rows define it."""
        self._places.clear()
        self._began = 0

    def keep(self, rows: Sequence[Row]) -> tuple[list[Row], int]:
        """Return the rows in their kept order, and how many of them are new since `forget`."""
        if not self._began:
            self._began = len(rows)
        for row in rows:
            self._places.setdefault(row.key, len(self._places))
        new = sum(self._places[row.key] >= self._began for row in rows)
        return sorted(rows, key=lambda row: self._places[row.key]), new
