"""One line across the screen, with a left and a right part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rich.cells import cell_len
from textual.strip import Strip

from hms_svc.tui.text import Cell, Line, fit, wrap
from hms_svc.tui.widgets.styled import Styled

MOST_LINES: Final = 3


class Bar(Styled):
    """Shows cells; if they do not fit, the left ones are cut, and hints are left out."""

    can_focus = False
    DEFAULT_CSS = """
    Bar { height: 1; background: $panel; overflow: hidden; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._left: Line = ()
        self._right: Line = ()
        self._hints: tuple[Line, ...] = ()
        self._whole: tuple[Line, ...] = ()

    def show_whole(self, described: Line) -> None:
        """Show cells on as many lines as they need, up to three."""
        lines = tuple(wrap([described], self.size.width - 1)[:MOST_LINES])
        if lines != self._whole:
            self._left, self._right, self._hints, self._whole = (), (), (), lines
            self._set_height()

    def _set_height(self) -> None:
        self.styles.height = max(1, len(self._whole))
        self.refresh()

    def show(self, left: Line, right: Line = (), *, hints: Sequence[Line] = ()) -> None:
        """Show cells, and after the left ones as many whole `hints` as fit."""
        described = left, right, tuple(hints)
        if self._whole or described != (self._left, self._right, self._hints):
            self._left, self._right, self._hints = described
            self._whole = ()
            self._set_height()

    def render_line(self, y: int) -> Strip:
        """Draw the line."""
        width = self.size.width
        if y < len(self._whole):
            return self.strip_of(self._whole[y], width, self.rich_style)
        available = width - _length(self._right) - 1
        left = (*self._left, *_whole(self._hints, available - _length(self._left)))
        parts = (*_cut(left, available), Cell(" "), *self._right)
        return self.strip_of(parts, width, self.rich_style)


def _length(cells: Iterable[Cell]) -> int:
    return sum(cell_len(part.text) for part in cells)


def _whole(hints: Iterable[Line], available: int) -> list[Cell]:
    """Return the hints up to the first that does not fit."""
    kept: list[Cell] = []
    for hint in hints:
        available -= _length(hint)
        if available < 0:
            break
        kept += hint
    return kept


def _cut(cells: Line, available: int) -> list[Cell]:
    """Cut or pad cells to a total width of `available`."""
    kept: list[Cell] = []
    for part in cells:
        length = cell_len(part.text)
        if length > available:
            kept.append(Cell(fit(part.text, available), part.role))
            return kept
        kept.append(part)
        available -= length
    return [*kept, Cell(" " * max(0, available))]
