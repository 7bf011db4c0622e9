"""What all dialogs have in common: a box in the middle, escape leaves it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final, Generic, TypeVar

from textual import events
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input, TextArea

from hms_svc.tui.text import Cell, Role, cell, line
from hms_svc.tui.widgets.bar import Bar
from hms_svc.tui.widgets.page import Page
from hms_svc.tui.widgets.text_input import TextLine

Answer = TypeVar("Answer")

WIDEST: Final = 110
AROUND: Final = 4
"""Columns and lines of the box that are not the page's, nor to be filled in."""
MOST_SHOWN: Final = 4
LEAST_LINES: Final = 3


class Dialog(ModalScreen[Answer | None], Generic[Answer]):
    """A box over the screen."""

    CSS_PATH = "dialog.tcss"
    takes_typed_ahead: ClassVar[bool] = True
    """Whether keys that were typed before it was shown are meant for it."""
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Leave", show=False)]

    def __init__(self) -> None:
        super().__init__()
        self._keys: tuple[tuple[str, str], ...] = ()
        self.is_whole = True

    def action_leave(self) -> None:
        """Return nothing."""
        self.dismiss(None)

    def foot(self) -> Iterable[Widget]:
        """Return the lines at the foot: what is wrong or was done, where anything is, and the keys."""
        described = Page(id="told")
        described.can_focus = False
        yield described
        yield Bar(id="keys")

    def tell(
        self, *keys: tuple[str, str], wrong: str = "", done: str = "", wanted: str = ""
    ) -> None:
        """Show what the keys do, the most needed first; above them, whole, what is wrong, was done or is wanted."""
        self._keys = keys
        role: Role = "bad" if wrong else "good" if done else "dim"
        described = wrong or done or wanted
        page = self.query_one("#told", Page)
        page.show([line(cell(described, role))])
        page.display = bool(described)
        self._arrange()
        hints = [(Cell(key, "key"), cell(f" {words}  ", "dim")) for key, words in keys]
        self.query_one("#keys", Bar).show((Cell(" "),), hints=hints)

    def _arrange(self) -> None:
        """Return the page the lines that it needs, as far as the others leave them in the middle of the screen."""
        pages = self.query("#page").results(Page)
        for page in pages:
            described = self.query_one("#told", Page)
            width = min(self.size.width * 9 // 10, WIDEST) - AROUND
            others = AROUND + len(self.query(Input))
            others += min(MOST_SHOWN, described.height_at(width)) if described.display else 0
            needed, available = (
                page.height_at(width),
                max(LEAST_LINES, self.size.height - others - 2),
            )
            self.is_whole = needed <= available
            page.styles.height = min(needed, available)

    def on_resize(self) -> None:
        """Fit what is shown to the screen."""
        if self._keys:
            self._arrange()

    def on_text_line_refused(self, message: TextLine.Refused) -> None:
        """Return why what was pasted was not taken."""
        message.stop()
        self.tell(*self._keys, wrong=message.words)

    def on_paste(self, event: events.Paste) -> None:
        """Return, of what was pasted where nothing is typed that it was not taken."""
        if not isinstance(self.focused, Input | TextArea):
            self.tell(*self._keys, wrong="pasted text ignored: there is no input here")
