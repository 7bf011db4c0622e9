"""What is done to lists and pages without changing any job: mark, filter, sort, choose columns, preview."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from hms_svc.tui.commands import Target
from hms_svc.tui.screens.base import current_screen
from hms_svc.tui.table import TableView
from hms_svc.tui.widgets.grid import Grid

if TYPE_CHECKING:
    from hms_svc.tui.host import ConsoleHost


def mark(console: ConsoleHost, target: Target | None, words: str) -> None:
    """Mark the job at the cursor, or take its mark away."""
    if (screen := current_screen(console)) is not None:
        screen.toggle_mark()


def mark_all(console: ConsoleHost, target: Target | None, words: str) -> None:
    """Choose all jobs that match, or none again."""
    if (screen := current_screen(console)) is not None:
        screen.choose_all()


def ask_filter(console: ConsoleHost, target: Target | None, words: str) -> None:
    """Open the prompt for the filter of the list that has the keys, or take one that was typed."""
    console_screen = current_screen(console)
    if words:
        console.take_prompt("filter", words)
    elif console_screen is not None:
        console.open_prompt(console_screen.filter_mode, console_screen.filter_text)


def sort(console: ConsoleHost, target: Target | None, words: str) -> None:
    """Sort the table by a column that is named, else by the next one; after the last its own order comes."""
    grid = _sortable(console)
    if grid is None:
        return
    names = ["", *grid.shown_names]
    if words and words not in names:
        console.say(f"no column {words!r}; there are: {', '.join(grid.shown_names)}", "bad")
        return
    at = names.index(grid.view.sort) if grid.view.sort in names else 0
    sort_by(console, grid, words or names[(at + 1) % len(names)])


def sort_by(console: ConsoleHost, grid: Grid, name: str) -> None:
    """Sort a table by a column, numbers from the largest down; the same column once more the other way."""
    if not grid.can_sort:
        console.say(_why_not(console, grid), "warn")
        return
    is_again = bool(name) and name == grid.view.sort
    is_reversed = not grid.view.is_reversed if is_again else name in grid.names_of_numbers
    _take(console, grid, msgspec.structs.replace(grid.view, sort=name, is_reversed=is_reversed))


def reverse(console: ConsoleHost, target: Target | None, words: str) -> None:
    """Turn the order of a table that is sorted round."""
    grid = _sortable(console)
    if grid is not None and grid.view.sort:
        sort_by(console, grid, grid.view.sort)
    elif grid is not None:
        console.say("not sorted: s sorts by a column", "warn")


def choose_columns(console: ConsoleHost, target: Target | None, words: str) -> None:
    """Let a person choose columns, widths and order of the table that has the keys."""
    console_screen = current_screen(console)
    if console_screen is None or console_screen.table is None:
        console.say("no table on this screen", "warn")
        return
    console.run_worker(_choose(console, console_screen.table), name="console-columns", group="acts")


async def _choose(console: ConsoleHost, grid: Grid) -> None:
    from hms_svc.tui.dialogs.columns import ColumnsDialog

    with console.preparing():
        view = await console.ask(ColumnsDialog(grid.columns, grid.view, can_sort=grid.can_sort))
    if view is not None:
        _take(console, grid, view)


def toggle_preview(console: ConsoleHost, target: Target | None, words: str) -> None:
    """Show the preview beside lists, or hide it; that is remembered."""
    preferences = console.preferences
    preferences.keep_preview(is_shown=not preferences.preview)
    console.say(preferences.trouble or f"preview {'shown' if preferences.preview else 'hidden'}")
    if (screen := current_screen(console)) is not None:
        screen.place_preview()


def copy(console: ConsoleHost, target: Target | None, words: str) -> None:
    """Copy the ids of what is chosen; on a page what a person chooses of it."""
    from hms_svc.tui.screens.inspect import Reading

    console_screen = current_screen(console)
    if isinstance(console_screen, Reading):
        console.run_worker(
            _copy(console, console_screen.copies()), name="console-copy", group="acts"
        )
    elif target is not None:
        console.copy_to_clipboard("\n".join(target.ids) if target.ids else target.where)


async def _copy(console: ConsoleHost, copies: Sequence[tuple[str, str, str]]) -> None:
    from hms_svc.tui.dialogs.copy import CopyDialog

    with console.preparing():
        text = await console.ask(CopyDialog(copies))
    if text is not None:
        console.copy_to_clipboard(text)


def _sortable(console: ConsoleHost) -> Grid | None:
    console_screen = current_screen(console)
    if console_screen is None or console_screen.table is None:
        console.say("no table on this screen", "warn")
        return None
    if not console_screen.table.can_sort:
        console.say(_why_not(console, console_screen.table), "warn")
        return None
    return console_screen.table


def _why_not(console: ConsoleHost, grid: Grid) -> str:
    if grid.is_whole:
        return "workers and slots have different columns and cannot be sorted"
    screen = current_screen(console)
    order = screen.order if screen is not None else ""
    return f"only a complete list can be sorted; this is a page, ordered {order}"


def _take(console: ConsoleHost, grid: Grid, view: TableView) -> None:
    grid.rearrange(view)
    console_screen = current_screen(console)
    if console_screen is not None:
        console.preferences.keep_view(console_screen.name_of(grid), view)
        console_screen.draw(console.store.snapshot)
    way = "largest first" if view.is_reversed else "smallest first"
    described = (
        f"sorted by {view.sort}, {way}" if grid.sorted_by is not None else "in the default order"
    )
    console.say(
        console.preferences.trouble or described, "bad" if console.preferences.trouble else ""
    )


COMMANDS: Final[Mapping[str, Callable[[ConsoleHost, Target | None, str], object]]] = {
    "mark": mark, "mark-all": mark_all, "filter": ask_filter, "copy": copy, "sort": sort,
    "reverse": reverse, "columns": choose_columns, "preview": toggle_preview,
}  # fmt: skip
"""The commands of this module by their names."""
