"""New jobs from the console: from samples, from forms, and from edited finished jobs."""

from __future__ import annotations

import pytest
from textual.widgets import Input, TextArea

from hms_svc.domain.lifecycle import State
from hms_svc.domain.strict_json import decode
from hms_svc.tui.dialogs.choose import ChooseDialog
from hms_svc.tui.dialogs.form import FormDialog
from tests.dashboard.conftest import ConsoleMaker
from tests.support.console import POTHOLE, ConsoleDriver

DEAD = {"act": "fail", "message": "out of asphalt 17"}


async def choose(one: ConsoleDriver, key: str) -> None:
    await one.press("e")
    await one.opened("ChooseDialog")
    assert isinstance(one.console.screen, ChooseDialog)
    one.console.screen.query_one("#choices").put_cursor(key)  # type: ignore[attr-defined]
    await one.press("enter")


def field(one: ConsoleDriver, name: str) -> Input:
    dialog = one.console.screen
    assert isinstance(dialog, FormDialog)
    names = [each.name for each in dialog._form.fields]
    return dialog.query_one(f"#field-{names.index(name)}", Input)


async def test_a_sample_job_appears_as_a_live_result_with_its_case(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(works=True) as one:
        await choose(one, "sample:pothole")
        await one.opened("FormDialog")
        await one.press("enter")
        await one.until("the case is shown", lambda: "case-" in one.text())
        [job] = await one.jobs("type:pothole.report")
        shown = [row for row in one.grid("results").rows if row.key == job.id]
        assert job.case_id is not None
        assert shown[0].cells[4].text == job.case_id


async def test_duplicates_are_counted_under_their_validator(open_console: ConsoleMaker) -> None:
    async with open_console(works=True) as one:
        await one.enqueue("pothole.report", POTHOLE)
        await one.sees("case-")
        others = [{**POTHOLE, "user_id": f"usr-{number}"} for number in (7, 8)]
        await one.enqueue("pothole.report", *others)
        grid = one.grid("validation")
        await one.until(
            "both are counted", lambda: [row.cells[1].text for row in grid.rows] == ["2"]
        )
        assert grid.rows[0].cells[0].text == "duplicate"


async def test_an_invalid_form_shows_the_error_and_enqueues_nothing(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as one:
        await choose(one, "type:pothole.report")
        await one.opened("FormDialog")
        for name, text in (("user_id", "usr-5"), ("lat", "north"), ("lon", "-77")):
            field(one, name).value = text
        await one.press("enter")
        await one.sees("north")
        assert one.screen == "FormDialog"
        assert await one.jobs() == []
        field(one, "lat").value = "38.5"
        one.console.screen.query_one("#count", Input).value = "0"
        await one.press("enter")
        await one.sees("is not a number from 1 to 10,000")
        one.console.screen.query_one("#count", Input).value = "3"
        await one.press("enter")
        await one.sees("3 jobs of pothole.report enqueued")
        assert [decode(job.data) for job in await one.jobs()] == [
            {"user_id": "usr-5", "lat": 38.5, "lon": -77}
        ] * 3


async def test_a_dead_job_is_found_by_its_cause_and_its_group_retried(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(works=True) as one:
        ids = await one.enqueue("drill.run", DEAD, {**DEAD, "message": "out of asphalt 18"},
                                max_attempts=1)  # fmt: skip
        dead = one.grid("dead")
        await one.until("one group of two", lambda: [r.cells[1].text for r in dead.rows] == ["2"])
        assert "out of asphalt #" in dead.rows[0].cells[2].text
        dead.focus()
        await one.press("down", "i")
        await one.opened("Jobs")
        await one.shows_jobs(2)
        await one.press("i")
        await one.opened("Inspect")
        await one.sees("DrillFailed: out of asphalt")
        await one.until("the traceback is shown", lambda: "Traceback" in page_text(one))
        await one.press("w")
        await one.opened("Message")
        await one.sees("hms-svc jobs why")
        await one.press("escape", "escape", "1")
        await one.opened("Overview")
        await one.press("r")
        await one.opened("ConfirmDialog")
        await one.press("enter")
        await one.sees("2 jobs retried")
        await one.until(
            "they died again", lambda: [row.cells[1].text for row in dead.rows] == ["2"]
        )
        assert {job.id for job in await one.jobs()} >= set(ids)


def page_text(one: ConsoleDriver) -> str:
    text: str = one.console.screen.query_one("#page").text  # type: ignore[attr-defined]
    return text


async def test_an_edited_job_is_checked_and_becomes_a_new_one(open_console: ConsoleMaker) -> None:
    async with open_console() as one:
        [old] = await one.enqueue("pothole.report", POTHOLE)
        await one.press("2")
        await one.shows_jobs(1)
        await one.press("x")
        await one.sees("1 job cancelled")
        await one.press("E")
        await one.opened("EditDialog")
        editor = one.console.screen.query_one("#data", TextArea)
        editor.text = "{"
        await one.press("ctrl+s")
        await one.until(
            "it is no JSON", lambda: one.screen == "EditDialog" and "JSON" in one.text()
        )
        editor.text = '{"user_id": "troll", "lat": 38.5, "lon": -77.0365}'
        await one.press("ctrl+s")
        await one.opened("CheckedDialog")
        text = page_text(one)
        assert "identity" in text
        assert '+  "user_id": "troll"' in text
        await one.type("a new spelling")
        await one.press("enter")
        await one.sees(f"created from {old}")
        found = {job.id: job for job in await one.jobs()}
        [new] = found.keys() - {old}
        reads = (await one.operations()).reads
        detail, _ = await reads.detail(new)
        assert detail.retried_from == old
        assert found[old].state is State.CANCELLED
        assert decode(found[old].data) == POTHOLE


async def test_leaving_the_dry_run_enqueues_nothing(open_console: ConsoleMaker) -> None:
    async with open_console() as one:
        await one.enqueue("pothole.report", POTHOLE)
        await one.press("2")
        await one.shows_jobs(1)
        await one.press("x")
        await one.sees("1 job cancelled")
        await one.press("E")
        await one.opened("EditDialog")
        await one.press("ctrl+s")
        await one.opened("CheckedDialog")
        await one.press("escape")
        await one.opened("EditDialog")
        await one.press("escape")
        await one.opened("Jobs")
        assert len(await one.jobs()) == 1
        assert [row.action for row in await one.audit() if row.action == "job.edit"] == []


async def test_a_waiting_job_cannot_be_edited(open_console: ConsoleMaker) -> None:
    async with open_console() as one:
        await one.enqueue("pothole.report", POTHOLE)
        await one.press("2")
        await one.shows_jobs(1)
        await one.press("E")
        await one.sees("refused:")
        assert one.screen == "Jobs"


async def test_a_malformed_sample_is_enqueued_unparsed(open_console: ConsoleMaker) -> None:
    async with open_console(works=True) as one:
        await choose(one, "sample:malformed")
        dead = one.grid("dead")
        await one.until("it is dead", lambda: [r.cells[6].text for r in dead.rows] == ["malformed"])


@pytest.mark.parametrize("size", [(80, 24), (60, 15)])
async def test_the_keys_are_visible_in_a_small_terminal(
    open_console: ConsoleMaker, size: tuple[int, int]
) -> None:
    async with open_console(size=size) as one:
        await one.press("e")
        await one.opened("ChooseDialog")
        await one.sees("enter choose")
        for _ in range(12):
            await one.press("down")
        assert sum("▸" in line for line in one.lines()) == 1
        await one.press("escape")
        await choose(one, "type:pothole.report")
        await one.opened("FormDialog")
        await one.sees("esc back")
        await one.press("escape")
        await one.enqueue("pothole.report", *[POTHOLE] * 2)
        await one.press(":")
        await one.put("cancel id:*")
        await one.press("enter")
        await one.opened("ConfirmDialog")
        await one.sees("note (audit log)")
        await one.sees("esc back")
