"""New jobs from the console: from samples, from forms, and from edited finished jobs."""

from __future__ import annotations

import pytest
from textual.widgets import Input, TextArea

from hms_svc.domain.lifecycle import State
from hms_svc.domain.strict_json import decode
from hms_svc.tui.dialogs.choose import ChooseDialog
from hms_svc.tui.dialogs.form import FormDialog
from hms_svc.tui.widgets.grid import Grid
from hms_svc.tui.widgets.page import Page
from tests.dashboard.conftest import ConsoleMaker
from tests.support.console import POTHOLE, ConsoleDriver, put_cursor

DEAD = {"act": "fail", "message": "out of asphalt 17"}


async def choose(driver: ConsoleDriver, key: str) -> None:
    await driver.press("e")
    await driver.opened("ChooseDialog")
    assert isinstance(driver.console.screen, ChooseDialog)
    put_cursor(driver.console.screen.query_one("#choices", Grid), key)
    await driver.press("enter")


def field(driver: ConsoleDriver, name: str) -> Input:
    dialog = driver.console.screen
    assert isinstance(dialog, FormDialog)
    names = [each.name for each in dialog._form.fields]
    return dialog.query_one(f"#field-{names.index(name)}", Input)


async def test_a_sample_job_appears_as_a_live_result_with_its_case(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(works=True) as driver:
        await choose(driver, "sample:pothole")
        await driver.opened("FormDialog")
        await driver.press("enter")
        await driver.until("the case is shown", lambda: "case-" in driver.text())
        [job] = await driver.jobs("type:pothole.report")
        shown = [row for row in driver.grid("results").rows if row.key == job.id]
        assert job.case_id is not None
        assert shown[0].cells[4].text == job.case_id


async def test_duplicates_are_counted_under_their_validator(open_console: ConsoleMaker) -> None:
    async with open_console(works=True) as driver:
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.sees("case-")
        others = [{**POTHOLE, "user_id": f"usr-{number}"} for number in (7, 8)]
        await driver.enqueue("pothole.report", *others)
        grid = driver.grid("validation")
        await driver.until(
            "both are counted", lambda: [row.cells[1].text for row in grid.rows] == ["2"]
        )
        assert grid.rows[0].cells[0].text == "duplicate"


async def test_an_invalid_form_shows_the_error_and_enqueues_nothing(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        await choose(driver, "type:pothole.report")
        await driver.opened("FormDialog")
        for name, text in (("user_id", "usr-5"), ("lat", "north"), ("lon", "-77")):
            field(driver, name).value = text
        await driver.press("enter")
        await driver.sees("north")
        assert driver.screen == "FormDialog"
        assert await driver.jobs() == []
        field(driver, "lat").value = "38.5"
        driver.console.screen.query_one("#count", Input).value = "0"
        await driver.press("enter")
        await driver.sees("is not a number from 1 to 10,000")
        driver.console.screen.query_one("#count", Input).value = "3"
        await driver.press("enter")
        await driver.sees("3 jobs of pothole.report enqueued")
        assert [decode(job.data) for job in await driver.jobs()] == [
            {"user_id": "usr-5", "lat": 38.5, "lon": -77}
        ] * 3


async def test_a_dead_job_is_found_by_its_cause_and_its_group_retried(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(works=True) as driver:
        ids = await driver.enqueue(
            "drill.run", DEAD, {**DEAD, "message": "out of asphalt 18"}, max_attempts=1
        )
        dead = driver.grid("dead")
        await driver.until(
            "one group of two", lambda: [r.cells[1].text for r in dead.rows] == ["2"]
        )
        assert "out of asphalt #" in dead.rows[0].cells[2].text
        dead.focus()
        await driver.press("down", "i")
        await driver.opened("Jobs")
        await driver.shows_jobs(2)
        await driver.press("i")
        await driver.opened("Inspect")
        await driver.sees("DrillFailed: out of asphalt")
        await driver.until("the traceback is shown", lambda: "Traceback" in page_text(driver))
        await driver.press("w")
        await driver.opened("Message")
        await driver.sees("hms-svc jobs why")
        await driver.press("escape", "escape", "1")
        await driver.opened("Overview")
        await driver.press("r")
        await driver.opened("ConfirmDialog")
        await driver.press("enter")
        await driver.sees("2 jobs retried")
        await driver.until(
            "they died again", lambda: [row.cells[1].text for row in dead.rows] == ["2"]
        )
        assert {job.id for job in await driver.jobs()} >= set(ids)


def page_text(driver: ConsoleDriver) -> str:
    return driver.console.screen.query_one("#page", Page).text


async def test_an_edited_job_is_checked_and_becomes_a_new_one(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        [old] = await driver.enqueue("pothole.report", POTHOLE)
        await driver.press("2")
        await driver.shows_jobs(1)
        await driver.press("x")
        await driver.sees("1 job cancelled")
        await driver.press("E")
        await driver.opened("EditDialog")
        editor = driver.console.screen.query_one("#data", TextArea)
        editor.text = "{"
        await driver.press("ctrl+s")
        await driver.until(
            "it is no JSON", lambda: driver.screen == "EditDialog" and "JSON" in driver.text()
        )
        editor.text = '{"user_id": "troll", "lat": 38.5, "lon": -77.0365}'
        await driver.press("ctrl+s")
        await driver.opened("CheckedDialog")
        text = page_text(driver)
        assert "identity" in text
        assert '+  "user_id": "troll"' in text
        await driver.type("a new spelling")
        await driver.press("enter")
        await driver.sees(f"created from {old}")
        found = {job.id: job for job in await driver.jobs()}
        [new] = found.keys() - {old}
        reads = (await driver.operations()).reads
        detail, _ = await reads.detail(new)
        assert detail.retried_from == old
        assert found[old].state is State.CANCELLED
        assert decode(found[old].data) == POTHOLE


async def test_leaving_the_dry_run_enqueues_nothing(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.press("2")
        await driver.shows_jobs(1)
        await driver.press("x")
        await driver.sees("1 job cancelled")
        await driver.press("E")
        await driver.opened("EditDialog")
        await driver.press("ctrl+s")
        await driver.opened("CheckedDialog")
        await driver.press("escape")
        await driver.opened("EditDialog")
        await driver.press("escape")
        await driver.opened("Jobs")
        assert len(await driver.jobs()) == 1
        assert [row.action for row in await driver.audit() if row.action == "job.edit"] == []


async def test_a_waiting_job_cannot_be_edited(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.press("2")
        await driver.shows_jobs(1)
        await driver.press("E")
        await driver.sees("refused:")
        assert driver.screen == "Jobs"


async def test_a_malformed_sample_is_enqueued_unparsed(open_console: ConsoleMaker) -> None:
    async with open_console(works=True) as driver:
        await choose(driver, "sample:malformed")
        dead = driver.grid("dead")
        await driver.until(
            "it is dead", lambda: [r.cells[6].text for r in dead.rows] == ["malformed"]
        )


@pytest.mark.parametrize("size", [(80, 24), (60, 15)])
async def test_the_keys_are_visible_in_a_small_terminal(
    open_console: ConsoleMaker, size: tuple[int, int]
) -> None:
    async with open_console(size=size) as driver:
        await driver.press("e")
        await driver.opened("ChooseDialog")
        await driver.sees("enter choose")
        for _ in range(12):
            await driver.press("down")
        assert sum("▸" in line for line in driver.lines()) == 1
        await driver.press("escape")
        await choose(driver, "type:pothole.report")
        await driver.opened("FormDialog")
        await driver.sees("esc back")
        await driver.press("escape")
        await driver.enqueue("pothole.report", *[POTHOLE] * 2)
        await driver.press(":")
        await driver.put("cancel id:*")
        await driver.press("enter")
        await driver.opened("ConfirmDialog")
        await driver.sees("note (audit log)")
        await driver.sees("esc back")
