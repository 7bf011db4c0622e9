"""The completion, keys and history of the prompt, and the hint line."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from tests.dashboard.conftest import ConsoleMaker
from tests.support.console import POTHOLE, ConsoleDriver


def value(one: ConsoleDriver) -> str:
    return one.console.screen.query_one("#prompt", Input).value


async def test_tab_cycles_through_completions_and_shift_tab_goes_back(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as one:
        await one.press("2", "/")
        await one.type("state:re")
        seen = []
        for key in ("tab", "tab", "tab", "shift+tab", "shift+tab"):
            await one.press(key)
            seen.append(value(one))
        assert seen == [
            "state:retrying", "state:rejected", "state:re", "state:rejected", "state:retrying",
        ]  # fmt: skip
        await one.type(" ty")
        await one.press("tab")
        assert value(one) == "state:retrying type:"


async def test_while_a_prompt_is_open_the_hint_line_has_its_keys(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as one:
        await one.press("2")
        await one.opened("Jobs")
        for key in "/:":
            await one.press(key)
            await one.sees("tab complete")
            assert "enqueue" not in one.lines()[-1]
            await one.press("escape")
            await one.sees("e enqueue")


@pytest.mark.parametrize(
    ("typed", "screen", "where"),
    [
        ("failures", "Failures", ""), ("dlq", "Failures", ""), ("held", "Held", "state:held"),
        ("jobs state:dead", "Jobs", "state:dead"), ("dead", "Jobs", "state:dead"),
        ("jobs", "Jobs", ""),
    ],
)  # fmt: skip
async def test_screens_are_reached_by_common_names(
    open_console: ConsoleMaker, typed: str, screen: str, where: str
) -> None:
    async with open_console() as one:
        await one.press(":")
        await one.type(typed)
        await one.press("enter")
        await one.opened(screen)
        assert one.console.navigation.where == where


async def test_history_keeps_the_filter_when_a_number_is_pressed_inside_a_job(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as one:
        await one.enqueue("pothole.report", POTHOLE)
        await one.press("2", "/")
        await one.type("type:pothole.report")
        await one.press("enter")
        await one.shows_jobs(1)
        await one.press("i")
        await one.opened("Inspect")
        await one.press("3")
        await one.opened("Failures")
        await one.press("escape")
        await one.opened("Jobs")
        await one.sees("type:pothole.report")
        assert one.page.where == "type:pothole.report"


async def test_hints_show_possible_commands_and_are_never_cut(open_console: ConsoleMaker) -> None:
    async with open_console(size=(80, 24)) as one:
        await one.enqueue("pothole.report", POTHOLE)
        await one.press("2")
        await one.shows_jobs(1)
        await one.sees("x cancel")
        hint = one.lines()[-1]
        assert "…" not in hint
        assert " r retry" not in hint
        assert "approve" not in hint
        await one.press("x")
        await one.sees("1 job cancelled")
        one.console.notice = ()
        await one.until("retry is offered", lambda: "r retry" in one.lines()[-1])
        assert "x cancel" not in one.lines()[-1]


async def test_half_an_id_finds_nothing_and_the_list_explains_how_to_search_for_it(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as one:
        [job_id] = await one.enqueue("pothole.report", POTHOLE)
        half = job_id[-8:]
        await one.press("2", "/")
        await one.type(f"id:{half}")
        await one.press("enter")
        await one.opened("Jobs")
        await one.sees(
            f"No matching job has the id {half}. To search for a part of an id: id~{half}"
        )
        await one.press("/", "ctrl+u")
        await one.type(f"id~{half}")
        await one.press("enter")
        await one.shows_jobs(1)
