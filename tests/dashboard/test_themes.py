"""Bands and cursor as a terminal shows them: the computed cells, reduced to its colours."""

from __future__ import annotations

from typing import Final

import pytest
from rich.color import Color, ColorSystem
from rich.style import Style

from hms_svc.tui.dialogs.message import Message
from hms_svc.tui.themes import THEMES
from tests.dashboard.city import PICTURE
from tests.dashboard.stills import Still, keys

PALETTES: Final = {"truecolour": ColorSystem.TRUECOLOR, "256": ColorSystem.EIGHT_BIT}


def rows(console: Still) -> list[list[Style]]:
    """Return the style of every cell of the frame."""
    strips = console.screen._compositor.render_strips()
    return [
        [segment.style or Style() for segment in strip for _ in segment.text] for strip in strips
    ]


def ground(style: Style, palette: ColorSystem) -> Color:
    assert style.bgcolor is not None
    return style.bgcolor.downgrade(palette)


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("theme", [name for name in THEMES if name != "sixteen"])
async def test_the_bands_are_visible(theme: str, palette: str) -> None:
    console = Still(PICTURE, theme=theme)
    async with console.run_test(size=(120, 40)) as pilot:
        await keys(pilot)
        frame = rows(console)
        system = PALETTES[palette]
        top, head, cursor, body, foot = (ground(frame[y][60], system) for y in (0, 1, 2, 4, 39))
        assert top == head == foot
        assert len({top, cursor, body}) == 3, [top, cursor, body]


async def test_sixteen_colours_have_rules_instead_of_bands() -> None:
    console = Still(PICTURE, theme="sixteen")
    async with console.run_test(size=(120, 40)) as pilot:
        await keys(pilot)
        frame = rows(console)
        for y in (0, 1):
            assert all(style.underline for style in frame[y]), y
        assert not any(style.underline for style in frame[4])
        assert ground(frame[2][60], ColorSystem.STANDARD) != ground(
            frame[4][60], ColorSystem.STANDARD
        )


async def test_the_cursor_row_is_readable_in_sixteen_colours() -> None:
    console = Still(PICTURE, theme="sixteen")
    async with console.run_test(size=(120, 40)) as pilot:
        await keys(pilot, "3")
        frame = rows(console)
        [at_cursor] = [row for row in frame if ground(row[20], ColorSystem.STANDARD).number == 4]
        colours = {cell.color.name for cell in at_cursor[2:60] if cell.color is not None}
        assert colours == {"bright_white"}


async def test_a_dialog_in_sixteen_colours_keeps_the_screen_behind_it_visible() -> None:
    console = Still(PICTURE, theme="sixteen")
    async with console.run_test(size=(120, 40)) as pilot:
        await keys(pilot, "question_mark")
        while not (isinstance(console.screen, Message) and console.screen.focused):
            await pilot.pause()
        await pilot.pause()
        strips = console.screen._compositor.render_strips()
        assert "Overview" in strips[0].text
        assert any("Help" in strip.text for strip in strips)


async def test_a_page_key_writes_one_frame() -> None:
    console = Still(PICTURE)
    async with console.run_test(size=(80, 14)) as pilot:
        await keys(pilot, "2", "end", "i")
        page = console.screen.query_one("#page")
        await pilot.press("end")
        assert page.scroll_y == page.max_scroll_y > 0
        await pilot.press("home")
        assert page.scroll_y == 0
        await pilot.press("pagedown")
        assert page.scroll_y == min(page.max_scroll_y, page.size.height - 1)
