"""A table whose cursor follows the key of a row, not its position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip

from hms_svc.tui.order import KeptOrder
from hms_svc.tui.table import Layout, TableView, fit_columns, matching, sort_rows
from hms_svc.tui.text import Cell, Column, Line, Role, Row, cell, fit, fit_end, line, wrap
from hms_svc.tui.widgets.styled import MOVING, Styled

GONE: Final = Cell("gone", "dim")
WAITING: Final = (line(cell("loading …", "dim")),)
NO_MATCH: Final = (line("No row matches. ", cell("esc", "key"), " clears the filter."),)


class Grid(Styled, can_focus=True):
    """Rows under a line of column titles, the first of which is the title of the table.

    If the row at the cursor is not among new rows, it stays in place, marked as gone, until the
    cursor leaves it or `reset` is called: the cursor never moves to another row by itself, and a
    gone row cannot be chosen. A grid that `follows` has no cursor until a user moves it, and shows
    its top. One that `keeps_order` keeps rows in the order from when it was opened or sorted: new
    rows are appended, and counted in the heading. `is_whole` is False for one page of a longer list.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *MOVING,
        Binding("enter", "choose", "Open", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"grid--head", "grid--cursor", "grid--rest"}
    DEFAULT_CSS = """
    Grid {
        height: 1fr;
        & > .grid--head { background: $panel; }
        &:ansi > .grid--head { text-style: underline; }
        & > .grid--cursor { background: $cursor-line; text-style: bold; }
        & > .grid--rest { background: $rest-line; }
    }
    """

    class Moved(Message):
        """The cursor moved to another key, or to none."""

        def __init__(self, grid: Grid, key: str | None) -> None:
            super().__init__()
            self.grid = grid
            self.key = key

    class Chosen(Message):
        """Enter was pressed on a row, or it was double-clicked."""

        def __init__(self, grid: Grid, key: str) -> None:
            super().__init__()
            self.grid = grid
            self.key = key

    class Beyond(Message):
        """The cursor was moved beyond the last row (1) or the first (-1)."""

        def __init__(self, grid: Grid, step: int) -> None:
            super().__init__()
            self.grid = grid
            self.step = step

    class HeadClicked(Message):
        """The title of a column was clicked."""

        def __init__(self, grid: Grid, column: str) -> None:
            super().__init__()
            self.grid = grid
            self.column = column

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        title: str = "",
        empty: Sequence[Line] = (),
        follows: bool = False,
        keeps_order: bool = False,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self.columns = tuple(columns)
        self.view = TableView()
        self.row_filter = ""
        self.is_whole = True
        self.given: tuple[Row, ...] = ()
        self._order = KeptOrder() if keeps_order else None
        self._new = 0
        self._layout = Layout(self.columns)
        self.title = title
        self.empty = tuple(empty)
        self.follows = follows
        self.rows: tuple[Row, ...] = ()
        self.cursor: str | None = None
        self.marked: frozenset[str] = frozenset()
        self._places: dict[str, int] = {}
        self.is_known = False

    @property
    def place(self) -> int | None:
        """The position of the row at the cursor, None if there is none."""
        return None if self.cursor is None else self._places.get(self.cursor)

    @property
    def chosen(self) -> str | None:
        """The key at the cursor, None if there is none or its row is gone."""
        place = self.place
        return None if place is None or self.rows[place].is_gone else self.cursor

    @property
    def visible_rows(self) -> int:
        """How many rows fit."""
        return max(1, self.size.height - 1)

    def show(self, rows: Sequence[Row], *, title: str | None = None) -> None:
        """Show rows; the cursor stays on its key, and its row stays at its place on the screen."""
        self.given = tuple(rows)
        is_wider = self._layout.take(self.given)
        self._show_rows(self._arranged(), title=title, is_laid_out=not is_wider)

    def rearrange(self, view: TableView | None = None, row_filter: str | None = None) -> None:
        """Apply another view or row filter to the same rows."""
        self.view = self.view if view is None else view
        self.row_filter = self.row_filter if row_filter is None else row_filter
        if self._order is not None:
            self._order.forget()
        rows = self._arranged()
        if self.cursor is not None and all(row.key != self.cursor for row in rows):
            self.cursor = None
        self._show_rows(rows, is_laid_out=False)
        self._scroll_to_cursor()

    def _arranged(self) -> tuple[Row, ...]:
        rows = matching(self.given, self.columns, self.row_filter)
        index = self.sorted_by
        if index is not None:
            rows = sort_rows(rows, index, is_reversed=self.view.is_reversed)
        if self._order is not None:
            rows, self._new = self._order.keep(rows)
        return tuple(rows)

    @property
    def can_sort(self) -> bool:
        """Whether the rows can be sorted: the list is complete, and all rows have the columns of the grid."""
        return self.is_whole and not any(row.columns for row in self.given)

    @property
    def sorted_by(self) -> int | None:
        """The index of the column that the rows are sorted by, None if they are not sorted."""
        names = [column.name for column in self.columns]
        is_sorted = self.can_sort and self.view.sort in names
        return names.index(self.view.sort) if is_sorted else None

    @property
    def shown_names(self) -> list[str]:
        """The names of the shown columns."""
        return [self.columns[index].name for index, _ in self._fitted(self.size.width - 2)]

    @property
    def names_of_numbers(self) -> frozenset[str]:
        """The names of the columns of numbers, which are sorted in descending order first."""
        return frozenset(column.name for column in self.columns if column.align == "right")

    def _show_rows(
        self, rows: tuple[Row, ...], *, title: str | None = None, is_laid_out: bool
    ) -> None:
        old, stood, self.is_known = self.rows, self.place, True
        self.rows = self._with_gone(rows, old, stood)
        self._places = {row.key: place for place, row in enumerate(self.rows)}
        head_changed = title is not None and title != self.title
        self.title = self.title if title is None else title
        if self.cursor is None and not self.follows and self.rows:
            self._put(self.rows[0].key)
        self.virtual_size = Size(self.size.width, len(self.rows) + 1)
        if stood is not None and self.place is not None and self.place != stood:
            self.scroll_to(y=self.scroll_y + self.place - stood, animate=False, immediate=True)
        if len(old) != len(self.rows) or not old or not is_laid_out:
            self.refresh()
        else:
            self._refresh_changed(old, head_changed=head_changed)

    def reset(self) -> None:
        """Reset order and widths, and move the cursor to the first row if its own is gone."""
        self._layout.forget()
        if self._order is not None:
            self._order.forget()
        if self.cursor is not None and self.chosen is None:
            self.cursor = None
        if self.is_known:
            self.show(self.given)

    def wait(self) -> None:
        """Show that rows are loading, until new rows are shown."""
        self._layout.forget()
        self.show([])
        self.is_known = False

    def mark(self, keys: frozenset[str]) -> None:
        """Mark the rows of these keys, and no others."""
        self.marked = keys
        self.refresh()

    def _with_gone(
        self, rows: tuple[Row, ...], old: tuple[Row, ...], stood: int | None
    ) -> tuple[Row, ...]:
        if (
            self.cursor is None
            or stood is None
            or not rows
            or any(row.key == self.cursor for row in rows)
        ):
            if not rows:
                self.cursor = None
            return rows
        kept = old[stood]
        gone = Row(key=kept.key, cells=(kept.cells[0], GONE), is_gone=True)
        return (*rows[:stood], gone, *rows[stood:])

    def _refresh_changed(self, old: tuple[Row, ...], *, head_changed: bool) -> None:
        top, width = round(self.scroll_y), self.size.width
        shown = range(top, min(top + self.visible_rows, len(self.rows)))
        regions = [
            Region(0, place - top + 1, width, 1)
            for place in shown
            if old[place] != self.rows[place]
        ]
        if head_changed:
            regions.append(Region(0, 0, width, 1))
        if regions:
            self.refresh(*regions)

    def _put(self, key: str | None) -> None:
        if key != self.cursor:
            self.cursor = key
            self.refresh()
            self.post_message(self.Moved(self, key))

    def _scroll_to_cursor(self) -> None:
        place = self.place
        if place is None:
            return
        top, span = round(self.scroll_y), self.visible_rows
        if place < top:
            self.scroll_to(y=place, animate=False, immediate=True)
        elif place >= top + span:
            self.scroll_to(y=place - span + 1, animate=False, immediate=True)

    def _move_to(self, place: int) -> None:
        if not self.rows:
            return
        if place < 0 or place >= len(self.rows):
            self.post_message(self.Beyond(self, 1 if place > 0 else -1))
        if place < 0 and self.follows:
            self._put(None)
            self.scroll_to(y=0, animate=False, immediate=True)
            return
        self._put(self.rows[max(0, min(place, len(self.rows) - 1))].key)
        self._scroll_to_cursor()

    def action_move(self, step: int) -> None:
        """Move the cursor by rows."""
        place = self.place
        self._move_to((0 if step > 0 else -1) if place is None else place + step)

    def action_leaf(self, step: int) -> None:
        """Move the cursor by a page."""
        place = self.place or 0
        if place == (len(self.rows) - 1 if step > 0 else 0):
            self._move_to(place + step)
        else:
            moved = place + step * self.visible_rows
            self._move_to(max(0, min(moved, len(self.rows) - 1)))

    def action_edge(self, step: int) -> None:
        """Move the cursor to the first or last row; the first resumes following if the grid `follows`."""
        if step < 0 and self.follows:
            self._move_to(-1)
        elif self.rows:
            self._move_to(0 if step < 0 else len(self.rows) - 1)

    def action_choose(self) -> None:
        """Choose the row at the cursor."""
        if self.chosen is not None:
            self.post_message(self.Chosen(self, self.chosen))

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the clicked row; a double click chooses it, a click on a column title sorts."""
        place = round(self.scroll_y) + event.y - 1
        if event.y == 0:
            self._click_head(event.x)
        if event.y > 0 and place < len(self.rows):
            self._put(self.rows[place].key)
            if event.chain == 2:
                self.action_choose()

    def _click_head(self, x: int) -> None:
        at = 1
        for index, span in self._fitted(self.size.width - 2):
            if at <= x <= at + span:
                self.post_message(self.HeadClicked(self, self.columns[index].name))
                return
            at += span + 1

    def on_resize(self) -> None:
        """Fit the rows to the new width."""
        self.virtual_size = Size(self.size.width, len(self.rows) + 1)
        self._scroll_to_cursor()
        self.refresh()

    def on_focus(self) -> None:
        """Draw the grid as focused."""
        self.refresh()

    def on_blur(self) -> None:
        """Draw the grid as not focused."""
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Draw the column titles, a row, or a line of the empty state."""
        width = self.size.width
        if y == 0:
            return self._head(width)
        place = round(self.scroll_y) + y - 1
        if place < len(self.rows):
            return self._row(self.rows[place], width)
        if not self.rows:
            known = NO_MATCH if self.given else self.empty
            described = wrap(known if self.is_known else WAITING, width - 2)
            if y - 1 < len(described):
                return self.strip_of((Cell("  "), *described[y - 1]), width, self.rich_style)
        return Strip.blank(width, self.rich_style)

    def _fitted(self, width: int) -> list[tuple[int, int]]:
        heads = {0: cell_len(self._title())}
        index = self.sorted_by
        if index is not None:
            heads[index] = cell_len(self.columns[index].title) + 1
        return self._layout.fit(width, self.view, heads)

    def _head(self, width: int) -> Strip:
        under = self.rich_style + self.get_component_rich_style("grid--head", partial=True)
        parts = [Cell("▌" if self.has_focus else " ", "accent")]
        sorted_by = self.sorted_by
        for index, span in self._fitted(width - 2):
            column = self.columns[index]
            title = (self._title() or column.title) if index == 0 else column.title
            role: Role = "head" if index == 0 else "dim"
            if index == sorted_by:
                role, mark = "accent", "▾" if self.view.is_reversed else "▴"
                title = f"{mark}{title or column.name}"
            parts.append(Cell(fit(title, span, column.align) + " ", role))
        return self.strip_of(parts, width, under)

    def _title(self) -> str:
        above = round(self.scroll_y)
        if above and not self._new:
            return f"{self.title or self.columns[0].title} ↑{above}"
        return f"+{self._new} new" if self._new else self.title

    def _row(self, row: Row, width: int) -> Strip:
        at_cursor = row.key == self.cursor
        under = self.rich_style
        if at_cursor:
            name = "grid--cursor" if self.has_focus else "grid--rest"
            under += self.get_component_rich_style(name, partial=True)
        if row.is_gone:
            under += Style(dim=True)
        front = "▸" if at_cursor else " "
        if row.key in self.marked:
            front = "◆"
        segments = [Segment(front, under + self.role_style("accent"))]
        columns = row.columns or self.columns
        fitted = fit_columns(columns, width - 2) if row.columns else self._fitted(width - 2)
        for index, span in fitted:
            part = row.cells[index] if index < len(row.cells) else Cell("")
            column = columns[index]
            ends = fit_end(part.text, span) if column.keeps_end else ""
            text = ends or fit(part.text, span, column.align)
            style = self.style_on(under, part.role, at_cursor=at_cursor and self.has_focus)
            segments.append(Segment(text + " ", style))
        return Strip(segments).adjust_cell_length(width, under)
