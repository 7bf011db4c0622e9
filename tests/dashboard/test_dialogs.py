"""Dialogs: unsaved input is kept, keys stay visible, and a paste is accepted completely or refused."""

from __future__ import annotations

import pytest
from textual import events
from textual.widgets import Input, TextArea

from tests.dashboard.conftest import ConsoleMaker
from tests.support.console import POTHOLE, ConsoleDriver


async def paste(one: ConsoleDriver, text: str) -> None:
    """Paste a text as a terminal does."""
    one.console.post_message(events.Paste(text))
    await one.settle()


async def edit_a_job(one: ConsoleDriver) -> TextArea:
    await one.enqueue("pothole.report", POTHOLE)
    await one.press("2")
    await one.shows_jobs(1)
    await one.press("x")
    await one.sees("1 job cancelled")
    await one.press("E")
    await one.opened("EditDialog")
    return one.console.screen.query_one("#data", TextArea)


async def test_escape_asks_before_an_edit_is_lost(open_console: ConsoleMaker) -> None:
    async with open_console() as one:
        editor = await edit_a_job(one)
        await one.press("right", "7")
        await one.press("escape")
        await one.opened("ConfirmDialog")
        await one.sees("Leaving now would lose the edit.")
        await one.press("escape")
        await one.opened("EditDialog")
        assert editor.text.startswith("{7")
        await one.press("escape")
        await one.opened("ConfirmDialog")
        await one.press("enter")
        await one.opened("Jobs")
        await one.press("E")
        await one.opened("EditDialog")
        await one.press("escape")
        await one.opened("Jobs")


async def test_escape_from_the_dry_run_returns_to_the_editor(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as one:
        editor = await edit_a_job(one)
        editor.text = '{"user_id": "troll", "lat": 38.5, "lon": -77.0365}'
        await one.press("ctrl+s")
        await one.opened("CheckedDialog")
        await one.press("escape")
        await one.opened("EditDialog")
        assert '"user_id": "troll"' in one.console.screen.query_one("#data", TextArea).text
        await one.press("escape")
        await one.opened("ConfirmDialog")


async def test_escape_asks_before_form_input_is_lost(open_console: ConsoleMaker) -> None:
    async with open_console() as one:
        await one.press("e")
        await one.opened("ChooseDialog")
        await one.press("enter")
        await one.opened("FormDialog")
        await one.press("escape")
        await one.opened("Overview")
        await one.press("e")
        await one.opened("ChooseDialog")
        await one.press("enter")
        await one.opened("FormDialog")
        await one.type("7")
        await one.press("escape")
        await one.opened("ConfirmDialog")
        await one.sees("Leaving now would lose your input.")


@pytest.mark.parametrize("size", [(80, 24), (60, 15)])
async def test_a_long_error_does_not_hide_the_keys(
    open_console: ConsoleMaker, size: tuple[int, int]
) -> None:
    async with open_console(size=size) as one:
        editor = await edit_a_job(one)
        editor.text = '{"lat": ' + "x" * 300
        await one.press("ctrl+s")
        await one.sees("JSON")
        await one.sees("ctrl+s dry run")
        await one.sees("esc back")


async def test_a_paste_of_several_lines_is_refused_with_a_message_and_one_line_is_accepted(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as one:
        await one.press("2", "/")
        await paste(one, "state:dead\rtype:x.y")
        await one.sees("2 lines were pasted, but only one is accepted: nothing was inserted")
        line = one.console.screen.query_one("#prompt", Input)
        assert line.value == ""
        await paste(one, "state:queued\n")
        assert line.value == "state:queued"
        await one.press("enter")
        await one.opened("Jobs")
        await one.enqueue("pothole.report", POTHOLE, POTHOLE)
        await one.shows_jobs(2)
        await one.press("*", "x")
        await one.opened("ConfirmDialog")
        await paste(one, "one\ntwo\nthree")
        await one.sees("3 lines were pasted, but only one is accepted: nothing was inserted")
        await one.sees("enter cancel")
        note = one.console.screen.query_one("#note", Input)
        assert note.value == ""
        await paste(one, "one")
        assert note.value == "one"


async def test_a_paste_outside_of_inputs_is_reported_as_ignored(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as one:
        await paste(one, "state:dead")
        await one.sees("pasted text ignored: press / or : first")
        await one.press("?")
        await one.opened("Message")
        await paste(one, "state:dead")
        await one.sees("pasted text ignored: there is no input here")


async def test_an_editor_accepts_a_paste_of_several_lines(open_console: ConsoleMaker) -> None:
    async with open_console() as one:
        editor = await edit_a_job(one)
        editor.text = ""
        await paste(one, '{\n"lat": 1\n}')
        assert editor.text.split() == ["{", '"lat":', "1", "}"]
        assert "not taken" not in one.text()


async def test_the_top_line_is_updated_behind_a_dialog(open_console: ConsoleMaker) -> None:
    async with open_console() as one:
        await one.press("?")
        await one.opened("Message")
        assert one.lines()[0].startswith(" Overview")
        examined = one.console.store.snapshot.at
        await one.until("it polls on", lambda: one.console.store.snapshot.at > examined)
        await one.enqueue("drill.run", {"act": "fail"}, max_attempts=1)
        actions = (await one.operations()).actions
        await actions.pause("drill.run")
        await one.until("the pause is shown", lambda: "paused" in one.lines()[0])
        assert one.screen == "Message"
