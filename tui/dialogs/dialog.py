"""What all dialogs have in common: a box in the middle, escape leaves it."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar, cast

from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from tui.text import Cell, Line, cell
from tui.widgets.bar import Bar

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer | None], Generic[Answer]):
    """A box over the screen."""

    CSS_PATH = "dialog.tcss"
    takes_typed_ahead: ClassVar[bool] = True
    """Whether keys that were typed before it was shown are meant for it."""
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Leave", show=False)]

    def action_leave(self) -> None:
        """Give nothing."""
        self.dismiss(None)

    def tell(self, *keys: tuple[str, str], wrong: str = "") -> None:
        """Show what the keys do; before them what is wrong."""
        parts: list[Cell] = [Cell(" ")]
        if wrong:
            parts.append(cell(f"{wrong}  ", "bad"))
        for key, words in keys:
            parts += [Cell(key, "key"), cell(f" {words}  " if key else f"{words}  ", "dim")]
        self.query_one("#keys", Bar).show(cast("Line", tuple(parts)))
