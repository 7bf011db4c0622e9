"""The base of grids, pages and bars: lines of cells, each in the style of its role."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rich.color import Color
from rich.segment import Segment, Segments
from rich.style import Style
from textual.binding import Binding
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollBar, ScrollBarRender
from textual.strip import Strip

from hms_svc.tui.roles import role_class
from hms_svc.tui.text import Cell

_NO_COLOR: Final = Color.default()
_ON_CURSOR: Final = Style(color="bright_white")
MOVING: Final = (
    Binding("up,k", "move(-1)", "Up", show=False),
    Binding("down,j", "move(1)", "Down", show=False),
    Binding("pageup", "leaf(-1)", "Page up", show=False),
    Binding("pagedown", "leaf(1)", "Page down", show=False),
    Binding("home,g", "edge(-1)", "Top", show=False),
    Binding("end,G", "edge(1)", "End", show=False),
)
"""The keys that move through rows or lines, with the actions `move`, `leaf` and `edge`."""


class ThinBar(ScrollBarRender):
    """A thin scrollbar that is visible without colour too."""

    @classmethod
    def render_bar(
        cls,
        size: int = 25,
        virtual_size: float = 50,
        window_size: float = 20,
        position: float = 0,
        thickness: int = 1,
        vertical: bool = True,
        back_color: Color = _NO_COLOR,
        bar_color: Color = _NO_COLOR,
    ) -> Segments:
        """Draw the bar: blank, with a line at the visible part."""
        length = start = 0
        if window_size and size and virtual_size > window_size:
            length = min(size, max(1, round(size * window_size / virtual_size)))
            start = round((size - length) * position / (virtual_size - window_size))
        style = Style(color=bar_color, bgcolor=back_color)
        above, below = {"@mouse.down": "scroll_up"}, {"@mouse.down": "scroll_down"}
        grab = style + Style(meta={"@mouse.down": "grab"})
        segments = [
            *[Segment(" ", style + Style(meta=above))] * start,
            *[Segment("│", grab)] * length,
            *[Segment(" ", style + Style(meta=below))] * (size - length - start),
        ]
        return Segments(segments, new_lines=vertical)


ScrollBar.renderer = ThinBar


class Styled(ScrollView):
    """A widget that draws lines of cells, each in the style of its role."""

    DEFAULT_CSS = """
    Styled {
        scrollbar-size-vertical: 1;
        scrollbar-size-horizontal: 0;
        overflow-x: hidden;
        scrollbar-background: $background;
        scrollbar-background-hover: $background;
        scrollbar-background-active: $background;
        scrollbar-color: $faint;
    }
    """

    def role_style(self, role: str) -> Style:
        """Return the style of a role in the current theme."""
        return self.screen.get_component_rich_style(role_class(role), partial=True)

    def style_on(self, under: Style, role: str, *, at_cursor: bool) -> Style:
        """Return the style of a role on a row; at the cursor one that is readable on its colour.

        Few combinations of the terminal's own sixteen colours are readable.
        """
        if at_cursor and under.bgcolor is not None and self.app.current_theme.ansi:
            return under + _ON_CURSOR if under.bgcolor != _NO_COLOR else under
        return under + self.role_style(role)

    def strip_of(self, cells: Iterable[Cell], width: int, under: Style) -> Strip:
        """Draw cells side by side to a total of `width`, over a base style."""
        segments = [Segment(part.text, under + self.role_style(part.role)) for part in cells]
        return Strip(segments).adjust_cell_length(width, under)
