"""What grids and pages share: roles of text as component styles, drawn line by line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.text import ROLES, Cell

MOVING: Final = (
    Binding("up,k", "move(-1)", "Up", show=False),
    Binding("down,j", "move(1)", "Down", show=False),
    Binding("pageup", "leaf(-1)", "Page up", show=False),
    Binding("pagedown", "leaf(1)", "Page down", show=False),
    Binding("home,g", "edge(-1)", "Top", show=False),
    Binding("end,G", "edge(1)", "End", show=False),
)
"""The keys that move through rows or lines, by the actions `move`, `leaf` and `edge`."""


class Styled(ScrollView):
    """A widget that draws its own lines of cells, each in the style of its role."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"role--{role or 'plain'}" for role in ROLES}
    DEFAULT_CSS = """
    Styled {
        scrollbar-size-vertical: 1;
        scrollbar-size-horizontal: 0;
        overflow-x: hidden;
        scrollbar-background: $panel;
        scrollbar-background-hover: $panel;
        scrollbar-color: $faint;
        & > .role--plain { color: $foreground; }
        & > .role--dim { color: $faint; }
        & > .role--strong { color: $foreground; text-style: bold; }
        & > .role--accent { color: $primary; }
        & > .role--good { color: $success; }
        & > .role--warn { color: $warning; }
        & > .role--bad { color: $error; text-style: bold; }
        & > .role--head { color: $primary; text-style: bold; }
        & > .role--key { color: $primary; text-style: bold; }
    }
    """

    def role_style(self, role: str) -> Style:
        """Give the style of a role in the theme of the moment."""
        return self.get_component_rich_style(f"role--{role or 'plain'}", partial=True)

    def strip_of(self, cells: Iterable[Cell], width: int, under: Style) -> Strip:
        """Draw cells one after the other, `width` wide, on the style under them."""
        segments = [Segment(part.text, under + self.role_style(part.role)) for part in cells]
        return Strip(segments).adjust_cell_length(width, under)
