"""The prompt at the foot for filters, searches and commands, with completion."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final, Literal, TypeAlias

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input

from hms_svc.tui.widgets.text_input import TextLine

Mode: TypeAlias = Literal["filter", "rows", "search", "command"]
"""A filter of jobs, a filter of the rows of a list, a search in a page, or a command."""
Complete: TypeAlias = Callable[[str], list[str]]
MOST_EARLIER = 50
_PLACEHOLDERS: Final[dict[Mode, str]] = {
    "filter": "state:dead type:pothole.* error~timeout age>1h",
    "rows": "words  column:word  -word",
    "search": "words in this page",
    "command": "help",
}


class _Completion(Suggester):
    """Suggests completions from a plain function."""

    def __init__(self, complete: Complete) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._complete = complete

    async def get_suggestion(self, value: str) -> str | None:
        """Return the first completion."""
        return next(iter(self._complete(value)), None)


class Prompt(TextLine):
    """An input that is hidden until it is opened; enter submits it, escape or ctrl+g hides it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+g", "leave", "Leave", show=False, priority=True),
        Binding("tab", "complete(1)", "Complete", show=False, priority=True),
        Binding("shift+tab", "complete(-1)", "Complete backwards", show=False, priority=True),
        Binding("up", "earlier(-1)", "Earlier", show=False),
        Binding("down", "earlier(1)", "Later", show=False),
    ]
    DEFAULT_CSS = """
    Prompt, Prompt:focus {
        display: none; height: 1; border: none; padding: 0 1; background: $surface;
        &.-open { display: block; }
    }
    """

    class Given(Message):
        """A text was submitted."""

        def __init__(self, mode: Mode, text: str) -> None:
            super().__init__()
            self.mode = mode
            self.text = text

    class Left(Message):
        """The prompt was closed without a text."""

    def __init__(self) -> None:
        super().__init__(id="prompt", select_on_focus=False)
        self.mode: Mode = "filter"
        self._earlier: list[str] = []
        self._at = 0
        self._complete: Complete = lambda value: []
        self._circle: list[str] = []

    def ask(self, mode: Mode, text: str, complete: Complete, earlier: list[str]) -> None:
        """Open with this text; submitted texts are added to `earlier`."""
        self.mode, self._earlier = mode, earlier
        self.placeholder = _PLACEHOLDERS[mode]
        self.suggester = _Completion(complete)
        self._complete, self._circle = complete, []
        self._at = len(earlier)
        self.value = f"{text} " if text and mode == "filter" else text
        self.cursor_position = len(self.value)
        self.add_class("-open")
        self.screen.set_focus(self)

    @property
    def is_open(self) -> bool:
        """Whether the prompt is shown."""
        return self.has_class("-open")

    def close(self) -> None:
        """Hide."""
        self.remove_class("-open")

    def action_leave(self) -> None:
        """Close without a text."""
        self.close()
        self.post_message(self.Left())

    def action_complete(self, step: int) -> None:
        """Show the next or previous completion; after the last one, what was typed."""
        if self.value not in self._circle:
            self._circle = [self.value, *self._complete(self.value)]
        at = self._circle.index(self.value)
        self.value = self._circle[(at + step) % len(self._circle)]
        self.cursor_position = len(self.value)

    def action_earlier(self, step: int) -> None:
        """Show an earlier text."""
        self._at = max(0, min(self._at + step, len(self._earlier)))
        self.value = self._earlier[self._at] if self._at < len(self._earlier) else ""
        self.cursor_position = len(self.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Submit the text; the receiver closes the prompt or shows an error."""
        event.stop()
        text = self.value.strip()
        if text and text not in self._earlier:
            self._earlier[:] = [*self._earlier[1 - MOST_EARLIER :], text]
        self.post_message(self.Given(self.mode, text))
