"""The help: every command with its key and its equivalent command line. Pure."""

from __future__ import annotations

from typing import Final

from hms_svc.domain.filter_terms import EXAMPLES
from hms_svc.tui.command_keys import key_sign
from hms_svc.tui.commands import TABLE, Command, Target, fits
from hms_svc.tui.text import Cell, Line, Role, cell, line

INDENT: Final = 13
EXAMPLE: Final = 24
_HEADS: Final = {"view": "View", "act": "Act", "go": "Go", "console": "The console"}
_MOVES: Final = (
    ("↑ ↓ j k", "move"),
    ("pgup pgdn", "one screen; past the last row, the next page"),
    ("home end", "first or last row; in live lists, home follows new rows again"),
    ("tab", "next panel; on a page, the next link or section"),
    ("enter", "open the item at the cursor"),
    ("esc", "clear the marks, clear the filter, go back"),
    ("n N", "on a page, after /: next or previous match"),
    ("z Z", "on a page: fold or unfold a section, or all"),
    ("W ← →", "on a page: wrap lines or not; scroll sideways"),
    ("F", "on a page: follow the log of a running job"),
)


def help_lines(target: Target | None) -> list[Line]:
    """List every command; those that do not accept the target are dimmed."""
    lines: list[Line] = []
    for group, head in _HEADS.items():
        lines += [() if lines else line(""), line(Cell(f" {head}", "head"))]
        for command in TABLE:
            if command.group == group:
                lines += _described(command, target)
    lines += [(), line(Cell(" Fields of the filter", "head"))]
    for example, text in EXAMPLES.values():
        lines.append(line(cell(f"  {example}".ljust(EXAMPLE), "accent"), cell(text)))
    lines += [
        _indented('terms are combined with AND; also OR, - or NOT, ( ), and "quoted text"'),
        (),
        line(Cell(" Move", "head")),
    ]
    lines += [line(cell(f"  {keys.ljust(11)}", "key"), cell(text)) for keys, text in _MOVES]
    return lines


def _indented(text: str, role: Role = "") -> Line:
    """Return a line that is indented past the keys, also when it wraps."""
    return line(cell(" " * INDENT), cell(text, role))


def _described(command: Command, target: Target | None) -> list[Line]:
    can = fits(command, target)
    sign = f"  {key_sign(command)}".ljust(INDENT)
    lines = [
        line(cell(sign, "key" if can else "dim"), cell(command.title, "strong" if can else "dim")),
        _indented(command.help, "" if can else "dim"),
    ]
    if command.cli:
        lines.append(line(cell("  $ ", "dim"), cell(command.command_line(target), "dim")))
    return lines
