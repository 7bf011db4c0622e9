"""What an act would do, before it is done; and how far it is, while it is being done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, Label

from hms_svc.domain.plain_text import plural
from hms_svc.operations.bulk_pace import Pace
from hms_svc.operations.undo import UndoPlan
from hms_svc.tui import formatting as f
from hms_svc.tui.dialogs.dialog import Dialog
from hms_svc.tui.plan_lines import undo_lines
from hms_svc.tui.text import Cell, Line, cell, line
from hms_svc.tui.widgets.page import Page
from hms_svc.tui.widgets.text_input import TextLine

MANY: Final = 20


class Typed(msgspec.Struct, frozen=True):
    """What has to be typed as a yes; `label` stands before the line."""

    label: str
    text: str


def typed_number(number: int) -> Typed | None:
    """Let a number be typed where it is above twenty: for acts that destroy many."""
    return Typed(f"type {number}", str(number)) if number > MANY else None


class ConfirmDialog(Dialog[str]):
    """Shows what would be done, and gives the note with which to do it.

    The `typed` text has to be typed first. `command` is the command line that does the same.
    """

    takes_typed_ahead = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go", "Go", show=False),
        Binding("ctrl+y", "copy", "Copy the command line", show=False, priority=True),
        Binding("pageup", "scroll(-1)", "Page up", show=False),
        Binding("pagedown", "scroll(1)", "Page down", show=False),
    ]

    def __init__(
        self,
        title: str,
        lines: Sequence[Line],
        *,
        verb: str,
        typed: Typed | None = None,
        command: str = "",
        takes_note: bool = True,
    ) -> None:
        super().__init__()
        self._title = title
        self._lines = tuple(lines)
        self._verb = verb
        self._typed = typed
        self._command = command
        self._takes_note = takes_note

    def compose(self) -> ComposeResult:
        """Show it, and the lines to fill in."""
        with Vertical(id="box") as box:
            box.border_title = Content(self._title)
            page = Page(id="page")
            page.can_focus = False  # it scrolls by pgup and pgdn, and tab goes to lines alone
            yield page
            if self._typed is not None:
                with Horizontal():
                    yield Label(Content(self._typed.label), classes="name")
                    yield TextLine(id="typed")
            if self._takes_note:
                with Horizontal():
                    yield Label("note (audit log)", classes="name")
                    yield TextLine(id="note", max_length=500)
            yield from self.foot()

    def on_mount(self) -> None:
        """Show what would be done, and begin with the first line to fill in."""
        self.query_one("#page", Page).show(self._lines)
        lines = self.query(Input)
        if lines:
            self.set_focus(lines.first())
        self.draw_keys()

    def keys(self) -> list[tuple[str, str]]:
        """Return the keys and what they do."""
        found = [("enter", self._verb)]
        found += [("esc", "back")]
        found += [("tab", "next line")] if len(self.query(Input)) > 1 else []
        found += [] if self.is_whole else [("pgdn", "more")]
        return [*found, ("ctrl+y", "copy command")] if self._command else found

    def draw_keys(self, *, wrong: str = "", done: str = "") -> None:
        """Show the keys; above them what is wrong, or was done."""
        self.tell(*self.keys(), wrong=wrong, done=done)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in any line means the whole."""
        event.stop()
        self.action_go()

    def action_scroll(self, step: int) -> None:
        """Show what does not fit."""
        page = self.query_one("#page", Page)
        page.scroll_to(y=page.scroll_y + step * max(1, page.size.height - 1), animate=False)

    def action_copy(self) -> None:
        """Copy the command line."""
        if self._command:
            self.app.copy_to_clipboard(self._command)
            self.draw_keys(done=f"copied: {self._command}")

    def action_go(self) -> None:
        """Return the note, once what has to be typed was typed."""
        if self._typed is not None:
            given = self.query_one("#typed", Input).value.strip()
            if given.replace(",", "") != self._typed.text.replace(",", ""):
                self.draw_keys(wrong=f"{given or 'nothing'} is not {self._typed.text}.")
                return
        self.dismiss(self.query_one("#note", Input).value if self._takes_note else "")


class UndoDialog(ConfirmDialog):
    """Shows what the undoing of an act would do; `o` gives OTHER, for the act of somebody else."""

    OTHER: ClassVar[str] = "other"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("o", "other", "The other's", show=False)]

    def __init__(self, plan: UndoPlan, now: int, command: str) -> None:
        actor = plan.act.actor
        typed = None if plan.is_own else Typed("type that name", actor or "somebody")
        super().__init__(
            f"Undo: {plural(plan.back, 'job')} can be brought back",
            undo_lines(plan, now, command),
            verb="undo",
            typed=typed,
            command=command,
            takes_note=False,
        )
        self._newer = plan.newer

    def keys(self) -> list[tuple[str, str]]:
        """Return the keys, with that of the other act where there is one."""
        found = super().keys()
        return found if self._newer is None else [found[0], ("o", "the other action"), *found[1:]]

    def action_other(self) -> None:
        """Ask for the act of somebody else."""
        if self._newer is not None:
            self.dismiss(self.OTHER)


class ProgressDialog(Dialog[None]):
    """How far a bulk act is; it can be paused and stopped between two chunks, or left behind."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause", "Pause", show=False),
        Binding("c", "stop", "Stop", show=False),
        Binding("b,escape", "leave", "In the background", show=False),
    ]

    def __init__(self, title: str, total: int, pace: Pace) -> None:
        super().__init__()
        self._title = title
        self._total = total
        self._pace = pace
        self.done = 0
        self._is_over = False
        self._is_shown = False
        self.was_left = False

    def compose(self) -> ComposeResult:
        """Show the bar."""
        with Vertical(id="box") as box:
            box.border_title = Content(self._title)
            yield Page(id="page")
            yield from self.foot()

    def on_mount(self) -> None:
        """Show the beginning, where that is not the end already."""
        self._is_shown = True
        if self._is_over:
            self.dismiss()
            return
        self.set_focus(self.query_one("#page", Page))
        self.draw()

    def add(self, jobs: int) -> None:
        """Take in that so many more were dealt with."""
        self.done += jobs
        if self._is_shown and not self.was_left:
            self.draw()

    def finish(self) -> None:
        """Close, now or as soon as nothing lies over it."""
        self._is_over = True
        if self._is_shown and not self.was_left and self.is_current:
            self.dismiss()

    def on_screen_resume(self) -> None:
        """Close where the act has ended meanwhile."""
        if self._is_shown and self._is_over:
            self.dismiss()

    def draw(self) -> None:
        """Show how far it is."""
        part = f.bar(self.done / self._total, 40) if self._total else ""
        of = f" of {self._total:,}" if self._total else ""
        described = line(
            Cell("  "), Cell(part, "accent"), cell(f"  {self.done:,}{of}"),
            Cell("  paused", "warn") if self._pace.paused else Cell(""),
        )  # fmt: skip
        self.query_one("#page", Page).show([(), described])
        pause = "resume" if self._pace.paused else "pause"
        self.tell(("p", pause), ("c", "stop"), ("b", "in the background"))

    def action_leave(self) -> None:
        """Let it go on in the background."""
        self.was_left = True
        self.dismiss()

    def action_pause(self) -> None:
        """Pause before the next chunk, or go on."""
        if self._pace.paused:
            self._pace.resume()
        else:
            self._pace.pause()
        self.draw()

    def action_stop(self) -> None:
        """Leave the rest undone."""
        self._pace.cancel()
        self.draw()
