"""A dialog that shows text, such as an explanation or the help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from hms_svc.tui.dialogs.dialog import Dialog
from hms_svc.tui.text import Line
from hms_svc.tui.widgets.page import Page


class Message(Dialog[str]):
    """Shows lines until a key closes it; `y` copies `to_copy`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "leave", "Close", show=False, priority=True),
        Binding("y", "copy", "Copy", show=False),
    ]

    def __init__(self, title: str, lines: Sequence[Line], *, to_copy: str = "") -> None:
        super().__init__()
        self._title = title
        self._lines = tuple(lines)
        self._to_copy = to_copy

    def compose(self) -> ComposeResult:
        """Show the page in a box."""
        with Vertical(id="box") as box:
            box.border_title = Content(self._title)
            yield Page(id="page")
            yield from self.foot()

    def on_mount(self) -> None:
        """Show the lines."""
        page = self.query_one("#page", Page)
        page.show(self._lines)
        self.set_focus(page)
        keys = [("y", "copy")] if self._to_copy else []
        self.show_keys(*keys, ("esc", "close"))

    def action_copy(self) -> None:
        """Dismiss with the text to copy."""
        if self._to_copy:
            self.dismiss(self._to_copy)
