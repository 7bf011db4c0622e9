"""What an act would do, before it is done; and how far it is, while it is being done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, Label

from hms_svc.operations.pace import Pace
from hms_svc.operations.plan import Plan
from tui import formatting as f
from tui.dialogs.dialog import Dialog
from tui.rows import SIGNS
from tui.text import Cell, Line, cell, line
from tui.widgets.bar import Bar
from tui.widgets.page import Page
from tui.widgets.typing import TextLine

MANY: Final = 20
SHOWN: Final = 12


class ConfirmDialog(Dialog[str]):
    """Shows what would be done, and gives the note with which to do it.

    A `number` above twenty has to be typed: for acts that destroy many.
    """

    takes_typed_ahead = False
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "go", "Go", show=False)]

    def __init__(self, title: str, lines: Sequence[Line], *, verb: str, number: int = 0) -> None:
        super().__init__()
        self._title = title
        self._lines = tuple(lines)
        self._verb = verb
        self._number = number
        self._needs_count = number > MANY

    def compose(self) -> ComposeResult:
        """Show it, and the lines to fill in."""
        with Vertical(id="box") as box:
            box.border_title = Content(self._title)
            yield Page(id="page")
            with Horizontal():
                yield Label("note for the audit", classes="name")
                yield TextLine(id="note", max_length=500)
            if self._needs_count:
                with Horizontal():
                    yield Label("type their number", classes="name")
                    yield TextLine(id="count", placeholder=str(self._number))
            yield Bar(id="keys")

    def on_mount(self) -> None:
        """Show what would be done."""
        self.query_one("#page", Page).show(self._lines)
        self.set_focus(self.query_one("#count" if self._needs_count else "#note", Input))
        self._tell()

    def _tell(self, wrong: str = "") -> None:
        keys = [("tab", "next line")] if self._needs_count else []
        self.tell(("enter", self._verb), *keys, ("esc", "leave it"), wrong=wrong)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in any line means the whole."""
        event.stop()
        self.action_go()

    def action_go(self) -> None:
        """Give the note, where the number is right."""
        if self._needs_count:
            typed = self.query_one("#count", Input).value.replace(",", "").strip()
            if typed != str(self._number):
                self._tell(f"{typed or 'nothing'} is not {self._number}.")
                return
        self.dismiss(self.query_one("#note", Input).value)


def plan_lines(plan: Plan, command_line: str) -> list[Line]:
    """Tell what is planned: which groups, and which jobs it cannot be done to, with why."""
    lines: list[Line] = []
    for group in plan.groups[:SHOWN]:
        sign, role = SIGNS[group.state]
        lines.append(
            line(
                cell(f"{group.count:>9,} ", "strong"),
                cell(f"{sign} {group.state}".ljust(13), role),
                cell(f"{group.type}  "),
                cell(group.reason, "dim"),
                cell(f"  rule {group.rule}" if group.rule else "", "accent"),
            )
        )
    if len(plan.groups) > SHOWN:
        lines.append(line(cell(f"          and {len(plan.groups) - SHOWN} groups more", "dim")))
    if plan.cannot:
        lines.append(())
        for why, number in Counter(outcome.why for outcome in plan.cannot).most_common(5):
            lines.append(line(cell(f"{number:>9,} ", "warn"), cell(f"cannot: {why}", "warn")))
    if plan.where:
        lines += [(), line(cell("  of all that match ", "dim"), cell(plan.where, "accent"))]
    return [*lines, (), line(cell("  $ ", "dim"), cell(command_line, "dim")), ()]


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
            yield Bar(id="keys")

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
        told = line(
            Cell("  "), Cell(part, "accent"), cell(f"  {self.done:,}{of}"),
            Cell("  paused", "warn") if self._pace.paused else Cell(""),
        )  # fmt: skip
        self.query_one("#page", Page).show([(), told])
        pause = "go on" if self._pace.paused else "pause"
        self.tell(("p", pause), ("c", "stop here"), ("b", "in the background"))

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
