"""The form for a job: an input for each field of its payload, and the number of jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, Label

from hms_svc.domain.errors import BadInput
from hms_svc.domain.strict_json import JsonValue
from hms_svc.operations.forms import FURTHER, Form, fill
from hms_svc.tui.dialogs import unsaved
from hms_svc.tui.dialogs.dialog import Dialog
from hms_svc.tui.widgets.text_input import TextLine

MOST = 10_000


class FilledIn(msgspec.Struct, frozen=True):
    """The result of a form: the data of the job, and how many jobs to enqueue."""

    data: JsonValue
    count: int


class FormDialog(Dialog[FilledIn]):
    """Asks for each field; only valid data can be submitted."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "app.focus_next", "Next", show=False),
        Binding("up", "app.focus_previous", "Previous", show=False),
    ]

    def __init__(self, form: Form, texts: Mapping[str, str]) -> None:
        super().__init__()
        self._form = form
        self._texts = texts
        self._first: list[str] = []

    def compose(self) -> ComposeResult:
        """Show an input for each field."""
        with Vertical(id="box") as box:
            box.border_title = Content(f"Enqueue {self._form.type}")
            with VerticalScroll(id="fields", can_focus=False):
                for number, field in enumerate(self._form.fields):
                    with Horizontal():
                        star = " *" if field.required else ""
                        name = "other fields (JSON)" if field.name == FURTHER else field.name
                        yield Label(Content(f"{name}{star}"), classes="name")
                        text = self._texts.get(field.name, field.default)
                        yield TextLine(
                            text, id=f"field-{number}", placeholder=field.hint, compact=True
                        )
                with Horizontal():
                    yield Label("how many", classes="name")
                    yield TextLine("1", id="count", compact=True)
            yield from self.foot()

    def on_mount(self) -> None:
        """Focus the first field."""
        self._first = self._filled_in()
        self.set_focus(self.query(Input).first())
        self._report()

    def on_descendant_focus(self) -> None:
        """Show a hint for the focused field."""
        self._report()

    def _report(self, wrong: str = "") -> None:
        wanted = self._wanted()
        keys = ("enter", "enqueue"), ("esc", "back"), ("tab", "next")
        self.show_keys(*keys, wrong=wrong, wanted=wanted)

    def action_leave(self) -> None:
        """Dismiss without an answer; ask first if something was filled in."""
        if self._filled_in() == self._first:
            self.dismiss(None)
        else:
            unsaved.leave(self, what="your input")

    def _filled_in(self) -> list[str]:
        return [each.value for each in self.query(Input)]

    def _wanted(self) -> str:
        name = str(self.focused.id) if self.focused is not None else ""
        number = name.removeprefix("field-")
        if not number.isdecimal():
            return ""
        field = self._form.fields[int(number)]
        return f"{field.name}: {field.expected}" if field.expected else ""

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Dismiss with the input, or show what is wrong with it."""
        event.stop()
        texts = {
            field.name: self.query_one(f"#field-{number}", Input).value
            for number, field in enumerate(self._form.fields)
        }
        try:
            self.dismiss(FilledIn(fill(self._form, texts), self._count()))
        except BadInput as error:
            self._report(str(error))

    def _count(self) -> int:
        text = self.query_one("#count", Input).value.strip()
        if not text.isdecimal() or not 1 <= int(text) <= MOST:
            raise BadInput(f"how many: {text!r} is not a number from 1 to {MOST:,}")
        return int(text)
