"""The completion, keys and history of the prompt, and the hint line."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from tests.dashboard.conftest import ConsoleMaker
from tests.support.console import POTHOLE, ConsoleDriver


def value(driver: ConsoleDriver) -> str:
    return driver.console.screen.query_one("#prompt", Input).value


async def test_tab_cycles_through_completions_and_shift_tab_goes_back(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        await driver.press("2", "/")
        await driver.type("state:re")
        seen = []
        for key in ("tab", "tab", "tab", "shift+tab", "shift+tab"):
            await driver.press(key)
            seen.append(value(driver))
        assert seen == [
            "state:retrying",
            "state:rejected",
            "state:re",
            "state:rejected",
            "state:retrying",
        ]
        await driver.type(" ty")
        await driver.press("tab")
        assert value(driver) == "state:retrying type:"


async def test_while_a_prompt_is_open_the_hint_line_has_its_keys(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        await driver.press("2")
        await driver.opened("Jobs")
        for key in "/:":
            await driver.press(key)
            await driver.sees("tab complete")
            assert "enqueue" not in driver.lines()[-1]
            await driver.press("escape")
            await driver.sees("e enqueue")


@pytest.mark.parametrize(
    ("typed", "screen", "where"),
    [
        ("failures", "Failures", ""),
        ("dlq", "Failures", ""),
        ("held", "Held", "state:held"),
        ("jobs state:dead", "Jobs", "state:dead"),
        ("dead", "Jobs", "state:dead"),
        ("jobs", "Jobs", ""),
    ],
)
async def test_screens_are_reached_by_common_names(
    open_console: ConsoleMaker, typed: str, screen: str, where: str
) -> None:
    async with open_console() as driver:
        await driver.press(":")
        await driver.type(typed)
        await driver.press("enter")
        await driver.opened(screen)
        assert driver.console.navigation.where == where


async def test_history_keeps_the_filter_when_a_number_is_pressed_inside_a_job(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.press("2", "/")
        await driver.type("type:pothole.report")
        await driver.press("enter")
        await driver.shows_jobs(1)
        await driver.press("i")
        await driver.opened("Inspect")
        await driver.press("3")
        await driver.opened("Failures")
        await driver.press("escape")
        await driver.opened("Jobs")
        await driver.sees("type:pothole.report")
        assert driver.page.where == "type:pothole.report"


async def test_hints_show_possible_commands_and_are_never_cut(open_console: ConsoleMaker) -> None:
    async with open_console(size=(80, 24)) as driver:
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.press("2")
        await driver.shows_jobs(1)
        await driver.sees("x cancel")
        hint = driver.lines()[-1]
        assert "…" not in hint
        assert " r retry" not in hint
        assert "approve" not in hint
        await driver.press("x")
        await driver.sees("1 job cancelled")
        driver.console.notice = ()
        await driver.until("retry is offered", lambda: "r retry" in driver.lines()[-1])
        assert "x cancel" not in driver.lines()[-1]


async def test_half_an_id_finds_nothing_and_the_list_explains_how_to_search_for_it(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        [job_id] = await driver.enqueue("pothole.report", POTHOLE)
        half = job_id[-8:]
        await driver.press("2", "/")
        await driver.type(f"id:{half}")
        await driver.press("enter")
        await driver.opened("Jobs")
        await driver.sees(
            f"No matching job has the id {half}. To search for a part of an id: id~{half}"
        )
        await driver.press("/", "ctrl+u")
        await driver.type(f"id~{half}")
        await driver.press("enter")
        await driver.shows_jobs(1)
