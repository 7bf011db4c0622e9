"""The pure part of a table: column widths, the order of rows, and which rows match."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
from rich.cells import cell_len

from hms_svc.domain.errors import BadInput
from hms_svc.tui.text import Cell, Column, Row

MEASURED: Final = 500
"""How many rows are measured for the widths of columns."""
GOES_EARLY: Final = 2
"""Columns with at least this `drop` are left out before a text of the widest-growing column is cut."""
MIN_COLUMN_WIDTH: Final = 3
MAX_WIDTH: Final = 200


class TableView(msgspec.Struct, frozen=True, omit_defaults=True):
    """The user's view of a table: hidden columns, fixed widths, and the column that it is sorted by."""

    hidden: tuple[str, ...] = ()
    widths: Mapping[str, int] = {}
    sort: str = ""
    is_reversed: bool = False


class Layout:
    """The widths of the columns of a table: as wide as their texts need, never shrinking, so that nothing jumps."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._needs = (0,) * len(columns)
        self._known: tuple[object, list[tuple[int, int]]] = (None, [])

    def take(self, rows: Sequence[Row]) -> bool:
        """Measure rows; return whether a column needs more than before."""
        widest = list(self._needs)
        for row in rows[:MEASURED]:
            if row.columns:
                continue
            for index, part in enumerate(row.cells[: len(widest)]):
                widest[index] = max(widest[index], cell_len(part.text.rstrip()))
        before, self._needs = self._needs, tuple(widest)
        return before != self._needs

    def forget(self) -> None:
        """Forget all measurements."""
        self._needs = (0,) * len(self._columns)

    def fit(self, width: int, view: TableView, heads: Mapping[int, int]) -> list[tuple[int, int]]:
        """Return the columns that fit into `width`, with their widths; `heads` are the widths of changed titles."""
        needs: tuple[int, ...] = ()
        if any(self._needs):
            needs = tuple(max(need, heads.get(index, 0)) for index, need in enumerate(self._needs))
        asked = (width, needs, view.hidden, dict(view.widths))
        if self._known[0] != asked:
            self._known = (asked, fit_columns(self._columns, width, needs=needs, view=view))
        return self._known[1]


def fit_columns(
    columns: Sequence[Column],
    width: int,
    *,
    needs: Sequence[int] = (),
    view: TableView | None = None,
) -> list[tuple[int, int]]:
    """Return which columns fit into `width`, and how wide each is: pairs of index and width.

    `needs` are the widths of the texts of each column; without them, space is shared by `grow` alone.
    A column with a `drop` is left out if it is empty, or, from a `drop` of 2, if the column that grows most
    would otherwise be cut. Columns that are too narrow share the remaining space by `grow`; space that no
    column needs goes to the one that grows most.
    """
    view = view or TableView()
    widths = {
        index: _min_width(column, view, needs[index] if needs else None)
        for index, column in enumerate(columns)
    }
    shown = [
        index
        for index, column in enumerate(columns)
        if index == 0 or (column.name not in view.hidden and not _is_empty(column, index, needs))
    ]
    while _total_width(widths, shown) > width:
        droppable = [index for index in shown if columns[index].drop]
        if not droppable:
            break
        shown.remove(max(droppable, key=lambda index: columns[index].drop))
    if needs:
        _drop_early_columns(columns, widths, shown, width, needs)
    free = [index for index in shown if columns[index].name not in view.widths]
    spare = width - _total_width(widths, shown)
    if needs:
        wanted = {index: max(needs[index], _title_width(columns[index])) for index in free}
        spare -= _fill(widths, wanted, {index: columns[index].grow or 1 for index in free}, spare)
        free = sorted(free, key=lambda index: -columns[index].grow)[:1]
    weights = {index: columns[index].grow for index in free}
    total = sum(weights.values())
    if spare > 0 and total:
        for index, weight in weights.items():
            widths[index] += spare * weight // total
    return [(index, widths[index]) for index in shown]


def _drop_early_columns(
    columns: Sequence[Column],
    widths: Mapping[int, int],
    shown: list[int],
    width: int,
    needs: Sequence[int],
) -> None:
    """Drop columns of at least `GOES_EARLY` while the column that grows most would be cut."""
    main = max(shown, key=lambda index: columns[index].grow)
    while widths[main] + width - _total_width(widths, shown) < needs[main]:
        early = [index for index in shown if columns[index].drop >= GOES_EARLY and index != main]
        if not early:
            return
        shown.remove(max(early, key=lambda index: columns[index].drop))


def _min_width(column: Column, view: TableView, need: int | None) -> int:
    """Return the least width of a column; for numbers no more than they need."""
    width = view.widths.get(column.name, column.width)
    if need is not None and column.align == "right" and column.name not in view.widths:
        width = min(width, max(need, _title_width(column)))
    return max(MIN_COLUMN_WIDTH, min(width, MAX_WIDTH))


def _is_empty(column: Column, index: int, needs: Sequence[int]) -> bool:
    return bool(column.drop) and any(needs) and not needs[index]


def _title_width(column: Column) -> int:
    return cell_len(column.title)


def _total_width(widths: Mapping[int, int], shown: Sequence[int]) -> int:
    return sum(widths[index] for index in shown) + max(0, len(shown) - 1)


def _fill(
    widths: dict[int, int], wanted: Mapping[int, int], weights: Mapping[int, int], spare: int
) -> int:
    """Widen columns that are too narrow for their texts, by weight; return how much of `spare` was used."""
    given = 0
    while given < spare:
        short = [index for index in wanted if widths[index] < wanted[index]]
        if not short:
            break
        total, left = sum(weights[index] for index in short), spare - given
        for index in short:
            share = max(1, left * weights[index] // total)
            more = min(share, wanted[index] - widths[index], spare - given)
            widths[index] += more
            given += more
    return given


def sort_rows(rows: Sequence[Row], index: int, *, is_reversed: bool) -> list[Row]:
    """Return the rows sorted by a column: by rank, else by text; empty cells come last.

    Rows that belong to another row stay below it.
    """
    heads = [row for row in rows if not row.under]
    below: dict[str, list[Row]] = {}
    for row in rows:
        if row.under:
            below.setdefault(row.under, []).append(row)
    known = [row for row in heads if _rank(row, index) is not None]
    known.sort(key=lambda row: _rank(row, index) or (0.0, ""), reverse=is_reversed)
    empty = [row for row in heads if _rank(row, index) is None]
    return [each for row in (*known, *empty) for each in (row, *below.get(row.key, ()))]


def _rank(row: Row, index: int) -> tuple[float, str] | None:
    part = row.cells[index] if index < len(row.cells) else Cell("")
    if part.rank is not None:
        return part.rank, ""
    return (float("-inf"), part.text.strip().casefold()) if part.text.strip() else None


def matching(rows: Sequence[Row], columns: Sequence[Column], row_filter: str) -> list[Row]:
    """Return the rows that contain all words of the filter, ignoring case, with the rows that they belong to.

    `column:word` searches that column only; `-word` excludes rows that contain it.
    """
    terms = [_term(word, columns) for word in row_filter.casefold().split()]
    if not terms:
        return list(rows)
    found = {row.key for row in rows if all(_has(row, term) for term in terms)}
    heads = {row.under for row in rows if row.key in found}
    return [row for row in rows if row.key in found or row.key in heads]


_Term = tuple[bool, int | None, str]
"""Whether the word is wanted, the column that is searched (None: all), and the word."""


def _term(word: str, columns: Sequence[Column]) -> _Term:
    is_wanted = not (word.startswith("-") and len(word) > 1)
    word = word if is_wanted else word[1:]
    name, colon, rest = word.partition(":")
    places = [index for index, column in enumerate(columns) if column.name.casefold() == name]
    return (is_wanted, places[0], rest) if colon and places and rest else (is_wanted, None, word)


def _has(row: Row, term: _Term) -> bool:
    is_wanted, index, word = term
    cells: Iterable[Cell] = row.cells if index is None else row.cells[index : index + 1]
    return is_wanted == any(word in part.text.casefold() for part in cells)


def server_terms(
    text: str, names: Sequence[str], older: Mapping[str, str] | None = None
) -> tuple[dict[str, str], str]:
    """Return the values of the terms `name:value` or `-name:value`, with their `-`, and the other words.

    `older` maps further names that are accepted to those that replaced them.
    Raise BadInput for a name that is given twice.
    """
    asked: dict[str, str] = {}
    left = []
    for word in text.split():
        given, colon, value = word.removeprefix("-").partition(":")
        name = (older or {}).get(given, given)
        if name not in names or not colon or not value:
            left.append(word)
        elif name in asked:
            raise BadInput(f"{name}: can be given once; {word!r} is the second")
        else:
            asked[name] = ("-" if word.startswith("-") else "") + value
    return asked, " ".join(left)
