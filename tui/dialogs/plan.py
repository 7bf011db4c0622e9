"""What an act would do, before it is done; and how far it is, while it is being done."""

from __future__ import annotations

from collections import Counter
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


class PlanDialog(Dialog[str]):
    """Shows a plan, and gives the note with which it is to be carried out.

    Where it destroys many, their number has to be typed.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "go", "Go", show=False)]

    def __init__(self, plan: Plan, *, is_sure: bool, command_line: str) -> None:
        super().__init__()
        self._plan = plan
        self._needs_count = is_sure and len(plan.job_ids) > MANY
        self._command_line = command_line

    def compose(self) -> ComposeResult:
        """Show the plan, and the lines to fill in."""
        with Vertical(id="box") as box:
            jobs = f.plural(len(self._plan.job_ids), "job")
            box.border_title = Content(f"{self._plan.act.value.capitalize()} {jobs}")
            yield Page(id="page")
            with Horizontal():
                yield Label("note for the audit", classes="name")
                yield TextLine(id="note", max_length=500)
            if self._needs_count:
                with Horizontal():
                    yield Label("type their number", classes="name")
                    yield TextLine(id="count", placeholder=str(len(self._plan.job_ids)))
            yield Bar(id="keys")

    def on_mount(self) -> None:
        """Show what is planned."""
        self.query_one("#page", Page).show(plan_lines(self._plan, self._command_line))
        self.query_one("#count" if self._needs_count else "#note", Input).focus()
        self._tell()

    def _tell(self, wrong: str = "") -> None:
        keys = [("tab", "next line")] if self._needs_count else []
        self.tell(("enter", self._plan.act.value), *keys, ("esc", "leave it"), wrong=wrong)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in any line means the whole."""
        event.stop()
        self.action_go()

    def action_go(self) -> None:
        """Give the note, where the number is right."""
        if self._needs_count:
            typed = self.query_one("#count", Input).value.replace(",", "").strip()
            if typed != str(len(self._plan.job_ids)):
                self._tell(f"{typed or 'nothing'} is not {len(self._plan.job_ids)}.")
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

    def compose(self) -> ComposeResult:
        """Show the bar."""
        with Vertical(id="box") as box:
            box.border_title = Content(self._title)
            yield Page(id="page")
            yield Bar(id="keys")

    def on_mount(self) -> None:
        """Show the beginning."""
        self.query_one("#page", Page).focus()
        self.draw()

    def add(self, jobs: int) -> None:
        """Take in that so many more were dealt with."""
        self.done += jobs
        if self.is_mounted:
            self.draw()

    def draw(self) -> None:
        """Show how far it is."""
        part = self.done / self._total if self._total else 1.0
        told = line(
            Cell("  "), Cell(f.bar(part, 40), "accent"),
            cell(f"  {self.done:,} of {self._total:,}"),
            Cell("  paused", "warn") if self._pace.paused else Cell(""),
        )  # fmt: skip
        self.query_one("#page", Page).show([(), told])
        pause = "go on" if self._pace.paused else "pause"
        self.tell(("p", pause), ("c", "stop here"), ("b", "in the background"))

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
