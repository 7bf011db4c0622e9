"""The dialogs to edit a payload, and to confirm it with the results of its checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, Label, TextArea

from hms_svc.domain.errors import MalformedJson
from hms_svc.domain.strict_json import JsonValue, read_strict
from hms_svc.operations.dry_run import Check, CheckVerdict
from hms_svc.tui.dialogs import unsaved
from hms_svc.tui.dialogs.dialog import Dialog
from hms_svc.tui.text import Line, Role, cell, line
from hms_svc.tui.widgets.page import Page
from hms_svc.tui.widgets.text_input import Editor, TextLine

_ROLES: Final[dict[CheckVerdict, Role]] = {
    CheckVerdict.PASSES: "good",
    CheckVerdict.REFUSES: "bad",
    CheckVerdict.BREAKS: "bad",
    CheckVerdict.HOLDS: "warn",
    CheckVerdict.SKIPPED: "dim",
}


class EditDialog(Dialog[list[JsonValue]]):
    """An editor for the data of a job as JSON; returns the data in a list of one, since it may be null."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s,f2", "go", "Check", show=False, priority=True),
        Binding("escape", "leave", "Leave", show=False, priority=True),  # else the editor takes it
    ]

    def __init__(self, job_id: str, text: str, *, original: str) -> None:
        super().__init__()
        self._job_id = job_id
        self._text = text
        self._original = original

    def compose(self) -> ComposeResult:
        """Show the editor in a box."""
        with Vertical(id="box") as box:
            box.border_title = Content(f"Edit and retry {self._job_id}")
            yield Editor(self._text, id="data", show_line_numbers=True, tab_behavior="indent")
            yield from self.foot()

    def on_mount(self) -> None:
        """Focus the editor."""
        self.set_focus(self.query_one("#data", TextArea))
        self._report()

    def _report(self, wrong: str = "") -> None:
        self.show_keys(("ctrl+s", "dry run"), ("esc", "back"), ("ctrl+z", "undo"), wrong=wrong)

    def action_leave(self) -> None:
        """Dismiss without an answer; ask first if there are unsaved changes."""
        if self.query_one("#data", TextArea).text == self._original:
            self.dismiss(None)
        else:
            unsaved.leave(self, what="the edit")

    def action_go(self) -> None:
        """Dismiss with the data, or show why it is not valid JSON."""
        try:
            self.dismiss([read_strict(self.query_one("#data", TextArea).text.encode())])
        except MalformedJson as error:
            self._report(str(error))


class CheckedDialog(Dialog[str]):
    """Shows the results of the checks and the difference; returns the note for the audit log."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "go", "Enqueue", show=False)]

    def __init__(self, checks: Sequence[Check], difference: Sequence[str]) -> None:
        super().__init__()
        self._checks = checks
        self._difference = difference

    def compose(self) -> ComposeResult:
        """Show both in a box."""
        with Vertical(id="box") as box:
            box.border_title = Content("Dry run: nothing was written")
            yield Page(id="page")
            with Horizontal():
                yield Label("note (audit log)", classes="name")
                yield TextLine(id="note", max_length=500)
            yield from self.foot()

    def on_mount(self) -> None:
        """Show the results."""
        self.query_one("#page", Page).show(checked_lines(self._checks, self._difference))
        self.set_focus(self.query_one("#note", Input))
        refused = any(check.stops for check in self._checks)
        self.show_keys(
            ("enter", "enqueue anyway" if refused else "enqueue as a new job"),
            ("esc", "back to the editor"),
        )

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Confirm on enter."""
        event.stop()
        self.action_go()

    def action_go(self) -> None:
        """Dismiss with the note."""
        self.dismiss(self.query_one("#note", Input).value)


def checked_lines(checks: Sequence[Check], difference: Sequence[str]) -> list[Line]:
    """Return the lines of the checks and of the difference."""
    lines: list[Line] = [
        line(
            cell(f"  {check.verdict.value.ljust(8)} ", _ROLES[check.verdict]),
            cell(f"{check.name}  ", "strong"),
            cell(check.message, "dim"),
        )
        for check in checks
    ]
    lines.append(())
    for each in difference:
        role: Role = "good" if each.startswith("+") else "bad" if each.startswith("-") else "dim"
        lines.append(line(cell(f"  {each}", role)))
    return lines
