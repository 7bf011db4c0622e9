"""What a plan shows before it is confirmed: causes and states, holds with reasons, and its command line."""

from __future__ import annotations

from hms_svc.domain.lifecycle import State
from hms_svc.tui.text import cell, line
from hms_svc.tui.widgets.page import Page
from tests.dashboard.conftest import ConsoleMaker
from tests.dashboard.test_actions import held_data
from tests.support.console import POTHOLE, ConsoleDriver

BUGS = ("no crew at depot", "no such lamp", "ledger is closed")


async def wait_for(one: ConsoleDriver, state: str, number: int) -> None:
    def counted() -> int:
        return sum(getattr(each.counts, state) for each in one.console.store.snapshot.queues)

    await one.until(f"{number} are {state}", lambda: counted() == number)


async def test_the_plan_of_a_bulk_action_has_a_line_for_each_cause_and_state(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(works=True, types=["drill.run"], size=(80, 24)) as one:
        data = [{"act": "fail", "message": f"{bug} {number}"} for bug in BUGS for number in (7, 8)]
        await one.enqueue("drill.run", *data, max_attempts=1)
        await wait_for(one, "dead", 6)
        await one.enqueue("pothole.report", POTHOLE)
        await one.press("2")
        await one.until("a page is shown", lambda: one.page.grid.rows)
        await one.press("*", "D")
        await one.opened("ConfirmDialog")
        for bug in BUGS:
            await one.reads(f"2 † dead drill.run DrillFailed: {bug} #")
        await one.reads("1 · queued pothole.report")


async def test_a_key_copies_the_whole_command_line_of_a_plan(open_console: ConsoleMaker) -> None:
    async with open_console() as one:
        ids = await one.enqueue("pothole.report", *({**POTHOLE, "lat": n} for n in range(5)))
        await one.press("2")
        await one.shows_jobs(5)
        await one.press(*["space"] * 5, "x")
        await one.opened("ConfirmDialog")
        await one.press("ctrl+y")
        await one.sees("copied: hms-svc jobs cancel")
        copied = one.console.clipboard
        assert copied == f"hms-svc jobs cancel {' '.join(sorted(ids))}"
        await one.press("escape")
        assert {job.state for job in await one.jobs()} == {State.QUEUED}


async def test_the_dialog_of_a_held_job_shows_payload_rule_reason_and_age(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(works=True, types=["pothole.report"], size=(80, 24)) as one:
        await one.enqueue("pothole.report", *(await held_data(one, 1)))
        await wait_for(one, "held", 1)
        await one.press("4")
        await one.shows_jobs(1)
        for key in "ad":
            await one.press(key)
            await one.opened("ConfirmDialog")
            await one.reads("wants create_case, held for")
            await one.reads("reason closing a road needs the approval of a human")
            await one.reads("rule road-closure hold create_case when type(payload)")
            await one.reads('"needs_road_closure": true')
            await one.reads("note (audit log)")
            await one.press("escape")
            await one.opened("Held")


async def test_several_held_jobs_are_shown_with_one_line_of_payload_each(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(works=True, types=["pothole.report"]) as one:
        await one.enqueue("pothole.report", *(await held_data(one, 2)))
        await wait_for(one, "held", 2)
        await one.press("4")
        await one.shows_jobs(2)
        await one.press("*", "a")
        await one.opened("ConfirmDialog")
        await one.reads('payload { "user_id": "usr-60111", "lat": 38.5,')
        await one.reads('payload { "user_id": "usr-60111", "lat": 38.6,')


async def test_focus_starts_at_the_number_and_tab_visits_inputs_only(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(size=(119, 40)) as one:
        await one.enqueue("pothole.report", *({**POTHOLE, "lat": n} for n in range(25)))
        await one.press("2")
        await one.shows_jobs(25)
        await one.press("*", "D")
        await one.opened("ConfirmDialog")
        screen = one.console.screen
        order = []
        for _ in range(3):
            order.append(str(screen.focused.id if screen.focused else None))
            await one.press("tab")
        assert order == ["typed", "note", "typed"]
        await one.sees("type 25")
        [line] = [line for line in one.lines() if "type 25" in line]
        assert line.count("25") == 1
        await one.press("shift+tab")
        await one.type("25")
        await one.press("enter")
        await one.sees("25 jobs discarded")


async def test_a_purge_shows_how_many_jobs_of_each_state_it_cancels(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as one:
        operations = await one.operations()
        later = operations.reads.now_ms() + 3_600_000
        await one.enqueue("pothole.report", *({**POTHOLE, "lat": n} for n in range(3)))
        await one.enqueue("pothole.report", POTHOLE, not_before=later)
        await wait_for(one, "scheduled", 1)
        await one.press(":")
        await one.type("purge pothole.report")
        await one.press("enter")
        await one.opened("ConfirmDialog")
        await one.reads("3 · queued pothole.report 1 ○ scheduled pothole.report will be cancelled")
        await one.reads("$ hms-svc queues purge pothole.report")
        await one.press("enter")
        await one.sees("4 waiting jobs of pothole.report cancelled")


def test_a_page_shows_nothing_before_it_knows_its_width() -> None:
    page = Page()
    page.show([line(cell("a plan that is wider than ten columns"))])
    assert page._shown == []
