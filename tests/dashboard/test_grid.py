"""The grid alone: the cursor stays on its key when rows change."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.screen import Screen

from hms_svc.tui.roles import RoleScreen
from hms_svc.tui.text import Column, Row, cell
from hms_svc.tui.themes import DARK
from hms_svc.tui.widgets.grid import Grid

COLUMNS = (Column(title="Things", width=10, grow=1), Column(title="n", width=4, align="right"))


def rows(names: Sequence[str]) -> list[Row]:
    return [Row(key=name, cells=(cell(name), cell(len(name)))) for name in names]


class OneGrid(App[None]):
    def __init__(self, *, follows: bool = False) -> None:
        super().__init__()
        self.grid = Grid(COLUMNS, follows=follows)
        self.beyond: list[int] = []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return DARK.variables

    def get_default_screen(self) -> Screen[None]:
        return RoleScreen(id="_default")

    def compose(self) -> ComposeResult:
        yield self.grid

    def on_grid_beyond(self, message: Grid.Beyond) -> None:
        self.beyond.append(message.step)

    def lines(self) -> list[str]:
        return [self.grid.render_line(y).text.rstrip() for y in range(self.grid.size.height)]


async def shown(pilot: Pilot[None], app: OneGrid, names: Sequence[str]) -> None:
    app.grid.show(rows(names))
    await pilot.pause()


async def test_the_cursor_follows_its_key_when_rows_move() -> None:
    app = OneGrid()
    async with app.run_test(size=(30, 8)) as pilot:
        await shown(pilot, app, "abcdef")
        await pilot.press("down", "down")
        await shown(pilot, app, ["x", "y", *"abcdef"])
        assert app.grid.cursor == "c"
        assert [line for line in app.lines() if line.startswith("▸")] == [
            "▸c                          1"
        ]


async def test_the_row_at_the_cursor_keeps_its_line_when_rows_are_added_above() -> None:
    app = OneGrid()
    async with app.run_test(size=(30, 8)) as pilot:
        names = [f"row {number}" for number in range(50)]
        await shown(pilot, app, names)
        for _ in range(20):
            await pilot.press("down")
        stood = app.lines().index(next(line for line in app.lines() if line.startswith("▸")))
        await shown(pilot, app, [f"new {number}" for number in range(7)] + names)
        assert app.lines()[stood].startswith("▸row 20")


async def test_a_row_that_vanishes_under_the_cursor_stays_until_the_cursor_leaves() -> None:
    app = OneGrid()
    async with app.run_test(size=(30, 8)) as pilot:
        await shown(pilot, app, "abc")
        await pilot.press("down")
        await shown(pilot, app, "ac")
        assert app.grid.cursor == "b"
        assert [row.key for row in app.grid.rows if row.is_gone] == ["b"]
        await pilot.press("down")
        await shown(pilot, app, "ac")
        assert app.grid.cursor == "c"
        assert [row.key for row in app.grid.rows] == ["a", "c"]


async def test_a_grid_that_follows_has_no_cursor_until_it_is_moved_and_after_home() -> None:
    app = OneGrid(follows=True)
    async with app.run_test(size=(30, 8)) as pilot:
        await shown(pilot, app, "abc")
        cursors = [app.grid.cursor]
        for key in ("down", "home"):
            await pilot.press(key)
            cursors.append(app.grid.cursor)
        assert cursors == [None, "a", None]


async def test_moving_beyond_an_end_is_reported() -> None:
    app = OneGrid()
    async with app.run_test(size=(30, 8)) as pilot:
        await shown(pilot, app, "ab")
        await pilot.press("up", "end", "down", "pagedown")
        assert app.beyond == [-1, 1, 1]


async def test_a_click_moves_the_cursor_to_the_clicked_row() -> None:
    app = OneGrid()
    async with app.run_test(size=(30, 8)) as pilot:
        await shown(pilot, app, "abc")
        await pilot.click(Grid, offset=(3, 3))
        assert app.grid.cursor == "c"


async def test_an_empty_list_differs_from_one_that_is_still_loading() -> None:
    app = OneGrid()
    app.grid.empty = ((cell("nothing here"),),)
    async with app.run_test(size=(30, 8)) as pilot:
        await pilot.pause()
        assert "loading …" in app.lines()[1]
        await shown(pilot, app, "")
        assert "nothing here" in app.lines()[1]
