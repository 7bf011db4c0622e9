"""The dialog to choose what to copy from a page."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from hms_svc.tui import formats as f
from hms_svc.tui.dialogs.dialog import Dialog
from hms_svc.tui.text import Column, Row, cell
from hms_svc.tui.widgets.grid import Grid

COLUMNS = (
    Column(title="key", width=4),
    Column(title="what", width=20),
    Column(title="starts with", width=20, grow=1),
    Column(title="characters", width=10, align="right"),
)
MOST_SHOWN = 200


class CopyDialog(Dialog[str]):
    """Lists texts, each with a key; returns the chosen one."""

    def __init__(self, copies: Sequence[tuple[str, str, str]]) -> None:
        super().__init__()
        self._texts = {key: text for key, _, text in copies}
        self._rows = [
            Row(
                key=key,
                cells=(
                    cell(key, "key"),
                    cell(label, "strong"),
                    cell(" ".join(text[:MOST_SHOWN].split()), "dim"),
                    cell(f.number(len(text))),
                ),
            )
            for key, label, text in copies
        ]

    def compose(self) -> ComposeResult:
        """Show the list in a box."""
        with Vertical(id="box") as box:
            box.border_title = Content("Copy")
            yield Grid(COLUMNS, id="choices")
            yield from self.foot()

    def on_mount(self) -> None:
        """Fill the list."""
        grid = self.query_one("#choices", Grid)
        grid.styles.height = len(self._rows) + 1
        grid.show(self._rows)
        self.set_focus(grid)
        self.show_keys(("enter", "copy"), ("esc", "back"))

    def on_grid_chosen(self, message: Grid.Chosen) -> None:
        """Dismiss with the text."""
        message.stop()
        self.dismiss(self._texts[message.key])

    def on_key(self, event: events.Key) -> None:
        """Dismiss with the text of a key."""
        if event.character in self._texts:
            event.stop()
            self.dismiss(self._texts[event.character])
