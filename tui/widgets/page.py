"""A page of text: lines that wrap and scroll, sections that fold, links, and a search."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from hms_svc.domain.plain_text import plural
from hms_svc.tui.page_sections import Sections, found_in, marked, moved_stop
from hms_svc.tui.text import Cell, Line, cell, wrap
from hms_svc.tui.widgets.styled import MOVING, Styled

AROUND: Final = 2
"""The number of cells left and right of the text."""
SIDEWAYS: Final = 10
_HIT: Final = Style(reverse=True)


class Page(Styled, can_focus=True):
    """Shows lines. `links` has the targets and `heads` the section names, by line number."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *MOVING,
        Binding("space", "leaf(1)", "Page down", show=False),
        Binding("n", "next_hit(1)", "Next match", show=False),
        Binding("N", "next_hit(-1)", "Match before", show=False),
        Binding("z", "fold", "Fold the section", show=False),
        Binding("Z", "fold_all", "Fold all", show=False),
        Binding("W", "wrap", "Wrap lines", show=False),
        Binding("F", "tail", "Follow the end", show=False),
        Binding("left", "sideways(-1)", "Left", show=False),
        Binding("right", "sideways(1)", "Right", show=False),
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

    class Changed(Message):
        """The search, its position, or the display of lines has changed."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: tuple[Line, ...] = ()
        self._links: Mapping[int, str] = {}
        self._sections = Sections({}, 0)
        self._folded: set[str] = set()
        self._stop: int | None = None
        self._shown: list[Line] = []
        self._whole: list[int] = []
        self._wrapped: dict[Line, list[Line]] = {}
        self._wrapped_at = 0
        self._pattern: re.Pattern[str] | None = None
        self._hits: list[int] = []
        self._hit = 0
        self._left = 0
        self.search_text = ""
        self.wraps = True
        self.is_following = False

    def show(
        self,
        lines: Sequence[Line],
        links: Mapping[int, str] | None = None,
        heads: Mapping[int, str] | None = None,
    ) -> None:
        """Show lines at the same scroll position, or at the new end while following."""
        new = tuple(lines)
        if new == self._lines and dict(links or {}) == dict(self._links):
            return
        before = self._stops
        self._lines, self._links = new, links or {}
        self._sections = Sections(heads or {}, len(new))
        self._stop = moved_stop(before, self._stop, self._stops)
        if self._stop is None:
            self._stop = next(iter(self._links), None)
        self._search()
        self._arrange()
        if self.styles.is_auto_height:
            self.refresh(layout=True)
        if self.is_following:
            self._scroll_to_end()

    @property
    def _stops(self) -> dict[int, str]:
        """The lines that can be marked, with the target of the link or the name of the section."""
        return {**self._sections.heads, **self._links}

    @property
    def text(self) -> str:
        """All lines as plain text."""
        return "\n".join("".join(part.text for part in whole) for whole in self._lines)

    @property
    def hit(self) -> tuple[int, int]:
        """The number of the current match, from 1, and the number of matches."""
        return (self._hit + 1 if self._hits else 0), len(self._hits)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return the height of the content at this width, for pages of automatic height."""
        return self.height_at(width)

    def height_at(self, width: int) -> int:
        """Return the number of wrapped lines at a width."""
        return len(wrap(self._lines, max(width - AROUND, 10)))

    def search(self, text: str) -> None:
        """Search for a text, ignoring case, and go to the first match from the current position."""
        self.search_text = text
        self._pattern = re.compile(re.escape(text), re.IGNORECASE) if text else None
        self._search()
        top = self._top()
        self._hit = next((at for at, number in enumerate(self._hits) if number >= top), 0)
        self._go_to_hit()

    def _top(self) -> int:
        """Return the number of the top line; the scroll position may exceed a text that became shorter."""
        at = min(round(self.scroll_y), len(self._whole) - 1)
        return self._whole[at] if self._whole else 0

    def _search(self) -> None:
        self._hits = found_in(self._lines, self._pattern) if self._pattern is not None else []
        self._hit = min(self._hit, max(0, len(self._hits) - 1))

    def _go_to_hit(self) -> None:
        if self._hits:
            number = self._hits[self._hit]
            self._folded.discard(self._sections.name_at(number) or "")
            self._arrange()
            self._scroll_into_view(number)
        self.refresh()
        self.post_message(self.Changed())

    def _arrange(self) -> None:
        if not self.size.width:
            return  # before the first layout the width is not known
        width = max(self.size.width - AROUND, 10)
        self._shown, self._whole = [], []
        known = self._wrapped if self._wrapped_at == width else {}
        self._wrapped, self._wrapped_at = {}, width
        for number, whole in self._unfolded():
            if self.wraps:
                pieces = known.get(whole) or wrap([whole], width)
                self._wrapped[whole] = pieces
            else:
                pieces = [whole]
            self._shown += pieces
            self._whole += [number] * len(pieces)
        self.virtual_size = Size(self.size.width, len(self._shown))
        self.refresh()

    def _unfolded(self) -> Iterator[tuple[int, Line]]:
        """Yield the lines that are not folded, with their numbers."""
        for number, whole in enumerate(self._lines):
            name = self._sections.name_at(number)
            if name not in self._folded:
                yield number, whole
            elif number in self._sections.heads:
                count = self._sections.lines_of(number)
                described = cell(f"  {plural(count, 'line')} folded", "dim")
                yield number, (*whole, described) if count else whole

    def on_resize(self, event: events.Resize) -> None:
        """Wrap the lines to the new width."""
        self._arrange()
        if self.is_following:
            self._scroll_to_end()

    def action_move(self, step: int) -> None:
        """Scroll by lines, in one frame."""
        self.is_following = self.is_following and step > 0
        self.scroll_relative(y=step, animate=False, immediate=True)

    def action_leaf(self, step: int) -> None:
        """Scroll by a page, less one line."""
        self.action_move(step * max(1, self.size.height - 1))

    def action_edge(self, step: int) -> None:
        """Scroll to the top or to the end."""
        self.is_following = False
        if step < 0:
            self.scroll_to(y=0, animate=False, immediate=True)
        else:
            self._scroll_to_end()

    def _scroll_to_end(self) -> None:
        self.scroll_to(y=self.max_scroll_y, animate=False, immediate=True)

    def action_tail(self) -> None:
        """Go to the end, and follow it."""
        self._folded.discard(self._sections.name_at(len(self._lines) - 1) or "")
        self._arrange()
        self.is_following = True
        self._scroll_to_end()
        self.post_message(self.Changed())

    def action_sideways(self, step: int) -> None:
        """Scroll unwrapped lines sideways."""
        widest = max((sum(len(part.text) for part in each) for each in self._shown), default=0)
        most = 0 if self.wraps else max(0, widest - self._wrapped_at)
        self._left = max(0, min(self._left + step * SIDEWAYS, most))
        self.refresh()

    def action_wrap(self) -> None:
        """Wrap long lines or not; the same line stays at the top."""
        top = self._top()
        self.wraps, self._left = not self.wraps, 0
        self._arrange()
        self._scroll_to_line(top)
        self.post_message(self.Changed())

    def action_next_hit(self, step: int) -> None:
        """Go to the next or previous match."""
        if self._hits:
            self._hit = (self._hit + step) % len(self._hits)
        self._go_to_hit()

    def action_next_stop(self, step: int) -> None:
        """Go to the next or previous link or section."""
        stops = [each for each in sorted(self._stops) if each in self._whole]
        if stops:
            at = stops.index(self._stop) if self._stop in stops else -1 if step > 0 else 0
            self._stop = stops[(at + step) % len(stops)]
            self._scroll_into_view(self._stop)
            self.refresh()

    def action_fold(self) -> None:
        """Fold or unfold the marked section if it is visible, else the one at the top."""
        top = round(self.scroll_y)
        in_sight = self._whole[top : top + self.size.height]
        number = self._stop if self._stop in in_sight else next(iter(in_sight), 0)
        name = self._sections.name_at(number or 0)
        if name is None:
            name = next(
                (self._sections.heads[each] for each in in_sight if each in self._sections.heads),
                None,
            )
        if name is not None and self._sections.lines_of(self._sections.head_of(name)):
            self._folded ^= {name}
            self._arrange()
            self._scroll_into_view(self._sections.head_of(name))

    def action_fold_all(self) -> None:
        """Fold all sections, or unfold them if all are folded."""
        names = set(self._sections.heads.values())
        self._folded = set() if names <= self._folded else names
        self._arrange()

    def _scroll_into_view(self, number: int) -> None:
        """Scroll a line into view."""
        top = round(self.scroll_y)
        if number not in self._whole[top : top + max(1, self.size.height - 1)]:
            self._scroll_to_line(number, above=2)

    def _scroll_to_line(self, number: int, above: int = 0) -> None:
        place = next((at for at, each in enumerate(self._whole) if each >= number), 0)
        self.is_following = False
        self.scroll_to(y=max(0, place - above), animate=False, immediate=True)

    def action_follow(self) -> None:
        """Follow the marked link, or fold the marked section."""
        if self._stop is not None and self._stop in self._links:
            self.post_message(self.Followed(self._links[self._stop]))
        elif self._stop in self._sections.heads:
            self.action_fold()

    def on_click(self, event: events.Click) -> None:
        """Follow a clicked link, or fold a section whose heading was clicked."""
        place = round(self.scroll_y) + event.y
        number = self._whole[place] if place < len(self._whole) else None
        if number in self._links or number in self._sections.heads:
            self._stop = number
            self.action_follow()

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        place, width = round(self.scroll_y) + y, self.size.width
        if place >= len(self._shown):
            return Strip.blank(width, self.rich_style)
        under, number = self.rich_style, self._whole[place]
        at_stop = number == self._stop and self.has_focus
        if at_stop:
            under += self.get_component_rich_style("page--link", partial=True)
        is_first = place == 0 or self._whole[place - 1] != number
        shown = self._shown[place]
        pieces = (
            marked(shown, self._pattern) if number in self._hits else ((c, False) for c in shown)
        )
        segments = [
            Segment(
                part.text,
                self.style_on(under, part.role, at_cursor=at_stop) + (_HIT if is_hit else Style()),
            )
            for part, is_hit in pieces
        ]
        text = Strip(segments)
        text = text.crop(self._left, self._left + width - 1) if self._left else text
        front = self._front(number) if is_first else Cell(" ")
        mark = Segment(front.text, under + self.role_style(front.role))
        return Strip([mark, *text]).adjust_cell_length(width, under)

    def _front(self, number: int) -> Cell:
        if number in self._links:
            return Cell("→", "accent")
        if number in self._sections.heads and self._sections.lines_of(number):
            return Cell("▸" if self._sections.heads[number] in self._folded else "▾", "dim")
        return Cell(" ")
