"""What a plan shows before it is confirmed: causes and states, holds with reasons, and its command line."""

from __future__ import annotations

from hms_svc.domain.lifecycle import State
from hms_svc.tui.text import cell, line
from hms_svc.tui.widgets.page import Page
from tests.dashboard.conftest import ConsoleMaker
from tests.dashboard.test_actions import held_data
from tests.support.console import POTHOLE, ConsoleDriver

BUGS = ("no crew at depot", "no such lamp", "ledger is closed")


async def wait_for(driver: ConsoleDriver, state: str, number: int) -> None:
    def counted() -> int:
        return sum(getattr(each.counts, state) for each in driver.console.store.snapshot.queues)

    await driver.until(f"{number} are {state}", lambda: counted() == number)


async def test_the_plan_of_a_bulk_action_has_a_line_for_each_cause_and_state(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(works=True, types=["drill.run"], size=(80, 24)) as driver:
        data = [{"act": "fail", "message": f"{bug} {number}"} for bug in BUGS for number in (7, 8)]
        await driver.enqueue("drill.run", *data, max_attempts=1)
        await wait_for(driver, "dead", 6)
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.press("2")
        await driver.until("a page is shown", lambda: driver.page.grid.rows)
        await driver.press("*", "D")
        await driver.opened("ConfirmDialog")
        for bug in BUGS:
            await driver.reads(f"2 † dead drill.run DrillFailed: {bug} #")
        await driver.reads("1 · queued pothole.report")


async def test_a_key_copies_the_whole_command_line_of_a_plan(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        ids = await driver.enqueue("pothole.report", *({**POTHOLE, "lat": n} for n in range(5)))
        await driver.press("2")
        await driver.shows_jobs(5)
        await driver.press(*["space"] * 5, "x")
        await driver.opened("ConfirmDialog")
        await driver.press("ctrl+y")
        await driver.sees("copied: hms-svc jobs cancel")
        copied = driver.console.clipboard
        assert copied == f"hms-svc jobs cancel {' '.join(sorted(ids))}"
        await driver.press("escape")
        assert {job.state for job in await driver.jobs()} == {State.QUEUED}


async def test_the_dialog_of_a_held_job_shows_payload_rule_reason_and_age(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(works=True, types=["pothole.report"], size=(80, 24)) as driver:
        await driver.enqueue("pothole.report", *(await held_data(driver, 1)))
        await wait_for(driver, "held", 1)
        await driver.press("4")
        await driver.shows_jobs(1)
        for key in "ad":
            await driver.press(key)
            await driver.opened("ConfirmDialog")
            await driver.reads("wants create_case, held for")
            await driver.reads("reason closing a road needs the approval of a person")
            await driver.reads("rule road-closure hold create_case when type(payload)")
            await driver.reads('"needs_road_closure": true')
            await driver.reads("note (audit log)")
            await driver.press("escape")
            await driver.opened("Held")


async def test_several_held_jobs_are_shown_with_one_line_of_payload_each(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(works=True, types=["pothole.report"]) as driver:
        await driver.enqueue("pothole.report", *(await held_data(driver, 2)))
        await wait_for(driver, "held", 2)
        await driver.press("4")
        await driver.shows_jobs(2)
        await driver.press("*", "a")
        await driver.opened("ConfirmDialog")
        await driver.reads('payload { "user_id": "usr-60111", "lat": 38.5,')
        await driver.reads('payload { "user_id": "usr-60111", "lat": 38.6,')


async def test_focus_starts_at_the_number_and_tab_visits_inputs_only(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(size=(119, 40)) as driver:
        await driver.enqueue("pothole.report", *({**POTHOLE, "lat": n} for n in range(25)))
        await driver.press("2")
        await driver.shows_jobs(25)
        await driver.press("*", "D")
        await driver.opened("ConfirmDialog")
        screen = driver.console.screen
        order = []
        for _ in range(3):
            order.append(str(screen.focused.id if screen.focused else None))
            await driver.press("tab")
        assert order == ["typed", "note", "typed"]
        await driver.sees("type 25")
        [line] = [line for line in driver.lines() if "type 25" in line]
        assert line.count("25") == 1
        await driver.press("shift+tab")
        await driver.type("25")
        await driver.press("enter")
        await driver.sees("25 jobs discarded")


async def test_a_purge_shows_how_many_jobs_of_each_state_it_cancels(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        operations = await driver.operations()
        later = operations.reads.now_ms() + 3_600_000
        await driver.enqueue("pothole.report", *({**POTHOLE, "lat": n} for n in range(3)))
        await driver.enqueue("pothole.report", POTHOLE, not_before=later)
        await wait_for(driver, "scheduled", 1)
        await driver.press(":")
        await driver.type("purge pothole.report")
        await driver.press("enter")
        await driver.opened("ConfirmDialog")
        await driver.reads(
            "3 · queued pothole.report 1 ○ scheduled pothole.report will be cancelled"
        )
        await driver.reads("$ hms-svc queues purge pothole.report")
        await driver.press("enter")
        await driver.sees("4 waiting jobs of pothole.report cancelled")


def test_a_page_shows_nothing_before_it_knows_its_width() -> None:
    page = Page()
    page.show([line(cell("a plan that is wider than ten columns"))])
    assert page._shown == []
