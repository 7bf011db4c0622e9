"""Lines and texts that are typed in; what is pasted into them is shown harmless, too."""

from __future__ import annotations

from rich.segment import Segment
from textual.strip import Strip
from textual.widgets import Input, TextArea

from hms_svc.domain.plain_text import plain


class TextLine(Input):
    """A line to type in. Its value stays what it is; only what is drawn of it is made plain."""

    def render_line(self, y: int) -> Strip:
        """Draw the line."""
        return harmless(super().render_line(y))


class Editor(TextArea):
    """A text to edit, drawn in the same way."""

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        return harmless(super().render_line(y))


def harmless(strip: Strip) -> Strip:
    """Give a strip of the same width in which nothing can move the cursor."""
    if plain(strip.text) == strip.text:
        return strip
    segments = [Segment(plain(part.text), part.style) for part in strip]
    return Strip(segments).adjust_cell_length(strip.cell_length)
