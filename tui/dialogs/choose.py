"""The dialog to choose what to enqueue: a sample or a type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from hms_svc.operations.sample_jobs import SampleJob
from hms_svc.tui.dialogs.dialog import Dialog
from hms_svc.tui.text import Column, Row, cell
from hms_svc.tui.widgets.grid import Grid

COLUMNS = (
    Column(title="Enqueue", width=20),
    Column(title="type", width=16),
    Column(title="shows", width=24, grow=1),
)


class ChooseDialog(Dialog[str]):
    """Lists samples, then types; returns `sample:NAME` or `type:TYPE`."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("q", "leave", "Leave", show=False)]

    def __init__(self, samples: Sequence[SampleJob], types: Sequence[str]) -> None:
        super().__init__()
        self._samples = samples
        self._types = types

    def compose(self) -> ComposeResult:
        """Show the list in a box."""
        with Vertical(id="box") as box:
            box.border_title = Content("Enqueue a test job")
            yield Grid(COLUMNS, id="choices")
            yield from self.foot()

    def on_mount(self) -> None:
        """Fill the list."""
        rows = [
            Row(
                key=f"sample:{sample.name}",
                cells=(cell(sample.name, "strong"), cell(sample.type), cell(sample.title)),
            )
            for sample in self._samples
        ]
        rows += [
            Row(
                key=f"type:{type}",
                cells=(cell("blank form"), cell(type), cell("from its model", "dim")),
            )
            for type in self._types
        ]
        grid = self.query_one("#choices", Grid)
        grid.styles.height = min(len(rows) + 1, 16)
        grid.show(rows)
        self.set_focus(grid)
        self.show_keys(("enter", "choose"), ("esc", "back"))

    def on_grid_chosen(self, message: Grid.Chosen) -> None:
        """Dismiss with the choice."""
        message.stop()
        self.dismiss(message.key)
