"""The parts of screens: cells and lines of sanitised text with a role. Pure; no markup."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

import msgspec
from rich.cells import cell_len, set_cell_size

from hms_svc.domain.plain_text import plain

Role: TypeAlias = Literal["", "dim", "strong", "accent", "good", "warn", "bad", "head", "key"]
ROLES: Final[tuple[Role, ...]] = (
    "",
    "dim",
    "strong",
    "accent",
    "good",
    "warn",
    "bad",
    "head",
    "key",
)
ELLIPSIS: Final = "…"


class Cell(msgspec.Struct, frozen=True, gc=False):
    """A part of one line. Made by `cell`, so that it contains no control characters.

    A table sorts by `rank` if it is set, else by the text.
    """

    text: str
    role: Role = ""
    rank: float | None = None


Line: TypeAlias = tuple[Cell, ...]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a grid; `key` identifies what it shows across refreshes.

    `columns` are set if they differ from those of the grid.
    `under` is the key of the row that it belongs to and stays below.
    """

    key: str
    cells: tuple[Cell, ...]
    is_gone: bool = False
    columns: tuple[Column, ...] = ()
    under: str = ""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column: at least `width` cells, more by its `grow`; the highest `drop` is dropped first, 0 never.

    A text that is too long is cut at the end, or, if it `keeps_end`, at the start.
    Its name is the title, or `named` if that is set.
    """

    title: str
    width: int
    align: Literal["left", "right"] = "left"
    grow: int = 0
    drop: int = 0
    keeps_end: bool = False
    named: str = ""

    @property
    def name(self) -> str:
        """The name of the column for choosing, sorting and filtering."""
        return self.named or self.title


def cell(text: object, role: Role = "", *, rank: float | None = None) -> Cell:
    """Make a cell of any text, with control characters made visible."""
    return Cell(plain(str(text)), role, rank)


def line(*parts: Cell | str) -> Line:
    """Make a line of cells and plain strings."""
    return tuple(part if isinstance(part, Cell) else cell(part) for part in parts)


def fit(text: str, width: int, align: Literal["left", "right"] = "left") -> str:
    """Pad or cut a text to exactly `width` cells; a cut is marked with an ellipsis."""
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + ELLIPSIS if width > 1 else ELLIPSIS[:width]
    return (
        text.rjust(len(text) + width - length) if align == "right" else set_cell_size(text, width)
    )


def fit_end(text: str, width: int) -> str:
    """Pad a text to exactly `width` cells, or cut its start: ids differ at the end."""
    while cell_len(text) > width:
        text = ELLIPSIS + text[2 if text.startswith(ELLIPSIS) else 1 :]
    return set_cell_size(text, width)


def wrap(lines: Iterable[Line], width: int) -> list[Line]:
    """Wrap lines that are wider than `width` cells; continuation lines are indented to the last cell."""
    return [piece for whole in lines for piece in _wrap_line(whole, max(width, 10))]


def _wrap_line(whole: Line, width: int) -> list[Line]:
    if sum(len(part.text) for part in whole) <= width // 2:
        return [whole]
    indent = _indent_of(whole, width)
    pieces: list[Line] = []
    current: list[Cell] = []
    available, is_fresh = width, True
    for part in whole:
        text, start = part.text, 0
        while (end := _fitting(text, start, available)) < len(text):
            stop, following = _break_at(text, start, end, available, must=is_fresh)
            head = (Cell(text[start:stop], part.role),) if stop > start else ()
            pieces.append((*current, *head))
            current, available, is_fresh, start = (
                [Cell(" " * indent)],
                width - indent,
                True,
                following,
            )
        rest = text[start:]
        current.append(Cell(rest, part.role))
        available -= cell_len(rest)
        is_fresh = is_fresh and not rest
    return [*pieces, tuple(current)] if pieces else [whole]


def _indent_of(whole: Line, width: int) -> int:
    before = 0
    for part in whole[:-1]:
        before += cell_len(part.text[: width + 1])
    return before if before <= width // 2 else 2


def _break_at(text: str, start: int, end: int, available: int, *, must: bool) -> tuple[int, int]:
    """Return where to break a text that fits from `start` to `end`, and where the next piece starts."""
    blank = text.rfind(" ", start, end)
    if blank > start + (end - start) // 2:
        return blank, blank + 1
    if not must and available < 12 and blank < 0:
        return start, start
    return end, end


def _fitting(text: str, start: int, available: int) -> int:
    """Return the end of the part that fits; no wide character is cut in two."""
    end = min(len(text), start + available)
    candidate = text[start:end]
    if candidate.isascii() and candidate.isprintable():
        return _with_marks(text, end)
    for place in range(start, end):
        available -= cell_len(text[place])
        if available < 0:
            return place
    return (
        _with_marks(text, end)
        if available == 0 or end == len(text)
        else _fitting(text, end, available)
    )


def _with_marks(text: str, end: int) -> int:
    """Extend the end over combining characters of no width."""
    while end < len(text) and cell_len(text[end]) == 0:
        end += 1
    return end
