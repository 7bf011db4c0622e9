"""Lines and texts that are typed in; what is pasted into them is shown harmless, too."""

from __future__ import annotations

from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widgets import Input, TextArea

from hms_svc.domain.plain_text import plain


class TextLine(Input):
    """A line to type in. Its value stays what it is; only what is drawn of it is made plain.

    Of a paste of many lines none is taken: the first alone would be something else than was meant.
    Without colour the cursor, what is selected and what is only suggested are told by their style.
    """

    DEFAULT_CSS = """
    TextLine:nocolor:focus { text-style: underline; }
    TextLine:nocolor > .input--cursor { text-style: reverse; }
    TextLine:nocolor > .input--selection { text-style: reverse; }
    TextLine:ansi > .input--selection { background: ansi_white; color: ansi_black; }
    TextLine:nocolor > .input--placeholder { text-style: italic; }
    TextLine:nocolor > .input--suggestion { text-style: italic; }
    """

    class Refused(Message):
        """What was pasted was not taken, in words."""

        def __init__(self, words: str) -> None:
            super().__init__()
            self.words = words

    def _on_paste(self, event: events.Paste) -> None:
        """Take one line, with or without its end."""
        lines = event.text.splitlines()
        if len(lines) != 1:
            event.prevent_default()
            event.stop()
        if len(lines) > 1:
            words = (
                f"{len(lines)} lines were pasted, but only one is accepted: nothing was inserted"
            )
            self.post_message(self.Refused(words))

    def render_line(self, y: int) -> Strip:
        """Draw the line."""
        return harmless(super().render_line(y))


class Editor(TextArea):
    """A text to edit, drawn in the same way."""

    DEFAULT_CSS = """
    Editor:nocolor .text-area--cursor { text-style: reverse; }
    Editor:nocolor .text-area--selection { text-style: reverse; }
    """

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        return harmless(super().render_line(y))


def harmless(strip: Strip) -> Strip:
    """Return a strip of the same width in which nothing can move the cursor."""
    if plain(strip.text) == strip.text:
        return strip
    segments = [Segment(plain(part.text), part.style) for part in strip]
    return Strip(segments).adjust_cell_length(strip.cell_length)
