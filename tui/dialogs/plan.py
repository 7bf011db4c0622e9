"""Dialogs that confirm an action before it is carried out, and that show its progress."""

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
from hms_svc.tui import formats as f
from hms_svc.tui.dialogs.dialog import Dialog
from hms_svc.tui.plan_lines import undo_lines
from hms_svc.tui.text import Cell, Line, cell, line
from hms_svc.tui.widgets.page import Page
from hms_svc.tui.widgets.text_input import TextLine

MANY: Final = 20


class Confirmation(msgspec.Struct, frozen=True):
    """A text that has to be typed to confirm; `label` is shown before the input."""

    label: str
    text: str


def typed_number(number: int) -> Confirmation | None:
    """Require the number to be typed if it is above twenty: for actions that destroy many jobs."""
    return Confirmation(f"type {number}", str(number)) if number > MANY else None


class ConfirmDialog(Dialog[str]):
    """Shows what an action would do; returns the note for the audit log.

    The `typed` text has to be typed to confirm. `command` is the equivalent command line.
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
        typed: Confirmation | None = None,
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
        """Show the plan and the inputs."""
        with Vertical(id="box") as box:
            box.border_title = Content(self._title)
            page = Page(id="page")
            page.can_focus = False  # pgup and pgdn scroll it, and tab goes to the inputs only
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
        """Show the plan, and focus the first input."""
        self.query_one("#page", Page).show(self._lines)
        lines = self.query(Input)
        if lines:
            self.set_focus(lines.first())
        self.draw_keys()

    def keys(self) -> list[tuple[str, str]]:
        """Return the keys with their labels."""
        found = [("enter", self._verb)]
        found += [("esc", "back")]
        found += [("tab", "next line")] if len(self.query(Input)) > 1 else []
        found += [] if self.is_whole else [("pgdn", "more")]
        return [*found, ("ctrl+y", "copy command")] if self._command else found

    def draw_keys(self, *, wrong: str = "", done: str = "") -> None:
        """Show the keys, and above them an error or an outcome."""
        self.show_keys(*self.keys(), wrong=wrong, done=done)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Confirm on enter in any input."""
        event.stop()
        self.action_go()

    def action_scroll(self, step: int) -> None:
        """Scroll the plan by a page."""
        page = self.query_one("#page", Page)
        page.scroll_to(y=page.scroll_y + step * max(1, page.size.height - 1), animate=False)

    def action_copy(self) -> None:
        """Copy the command line."""
        if self._command:
            self.app.copy_to_clipboard(self._command)
            self.draw_keys(done=f"copied: {self._command}")

    def action_go(self) -> None:
        """Dismiss with the note, once the text to confirm was typed."""
        if self._typed is not None:
            given = self.query_one("#typed", Input).value.strip()
            if given.replace(",", "") != self._typed.text.replace(",", ""):
                self.draw_keys(wrong=f"{given or 'nothing'} is not {self._typed.text}.")
                return
        self.dismiss(self.query_one("#note", Input).value if self._takes_note else "")


class UndoDialog(ConfirmDialog):
    """Shows what an undo would do; `o` returns OTHER, for the newer action of another user."""

    OTHER: ClassVar[str] = "other"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("o", "other", "The other's", show=False)]

    def __init__(self, plan: UndoPlan, now: int, command: str) -> None:
        actor = plan.act.actor
        typed = None if plan.is_own else Confirmation("type that name", actor or "somebody")
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
        """Return the keys, with `o` if there is a newer action of another user."""
        found = super().keys()
        return found if self._newer is None else [found[0], ("o", "the other action"), *found[1:]]

    def action_other(self) -> None:
        """Dismiss with OTHER, to undo the action of another user."""
        if self._newer is not None:
            self.dismiss(self.OTHER)


class ProgressDialog(Dialog[None]):
    """The progress of a bulk action; it can be paused or stopped between chunks, or left in the background."""

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
        """Show the progress bar."""
        with Vertical(id="box") as box:
            box.border_title = Content(self._title)
            yield Page(id="page")
            yield from self.foot()

    def on_mount(self) -> None:
        """Show the progress, or close if the action has already ended."""
        self._is_shown = True
        if self._is_over:
            self.dismiss()
            return
        self.set_focus(self.query_one("#page", Page))
        self.draw()

    def add(self, jobs: int) -> None:
        """Add a number of processed jobs."""
        self.done += jobs
        if self._is_shown and not self.was_left:
            self.draw()

    def finish(self) -> None:
        """Close, now or as soon as no other dialog covers it."""
        self._is_over = True
        if self._is_shown and not self.was_left and self.is_current:
            self.dismiss()

    def on_screen_resume(self) -> None:
        """Close if the action ended while another dialog covered this one."""
        if self._is_shown and self._is_over:
            self.dismiss()

    def draw(self) -> None:
        """Show the progress."""
        part = f.bar(self.done / self._total, 40) if self._total else ""
        of = f" of {self._total:,}" if self._total else ""
        described = line(
            Cell("  "),
            Cell(part, "accent"),
            cell(f"  {self.done:,}{of}"),
            Cell("  paused", "warn") if self._pace.paused else Cell(""),
        )
        self.query_one("#page", Page).show([(), described])
        pause = "resume" if self._pace.paused else "pause"
        self.show_keys(("p", pause), ("c", "stop"), ("b", "in the background"))

    def action_leave(self) -> None:
        """Continue in the background."""
        self.was_left = True
        self.dismiss()

    def action_pause(self) -> None:
        """Pause before the next chunk, or resume."""
        if self._pace.paused:
            self._pace.resume()
        else:
            self._pace.pause()
        self.draw()

    def action_stop(self) -> None:
        """Stop before the next chunk."""
        self._pace.cancel()
        self.draw()
