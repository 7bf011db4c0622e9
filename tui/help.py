"""The help: what can be done here, with the key and the command line of each. Pure."""

from __future__ import annotations

from typing import Final

from tui.commands import TABLE, Command, Target, fits, key_sign
from tui.text import Cell, Line, cell, line

_HEADS: Final = {"look": "Look", "act": "Act", "go": "Go", "console": "The console"}
_MOVES: Final = (
    ("↑ ↓ j k", "move"),
    ("pgup pgdn", "a screenful; beyond the last row the next page"),
    ("home end", "first, last; in live lists home follows again"),
    ("tab", "the next panel"),
    ("enter", "open what the cursor is on"),
    ("esc", "take back: marks, filter, screen"),
    ("n N enter", "links within a job: next, former, follow"),
)


def help_lines(target: Target | None) -> list[Line]:
    """Tell every command; those that cannot be done to what is chosen are faint."""
    lines: list[Line] = []
    for group, head in _HEADS.items():
        lines += [() if lines else line(""), line(Cell(f" {head}", "head"))]
        for command in TABLE:
            if command.group == group:
                lines += _told(command, target)
    lines += [(), line(Cell(" Move", "head"))]
    lines += [line(cell(f"  {keys.ljust(11)}", "key"), cell(words)) for keys, words in _MOVES]
    return lines


def _told(command: Command, target: Target | None) -> list[Line]:
    can = fits(command, target)
    sign = f"  {key_sign(command).ljust(11)}"
    first = line(
        cell(sign, "key" if can else "dim"),
        cell(command.title.ljust(23), "strong" if can else "dim"),
        cell(command.help, "" if can else "dim"),
    )
    if not command.cli:
        return [first]
    return [first, line(cell(f"{'':13}$ {command.command_line(target)}", "dim"))]
