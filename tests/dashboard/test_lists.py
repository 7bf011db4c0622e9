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


async def three_queues(one: ConsoleDriver) -> None:
    """Enqueue one job of a type, two of another, three of a third."""
    for number, type in enumerate(("c.low", "b.more", "a.most"), 1):
        await one.enqueue(type, *[POTHOLE] * number)
    await one.until("the queues are shown", lambda: len(types(one)) == 3)


def types(one: ConsoleDriver) -> list[str]:
    return [row.key for row in one.grid("queues").rows]


async def test_a_table_is_sorted_by_its_columns_and_that_is_remembered(
    open_console: ConsoleMaker, tmp_path: Path
) -> None:
    memory = tmp_path / "console.json"
    async with open_console(memory=memory) as one:
        await three_queues(one)
        assert types(one) == ["a.most", "b.more", "c.low"]
        await one.press("s", "s")
        assert "▾ready" in one.lines()[1]
        await one.press("R")
        assert types(one) == ["c.low", "b.more", "a.most"]
        assert "▴ready" in one.lines()[1]
    async with open_console(memory=memory) as one:
        await one.until("the queues are shown", lambda: types(one))
        assert types(one) == ["c.low", "b.more", "a.most"]


async def test_columns_are_chosen_in_a_dialog(open_console: ConsoleMaker, tmp_path: Path) -> None:
    memory = tmp_path / "console.json"
    async with open_console(memory=memory) as one:
        await three_queues(one)
        assert " ready " in one.lines()[1]
        await one.press("C")
        await one.opened("ColumnsDialog")
        await one.press("down", "space", "down", "right", "s", "enter")
        await one.opened("Overview")
        assert " ready " not in one.lines()[1]
        assert Preferences(memory).view_of("overview.queues") == TableView(
            hidden=("ready",), widths={"run": 7}, sort="run", is_reversed=True
        )


async def test_a_page_of_a_longer_list_is_not_sorted_and_shows_why(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(size=(80, 24)) as one:
        await one.enqueue("pothole.report", *[POTHOLE] * 40)
        await one.press("2")
        await one.until("a page is shown", lambda: one.page.grid.rows)
        await one.press("s")
        await one.sees("only a complete list can be sorted")
        await one.press("/")
        await one.put(f"id:{one.page.grid.rows[3].key},{one.page.grid.rows[5].key}")
        await one.press("enter")
        await one.shows_jobs(2)
        await one.press("s")
        await one.sees("sorted by job")


@pytest.mark.parametrize("written", ["{", '{"tables": 3}', "[" * 70_000])
async def test_a_broken_preferences_file_is_ignored_with_a_notice(
    open_console: ConsoleMaker, tmp_path: Path, written: str
) -> None:
    memory = tmp_path / "console.json"
    memory.write_text(written)
    async with open_console(memory=memory) as one:
        await one.sees("console.json cannot be read: ")
        assert memory.read_text() == written
        await one.press("s")
        assert Preferences(memory).trouble == ""


async def test_words_filter_a_list_in_place_and_escape_clears_them(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(size=(80, 24)) as one:
        await three_queues(one)
        await one.press("/")
        await one.type("MO")
        await one.press("enter")
        assert (one.screen, types(one)) == ("Overview", ["a.most", "b.more"])
        assert "queues: MO  2 of 3" in one.text()
        await one.press("escape")
        assert (one.screen, types(one)) == ("Overview", ["a.most", "b.more", "c.low"])
        await one.press("/")
        await one.type("nobody")
        await one.press("enter")
        await one.sees("No row matches. esc clears the filter.")


async def test_a_filter_on_audit_stays_on_that_screen(open_console: ConsoleMaker) -> None:
    async with open_console() as one:
        ids = await one.enqueue("pothole.report", POTHOLE, POTHOLE)
        actions = (await one.operations()).actions
        for job_id in ids:
            await actions.carry_out(await actions.plan(Act.CANCEL, [job_id]), note=f"no {job_id}")
        await one.press("9")
        await one.until("rows are shown", lambda: len(one.grid("table").rows) == 4)
        await one.press("/")
        await one.type(ids[0])
        await one.press("enter")
        assert one.screen == "Audit"
        assert {row.cells[3].text for row in one.grid("table").rows} == {ids[0]}
        assert {job.state for job in await one.jobs()} == {State.CANCELLED}


async def test_a_bulk_action_is_one_audit_row_that_can_be_opened(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as one:
        ids = await one.enqueue("pothole.report", *[POTHOLE] * 4)
        actions = (await one.operations()).actions
        await actions.carry_out(await actions.plan(Act.CANCEL, ids[:1]), note="alone")
        await actions.carry_out(await actions.plan(Act.CANCEL, ids[1:]), note="wrong city")
        await one.press("9")
        await one.until("rows are shown", lambda: len(one.grid("table").rows) == 3)
        await one.sees("3 jobs done, note: wrong city")
        await one.press("i")
        await one.opened("InspectBatch")
        for job_id in ids[1:]:
            await one.sees(job_id)
        await one.press("tab", "enter")
        await one.opened("Inspect")
        await one.press("escape", "escape")
        await one.opened("Audit")


async def test_audit_is_filtered_by_actor_and_action_on_the_server(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as one:
        ids = await one.enqueue("pothole.report", POTHOLE, POTHOLE)
        actions = (await one.operations()).actions
        await actions.carry_out(await actions.plan(Act.CANCEL, ids), note="wrong city")
        await actions.pause("pothole.report", reason="flood")
        await one.press("9")
        await one.until("rows are shown", lambda: len(one.grid("table").rows) == 3)
        for text, actions in (
            ("act:queue.*", {"queue.pause"}),
            ("-act:queue.* actor:ann", {"job.cancel"}),
            ("actor:bob", set()),
        ):
            await one.press("/")
            await one.put(text)
            await one.press("enter")
            await one.until(
                text, lambda a=actions: {row.cells[2].text for row in one.grid("table").rows} == a
            )
            assert text in one.text()
        await one.press("escape")
        await one.until("all again", lambda: len(one.grid("table").rows) == 3)
        await one.press("/")
        await one.type("act:a*b")
        await one.press("enter")
        await one.sees("is not a name with at most one *")


async def test_cases_are_filtered_by_state_and_kind_on_the_server(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(works=True) as one:
        await one.enqueue("pothole.report", POTHOLE)
        await one.press("6")
        await one.until("the case is shown", lambda: len(one.grid("table").rows) == 1)
        for text, number in (
            ("state:closed", 0),
            ("-state:closed kind:pothole", 1),
            ("kind:x", 0),
        ):
            await one.press("/")
            await one.put(text)
            await one.press("enter")
            await one.until(text, lambda n=number: len(one.grid("table").rows) == n)
        await one.press("/")
        await one.put("state:lost")
        await one.press("enter")
        await one.sees("no state 'lost'; there are: open, closed")
