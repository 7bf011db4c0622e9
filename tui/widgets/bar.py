"""One line across the screen: what stands left, and what stands right."""

from __future__ import annotations

from rich.cells import cell_len
from textual.strip import Strip

from tui.text import Cell, Line, fit
from tui.widgets.styled import Styled


class Bar(Styled):
    """Shows cells; where there is no room for all, the left ones are cut."""

    can_focus = False
    DEFAULT_CSS = """
    Bar { height: 1; background: $panel; overflow: hidden; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._left: Line = ()
        self._right: Line = ()

    def show(self, left: Line, right: Line = ()) -> None:
        """Show these cells."""
        if (left, right) != (self._left, self._right):
            self._left, self._right = left, right
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Draw the line."""
        width = self.size.width
        room = width - sum(cell_len(part.text) for part in self._right) - 1
        parts = (*_cut(self._left, room), Cell(" "), *self._right)
        return self.strip_of(parts, width, self.rich_style)


def _cut(cells: Line, room: int) -> list[Cell]:
    """Give cells that are exactly `room` wide together."""
    kept: list[Cell] = []
    for part in cells:
        length = cell_len(part.text)
        if length > room:
            kept.append(Cell(fit(part.text, room), part.role))
            return kept
        kept.append(part)
        room -= length
    return [*kept, Cell(" " * max(0, room))]
