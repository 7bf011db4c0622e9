"""Commands for lists and pages that change no job: mark, filter, sort, columns, preview, copy."""

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


def mark(console: ConsoleHost, target: Target | None, argument: str) -> None:
    """Mark or unmark the job at the cursor."""
    if (screen := current_screen(console)) is not None:
        screen.toggle_mark()


def mark_all(console: ConsoleHost, target: Target | None, argument: str) -> None:
    """Select all jobs that match, or clear that selection."""
    if (screen := current_screen(console)) is not None:
        screen.select_all()


def ask_filter(console: ConsoleHost, target: Target | None, argument: str) -> None:
    """Open the filter prompt of the focused list, or apply a filter that was typed."""
    console_screen = current_screen(console)
    if argument:
        console.take_prompt("filter", argument)
    elif console_screen is not None:
        console.open_prompt(console_screen.filter_mode, console_screen.filter_text)


def sort(console: ConsoleHost, target: Target | None, argument: str) -> None:
    """Sort the table by a named column, else by the next one; after the last column in the default order."""
    grid = _sortable(console)
    if grid is None:
        return
    names = ["", *grid.shown_names]
    if argument and argument not in names:
        console.show_notice(
            f"no column {argument!r}; there are: {', '.join(grid.shown_names)}", "bad"
        )
        return
    at = names.index(grid.view.sort) if grid.view.sort in names else 0
    sort_by(console, grid, argument or names[(at + 1) % len(names)])


def sort_by(console: ConsoleHost, grid: Grid, name: str) -> None:
    """Sort a table by a column, numbers in descending order; the same column again reverses the order."""
    if not grid.can_sort:
        console.show_notice(_why_unsortable(console, grid), "warn")
        return
    is_again = bool(name) and name == grid.view.sort
    is_reversed = not grid.view.is_reversed if is_again else name in grid.names_of_numbers
    _take(console, grid, msgspec.structs.replace(grid.view, sort=name, is_reversed=is_reversed))


def reverse(console: ConsoleHost, target: Target | None, argument: str) -> None:
    """Reverse the order of a sorted table."""
    grid = _sortable(console)
    if grid is not None and grid.view.sort:
        sort_by(console, grid, grid.view.sort)
    elif grid is not None:
        console.show_notice("not sorted: s sorts by a column", "warn")


def choose_columns(console: ConsoleHost, target: Target | None, argument: str) -> None:
    """Open the dialog for columns, widths and order of the focused table."""
    console_screen = current_screen(console)
    if console_screen is None or console_screen.table is None:
        console.show_notice("no table on this screen", "warn")
        return
    console.run_worker(_choose(console, console_screen.table), name="console-columns", group="acts")


async def _choose(console: ConsoleHost, grid: Grid) -> None:
    from hms_svc.tui.dialogs.columns import ColumnsDialog

    with console.preparing():
        view = await console.ask(ColumnsDialog(grid.columns, grid.view, can_sort=grid.can_sort))
    if view is not None:
        _take(console, grid, view)


def toggle_preview(console: ConsoleHost, target: Target | None, argument: str) -> None:
    """Show or hide the preview beside lists, and remember it."""
    preferences = console.preferences
    preferences.keep_preview(is_shown=not preferences.preview)
    console.show_notice(
        preferences.trouble or f"preview {'shown' if preferences.preview else 'hidden'}"
    )
    if (screen := current_screen(console)) is not None:
        screen.place_preview()


def copy(console: ConsoleHost, target: Target | None, argument: str) -> None:
    """Copy the ids of the selection; on a page ask what to copy."""
    from hms_svc.tui.screens.page_screens import PageScreen

    console_screen = current_screen(console)
    if isinstance(console_screen, PageScreen):
        console.run_worker(
            _copy(console, console_screen.copies()), name="console-copy", group="acts"
        )
    elif target is not None:
        console.copy_to_clipboard("\n".join(target.ids) if target.ids else target.where)


async def _copy(console: ConsoleHost, copies: Sequence[tuple[str, str, str]]) -> None:
    from hms_svc.tui.dialogs.copy_dialog import CopyDialog

    with console.preparing():
        text = await console.ask(CopyDialog(copies))
    if text is not None:
        console.copy_to_clipboard(text)


def _sortable(console: ConsoleHost) -> Grid | None:
    console_screen = current_screen(console)
    if console_screen is None or console_screen.table is None:
        console.show_notice("no table on this screen", "warn")
        return None
    if not console_screen.table.can_sort:
        console.show_notice(_why_unsortable(console, console_screen.table), "warn")
        return None
    return console_screen.table


def _why_unsortable(console: ConsoleHost, grid: Grid) -> str:
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
    console.show_notice(
        console.preferences.trouble or described, "bad" if console.preferences.trouble else ""
    )


COMMANDS: Final[Mapping[str, Callable[[ConsoleHost, Target | None, str], object]]] = {
    "mark": mark,
    "mark-all": mark_all,
    "filter": ask_filter,
    "copy": copy,
    "sort": sort,
    "reverse": reverse,
    "columns": choose_columns,
    "preview": toggle_preview,
}
"""The commands of this module by their names."""
