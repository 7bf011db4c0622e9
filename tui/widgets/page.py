"""A text to read: lines that wrap and scroll, with links that can be followed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from tui.text import Line, wrap
from tui.widgets.styled import MOVING, Styled


class Page(Styled, can_focus=True):
    """Shows lines. `links` says, for the number of a line, what following it leads to."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *MOVING,
        Binding("space", "leaf(1)", "Page down", show=False),
        Binding("n", "next_link(1)", "Next link", show=False),
        Binding("N", "next_link(-1)", "Link before", show=False),
        Binding("enter", "follow", "Follow the link", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"page--link"}
    DEFAULT_CSS = """
    Page {
        height: 1fr;
        & > .page--link { background: $cursor-line; }
    }
    """

    class Followed(Message):
        """A link was followed to its target."""

        def __init__(self, target: str) -> None:
            super().__init__()
            self.target = target

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: tuple[Line, ...] = ()
        self._links: Mapping[int, str] = {}
        self._link: int | None = None
        self._shown: list[Line] = []
        self._whole: list[int] = []
        self._wrapped: dict[Line, list[Line]] = {}
        self._wrapped_at = 0

    def show(self, lines: Sequence[Line], links: Mapping[int, str] | None = None) -> None:
        """Show these lines, from where the reader is."""
        new = tuple(lines)
        if new == self._lines and dict(links or {}) == dict(self._links):
            return
        self._lines, self._links = new, links or {}
        if self._link not in self._links:
            self._link = next(iter(self._links), None)
        self._arrange()
        if self.styles.is_auto_height:
            self.refresh(layout=True)

    @property
    def text(self) -> str:
        """All lines as plain text."""
        return "\n".join("".join(part.text for part in whole) for whole in self._lines)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Give how many lines there are at this width, for a page that is as high as its text."""
        return self.height_at(width)

    def height_at(self, width: int) -> int:
        """Give how many lines there are at a width."""
        return len(wrap(self._lines, max(width - 1, 10)))

    def _arrange(self) -> None:
        if not self.size.width:
            return  # before the first layout: a frame of a width that is not its own would be wrong
        width = max(self.size.width - 1, 10)
        self._shown, self._whole = [], []
        known = self._wrapped if self._wrapped_at == width else {}
        self._wrapped, self._wrapped_at = {}, width
        for number, whole in enumerate(self._lines):
            pieces = known.get(whole) or wrap([whole], width)
            self._wrapped[whole] = pieces
            self._shown += pieces
            self._whole += [number] * len(pieces)
        self.virtual_size = Size(self.size.width, len(self._shown))
        self.refresh()

    def on_resize(self, event: events.Resize) -> None:
        """Wrap the lines anew."""
        self._arrange()

    def action_move(self, step: int) -> None:
        """Scroll by lines, in one frame."""
        self.scroll_relative(y=step, animate=False, immediate=True)

    def action_leaf(self, step: int) -> None:
        """Scroll by a screenful, less the line that is read last."""
        self.action_move(step * max(1, self.size.height - 1))

    def action_edge(self, step: int) -> None:
        """Scroll to the top or to the end."""
        self.scroll_to(y=0 if step < 0 else self.max_scroll_y, animate=False, immediate=True)

    def action_next_link(self, step: int) -> None:
        """Go to the next or the former link."""
        places = list(self._links)
        if places:
            at = places.index(self._link) if self._link is not None else 0
            link = self._link = places[(at + step) % len(places)]
            self.scroll_to(y=max(0, self._whole.index(link) - 2), animate=False)
            self.refresh()

    def action_follow(self) -> None:
        """Follow the link that is marked."""
        if self._link is not None and self._link in self._links:
            self.post_message(self.Followed(self._links[self._link]))

    def on_click(self, event: events.Click) -> None:
        """Follow a link that is clicked."""
        place = round(self.scroll_y) + event.y
        if place < len(self._whole) and self._whole[place] in self._links:
            self._link = self._whole[place]
            self.action_follow()

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        place, width = round(self.scroll_y) + y, self.size.width
        if place >= len(self._shown):
            return Strip.blank(width, self.rich_style)
        under = self.rich_style
        if self._whole[place] == self._link:
            under += self.get_component_rich_style("page--link", partial=True)
        return self.strip_of(self._shown[place], width, under)
