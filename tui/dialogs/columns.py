"""The dialog for the columns of a table: which are shown, their widths, and the sort column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from hms_svc.tui.dialogs.dialog import Dialog
from hms_svc.tui.table import MAX_WIDTH, MIN_COLUMN_WIDTH, TableView
from hms_svc.tui.text import Column, Row, cell
from hms_svc.tui.widgets.grid import Grid

COLUMNS = (
    Column(title="column", width=20, grow=1),
    Column(title="shown", width=10),
    Column(title="width", width=10),
    Column(title="sorted", width=16),
)
_STEP = 2


class ColumnsDialog(Dialog[TableView]):
    """Lists the columns; returns the edited view."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "flip", "Show or hide", show=False),
        Binding("s", "sort", "Sort", show=False),
        Binding("left,minus", "widen(-1)", "Narrower", show=False),
        Binding("right,plus", "widen(1)", "Wider", show=False),
        Binding("0", "fit", "Fit the content", show=False),
        Binding("backspace", "reset", "Reset", show=False),
    ]

    def __init__(self, columns: Sequence[Column], view: TableView, *, can_sort: bool) -> None:
        super().__init__()
        self._columns = {column.name: column for column in columns}
        self._view = view
        self._can_sort = can_sort

    def compose(self) -> ComposeResult:
        """Show the list in a box."""
        with Vertical(id="box") as box:
            box.border_title = Content("Columns")
            yield Grid(COLUMNS, id="choices")
            yield from self.foot()

    def on_mount(self) -> None:
        """Fill the list."""
        grid = self.query_one("#choices", Grid)
        grid.styles.height = len(self._columns) + 1
        self._show()
        self.set_focus(grid)
        sorts = [("s", "sort")] if self._can_sort else []
        self.show_keys(
            ("enter", "take"),
            ("space", "show or hide"),
            ("← →", "width"),
            ("0", "fit content"),
            *sorts,
            ("backspace", "reset all"),
            ("esc", "back"),
        )

    def _show(self) -> None:
        view = self._view
        rows = []
        for place, name in enumerate(self._columns):
            shown = "always" if place == 0 else "hidden" if name in view.hidden else "shown"
            way = "▾ largest first" if view.is_reversed else "▴ smallest first"
            rows.append(
                Row(
                    key=name,
                    cells=(
                        cell(name, "strong"),
                        cell(shown, "dim" if shown == "hidden" else ""),
                        cell(view.widths.get(name, "auto")),
                        cell(way if view.sort == name else "", "accent"),
                    ),
                )
            )
        self.query_one("#choices", Grid).show(rows)

    @property
    def _at(self) -> str:
        return self.query_one("#choices", Grid).cursor or next(iter(self._columns))

    def _change(self, **fields: object) -> None:
        self._view = msgspec.structs.replace(self._view, **fields)
        self._show()

    def action_flip(self) -> None:
        """Show or hide the column; the first is always shown."""
        if self._at != next(iter(self._columns)):
            self._change(hidden=tuple(sorted({*self._view.hidden} ^ {self._at})))

    def action_sort(self) -> None:
        """Sort by the column; the same column again reverses the order."""
        if self._can_sort:
            is_again = self._view.sort == self._at
            is_number = self._columns[self._at].align == "right"
            reverse = not self._view.is_reversed if is_again else is_number
            self._change(sort=self._at, is_reversed=reverse)

    def action_widen(self, step: int) -> None:
        """Make the column a little wider or narrower."""
        now = self._view.widths.get(self._at, self._columns[self._at].width)
        width = max(MIN_COLUMN_WIDTH, min(now + step * _STEP, MAX_WIDTH))
        self._change(widths={**self._view.widths, self._at: width})

    def action_fit(self) -> None:
        """Let the column fit its texts."""
        self._change(widths={name: n for name, n in self._view.widths.items() if name != self._at})

    def action_reset(self) -> None:
        """Reset the view."""
        self._view = TableView()
        self._show()

    def on_grid_chosen(self, message: Grid.Chosen) -> None:
        """Dismiss with the view."""
        message.stop()
        self.dismiss(self._view)
