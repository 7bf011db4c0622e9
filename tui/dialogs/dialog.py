"""The base of all dialogs: a box over the screen, which escape leaves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final, Generic, TypeVar

from textual import events
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input, TextArea

from hms_svc.tui.roles import RoleScreen
from hms_svc.tui.text import Cell, Role, cell, line
from hms_svc.tui.widgets.bar import Bar
from hms_svc.tui.widgets.page import Page
from hms_svc.tui.widgets.text_input import TextLine

Answer = TypeVar("Answer")

MAX_WIDTH: Final = 110
AROUND: Final = 4
"""The columns and lines of the box around its page and inputs."""
MOST_SHOWN: Final = 4
MIN_LINES: Final = 3


class Dialog(RoleScreen[Answer | None], ModalScreen[Answer | None], Generic[Answer]):
    """A box over the screen."""

    CSS_PATH = "dialog.tcss"
    takes_typed_ahead: ClassVar[bool] = True
    """Whether keys that were typed before it was shown go to it."""
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Leave", show=False)]

    def __init__(self) -> None:
        super().__init__()
        self._keys: tuple[tuple[str, str], ...] = ()
        self.is_whole = True

    def action_leave(self) -> None:
        """Dismiss without an answer."""
        self.dismiss(None)

    def foot(self) -> Iterable[Widget]:
        """Return the widgets at the foot: the message line and the keys."""
        message = Page(id="message")
        message.can_focus = False
        yield message
        yield Bar(id="keys")

    def show_keys(
        self, *keys: tuple[str, str], wrong: str = "", done: str = "", wanted: str = ""
    ) -> None:
        """Show the keys, most important first, and above them a message: an error, an outcome or a hint."""
        self._keys = keys
        role: Role = "bad" if wrong else "good" if done else "dim"
        described = wrong or done or wanted
        page = self.query_one("#message", Page)
        page.show([line(cell(described, role))])
        page.display = bool(described)
        self._arrange()
        hints = [(Cell(key, "key"), cell(f" {label}  ", "dim")) for key, label in keys]
        self.query_one("#keys", Bar).show((Cell(" "),), hints=hints)

    def _arrange(self) -> None:
        """Set the height of the page to what it needs, as far as it fits on the screen."""
        pages = self.query("#page").results(Page)
        for page in pages:
            message = self.query_one("#message", Page)
            width = min(self.size.width * 9 // 10, MAX_WIDTH) - AROUND
            others = AROUND + len(self.query(Input))
            others += min(MOST_SHOWN, message.height_at(width)) if message.display else 0
            needed, available = (
                page.height_at(width),
                max(MIN_LINES, self.size.height - others - 2),
            )
            self.is_whole = needed <= available
            page.styles.height = min(needed, available)

    def on_resize(self) -> None:
        """Fit the box to the screen."""
        if self._keys:
            self._arrange()

    def on_text_line_paste_refused(self, message: TextLine.PasteRefused) -> None:
        """Show why pasted text was refused."""
        message.stop()
        self.show_keys(*self._keys, wrong=message.reason)

    def on_paste(self, event: events.Paste) -> None:
        """Show that pasted text is ignored outside of inputs."""
        if not isinstance(self.focused, Input | TextArea):
            self.show_keys(*self._keys, wrong="pasted text ignored: there is no input here")
