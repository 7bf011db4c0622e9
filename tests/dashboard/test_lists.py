"""Lists: sorted, filtered, and with chosen columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from hms_svc.domain.lifecycle import State
from hms_svc.ports.control import Act
from hms_svc.tui.preferences import Preferences
from hms_svc.tui.table import TableView
from tests.dashboard.conftest import ConsoleMaker
from tests.support.console import POTHOLE, ConsoleDriver


async def three_queues(driver: ConsoleDriver) -> None:
    """Enqueue one job of a type, two of another, three of a third."""
    for number, type in enumerate(("c.low", "b.more", "a.most"), 1):
        await driver.enqueue(type, *[POTHOLE] * number)
    await driver.until("the queues are shown", lambda: len(types(driver)) == 3)


def types(driver: ConsoleDriver) -> list[str]:
    return [row.key for row in driver.grid("queues").rows]


async def test_a_table_is_sorted_by_its_columns_and_that_is_remembered(
    open_console: ConsoleMaker, tmp_path: Path
) -> None:
    memory = tmp_path / "console.json"
    async with open_console(memory=memory) as driver:
        await three_queues(driver)
        assert types(driver) == ["a.most", "b.more", "c.low"]
        await driver.press("s", "s")
        assert "▾ready" in driver.lines()[1]
        await driver.press("R")
        assert types(driver) == ["c.low", "b.more", "a.most"]
        assert "▴ready" in driver.lines()[1]
    async with open_console(memory=memory) as driver:
        await driver.until("the queues are shown", lambda: types(driver))
        assert types(driver) == ["c.low", "b.more", "a.most"]


async def test_columns_are_chosen_in_a_dialog(open_console: ConsoleMaker, tmp_path: Path) -> None:
    memory = tmp_path / "console.json"
    async with open_console(memory=memory) as driver:
        await three_queues(driver)
        assert " ready " in driver.lines()[1]
        await driver.press("C")
        await driver.opened("ColumnsDialog")
        await driver.press("down", "space", "down", "right", "s", "enter")
        await driver.opened("Overview")
        assert " ready " not in driver.lines()[1]
        assert Preferences(memory).view_of("overview.queues") == TableView(
            hidden=("ready",), widths={"run": 7}, sort="run", is_reversed=True
        )


async def test_a_page_of_a_longer_list_is_not_sorted_and_shows_why(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(size=(80, 24)) as driver:
        await driver.enqueue("pothole.report", *[POTHOLE] * 40)
        await driver.press("2")
        await driver.until("a page is shown", lambda: driver.page.grid.rows)
        await driver.press("s")
        await driver.sees("only a complete list can be sorted")
        await driver.press("/")
        await driver.put(f"id:{driver.page.grid.rows[3].key},{driver.page.grid.rows[5].key}")
        await driver.press("enter")
        await driver.shows_jobs(2)
        await driver.press("s")
        await driver.sees("sorted by job")


@pytest.mark.parametrize("written", ["{", '{"tables": 3}', "[" * 70_000])
async def test_a_broken_preferences_file_is_ignored_with_a_notice(
    open_console: ConsoleMaker, tmp_path: Path, written: str
) -> None:
    memory = tmp_path / "console.json"
    memory.write_text(written)
    async with open_console(memory=memory) as driver:
        await driver.sees("console.json cannot be read: ")
        assert memory.read_text() == written
        await driver.press("s")
        assert Preferences(memory).trouble == ""


async def test_words_filter_a_list_in_place_and_escape_clears_them(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(size=(80, 24)) as driver:
        await three_queues(driver)
        await driver.press("/")
        await driver.type("MO")
        await driver.press("enter")
        assert (driver.screen, types(driver)) == ("Overview", ["a.most", "b.more"])
        assert "queues: MO  2 of 3" in driver.text()
        await driver.press("escape")
        assert (driver.screen, types(driver)) == ("Overview", ["a.most", "b.more", "c.low"])
        await driver.press("/")
        await driver.type("nobody")
        await driver.press("enter")
        await driver.sees("No row matches. esc clears the filter.")


async def test_a_filter_on_audit_stays_on_that_screen(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        ids = await driver.enqueue("pothole.report", POTHOLE, POTHOLE)
        actions = (await driver.operations()).actions
        for job_id in ids:
            await actions.carry_out(await actions.plan(Act.CANCEL, [job_id]), note=f"no {job_id}")
        await driver.press("9")
        await driver.until("rows are shown", lambda: len(driver.grid("table").rows) == 4)
        await driver.press("/")
        await driver.type(ids[0])
        await driver.press("enter")
        assert driver.screen == "Audit"
        assert {row.cells[3].text for row in driver.grid("table").rows} == {ids[0]}
        assert {job.state for job in await driver.jobs()} == {State.CANCELLED}


async def test_a_bulk_action_is_one_audit_row_that_can_be_opened(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        ids = await driver.enqueue("pothole.report", *[POTHOLE] * 4)
        actions = (await driver.operations()).actions
        await actions.carry_out(await actions.plan(Act.CANCEL, ids[:1]), note="alone")
        await actions.carry_out(await actions.plan(Act.CANCEL, ids[1:]), note="wrong city")
        await driver.press("9")
        await driver.until("rows are shown", lambda: len(driver.grid("table").rows) == 3)
        await driver.sees("3 jobs done, note: wrong city")
        await driver.press("i")
        await driver.opened("InspectBatch")
        for job_id in ids[1:]:
            await driver.sees(job_id)
        await driver.press("tab", "enter")
        await driver.opened("Inspect")
        await driver.press("escape", "escape")
        await driver.opened("Audit")


async def test_audit_is_filtered_by_actor_and_action_on_the_server(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        ids = await driver.enqueue("pothole.report", POTHOLE, POTHOLE)
        actions = (await driver.operations()).actions
        await actions.carry_out(await actions.plan(Act.CANCEL, ids), note="wrong city")
        await actions.pause("pothole.report", reason="flood")
        await driver.press("9")
        await driver.until("rows are shown", lambda: len(driver.grid("table").rows) == 3)
        for text, actions in (
            ("action:queue.*", {"queue.pause"}),
            ("-action:queue.* actor:ann", {"job.cancel"}),
            ("act:queue.* to:queue:pothole.report", {"queue.pause"}),
            ("actor:bob", set()),
        ):
            await driver.press("/")
            await driver.put(text)
            await driver.press("enter")
            await driver.until(
                text,
                lambda a=actions: {row.cells[2].text for row in driver.grid("table").rows} == a,
            )
            assert text in driver.text()
        await driver.press("escape")
        await driver.until("all again", lambda: len(driver.grid("table").rows) == 3)
        await driver.press("/")
        await driver.type("action:a*b")
        await driver.press("enter")
        await driver.sees("is not a name with at most one *")


async def test_cases_are_filtered_by_state_and_kind_on_the_server(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(works=True) as driver:
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.press("6")
        await driver.until("the case is shown", lambda: len(driver.grid("table").rows) == 1)
        for text, number in (
            ("state:closed", 0),
            ("-state:closed kind:pothole", 1),
            ("kind:x", 0),
        ):
            await driver.press("/")
            await driver.put(text)
            await driver.press("enter")
            await driver.until(text, lambda n=number: len(driver.grid("table").rows) == n)
        await driver.press("/")
        await driver.put("state:lost")
        await driver.press("enter")
        await driver.sees("no state 'lost'; there are: open, closed")
