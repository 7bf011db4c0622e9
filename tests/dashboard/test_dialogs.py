"""Dialogs: unsaved input is kept, keys stay visible, and a paste is accepted completely or refused."""

from __future__ import annotations

import pytest
from textual import events
from textual.widgets import Input, TextArea

from tests.dashboard.conftest import ConsoleMaker
from tests.support.console import POTHOLE, ConsoleDriver


async def paste(driver: ConsoleDriver, text: str) -> None:
    """Paste a text as a terminal does."""
    driver.console.post_message(events.Paste(text))
    await driver.settle()


async def edit_a_job(driver: ConsoleDriver) -> TextArea:
    await driver.enqueue("pothole.report", POTHOLE)
    await driver.press("2")
    await driver.shows_jobs(1)
    await driver.press("x")
    await driver.sees("1 job cancelled")
    await driver.press("E")
    await driver.opened("EditDialog")
    return driver.console.screen.query_one("#data", TextArea)


async def test_escape_asks_before_an_edit_is_lost(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        editor = await edit_a_job(driver)
        await driver.press("right", "7")
        await driver.press("escape")
        await driver.opened("ConfirmDialog")
        await driver.sees("Leaving now would lose the edit.")
        await driver.press("escape")
        await driver.opened("EditDialog")
        assert editor.text.startswith("{7")
        await driver.press("escape")
        await driver.opened("ConfirmDialog")
        await driver.press("enter")
        await driver.opened("Jobs")
        await driver.press("E")
        await driver.opened("EditDialog")
        await driver.press("escape")
        await driver.opened("Jobs")


async def test_escape_from_the_dry_run_returns_to_the_editor(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        editor = await edit_a_job(driver)
        editor.text = '{"user_id": "troll", "lat": 38.5, "lon": -77.0365}'
        await driver.press("ctrl+s")
        await driver.opened("CheckedDialog")
        await driver.press("escape")
        await driver.opened("EditDialog")
        assert '"user_id": "troll"' in driver.console.screen.query_one("#data", TextArea).text
        await driver.press("escape")
        await driver.opened("ConfirmDialog")


async def test_escape_asks_before_form_input_is_lost(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        await driver.press("e")
        await driver.opened("ChooseDialog")
        await driver.press("enter")
        await driver.opened("FormDialog")
        await driver.press("escape")
        await driver.opened("Overview")
        await driver.press("e")
        await driver.opened("ChooseDialog")
        await driver.press("enter")
        await driver.opened("FormDialog")
        await driver.type("7")
        await driver.press("escape")
        await driver.opened("ConfirmDialog")
        await driver.sees("Leaving now would lose your input.")


@pytest.mark.parametrize("size", [(80, 24), (60, 15)])
async def test_a_long_error_does_not_hide_the_keys(
    open_console: ConsoleMaker, size: tuple[int, int]
) -> None:
    async with open_console(size=size) as driver:
        editor = await edit_a_job(driver)
        editor.text = '{"lat": ' + "x" * 300
        await driver.press("ctrl+s")
        await driver.sees("JSON")
        await driver.sees("ctrl+s dry run")
        await driver.sees("esc back")


async def test_a_paste_of_several_lines_is_refused_with_a_message_and_one_line_is_accepted(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        await driver.press("2", "/")
        await paste(driver, "state:dead\rtype:x.y")
        await driver.sees("2 lines were pasted, but only one is accepted: nothing was inserted")
        line = driver.console.screen.query_one("#prompt", Input)
        assert line.value == ""
        await paste(driver, "state:queued\n")
        assert line.value == "state:queued"
        await driver.press("enter")
        await driver.opened("Jobs")
        await driver.enqueue("pothole.report", POTHOLE, POTHOLE)
        await driver.shows_jobs(2)
        await driver.press("*", "x")
        await driver.opened("ConfirmDialog")
        await paste(driver, "one\ntwo\nthree")
        await driver.sees("3 lines were pasted, but only one is accepted: nothing was inserted")
        await driver.sees("enter cancel")
        note = driver.console.screen.query_one("#note", Input)
        assert note.value == ""
        await paste(driver, "one")
        assert note.value == "one"


async def test_a_paste_outside_of_inputs_is_reported_as_ignored(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        await paste(driver, "state:dead")
        await driver.sees("pasted text ignored: press / or : first")
        await driver.press("?")
        await driver.opened("Message")
        await paste(driver, "state:dead")
        await driver.sees("pasted text ignored: there is no input here")


async def test_an_editor_accepts_a_paste_of_several_lines(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        editor = await edit_a_job(driver)
        editor.text = ""
        await paste(driver, '{\n"lat": 1\n}')
        assert editor.text.split() == ["{", '"lat":', "1", "}"]
        assert "not taken" not in driver.text()


async def test_the_top_line_is_updated_behind_a_dialog(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        await driver.press("?")
        await driver.opened("Message")
        assert driver.lines()[0].startswith(" Overview")
        examined = driver.console.store.snapshot.at
        await driver.until("it polls on", lambda: driver.console.store.snapshot.at > examined)
        await driver.enqueue("drill.run", {"act": "fail"}, max_attempts=1)
        actions = (await driver.operations()).actions
        await actions.pause("drill.run")
        await driver.until("the pause is shown", lambda: "paused" in driver.lines()[0])
        assert driver.screen == "Message"
