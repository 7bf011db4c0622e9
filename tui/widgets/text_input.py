"""Inputs for a line and for a text, which draw control characters in pasted text as visible signs."""

from __future__ import annotations

from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widgets import Input, TextArea

from hms_svc.domain.plain_text import plain


class TextLine(Input):
    """An input of one line. Its value is unchanged; only the drawn text is sanitised.

    A paste of several lines is refused: its first line alone would not be what was meant.
    Without colour, cursor, selection and suggestion are distinguished by their style.
    """

    DEFAULT_CSS = """
    TextLine:nocolor:focus { text-style: underline; }
    TextLine:nocolor > .input--cursor { text-style: reverse; }
    TextLine:nocolor > .input--selection { text-style: reverse; }
    TextLine:ansi > .input--selection { background: ansi_white; color: ansi_black; }
    TextLine:nocolor > .input--placeholder { text-style: italic; }
    TextLine:nocolor > .input--suggestion { text-style: italic; }
    """

    class PasteRefused(Message):
        """Pasted text was refused, with the reason."""

        def __init__(self, reason: str) -> None:
            super().__init__()
            self.reason = reason

    def _on_paste(self, event: events.Paste) -> None:
        """Accept one line, with or without its line ending."""
        lines = event.text.splitlines()
        if len(lines) != 1:
            event.prevent_default()
            event.stop()
        if len(lines) > 1:
            reason = (
                f"{len(lines)} lines were pasted, but only one is accepted: nothing was inserted"
            )
            self.post_message(self.PasteRefused(reason))

    def render_line(self, y: int) -> Strip:
        """Draw the line."""
        return harmless(super().render_line(y))


class Editor(TextArea):
    """A text editor, drawn in the same way."""

    DEFAULT_CSS = """
    Editor:nocolor .text-area--cursor { text-style: reverse; }
    Editor:nocolor .text-area--selection { text-style: reverse; }
    """

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        return harmless(super().render_line(y))


def harmless(strip: Strip) -> Strip:
    """Return a strip of the same width without control characters."""
    if plain(strip.text) == strip.text:
        return strip
    segments = [Segment(plain(part.text), part.style) for part in strip]
    return Strip(segments).adjust_cell_length(strip.cell_length)
