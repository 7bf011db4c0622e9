"""Actions of an operator in the console, on the real operator service."""

from __future__ import annotations

from hms_svc.domain.lifecycle import State
from hms_svc.tui.dialogs.plan import ConfirmDialog
from tests.dashboard.conftest import ConsoleMaker
from tests.support.console import POTHOLE, ConsoleDriver

PLACES = [{**POTHOLE, "lat": 38.0 + number / 100} for number in range(30)]
HELD = {
    **POTHOLE,
    "category": "road_closure",
    "severity": 5,
    "description": "close the road",
}


async def states(driver: ConsoleDriver) -> dict[str, State]:
    return {job.id: job.state for job in await driver.jobs()}


async def show_jobs(driver: ConsoleDriver, number: int) -> None:
    await driver.press("2")
    await driver.shows_jobs(number)


async def test_a_job_is_cancelled_and_brought_back_by_undo(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        [job_id] = await driver.enqueue("pothole.report", POTHOLE)
        await show_jobs(driver, 1)
        await driver.press("x")
        await driver.sees("1 job cancelled")
        assert await states(driver) == {job_id: State.CANCELLED}
        await undo(driver)
        await driver.sees("1 job brought back")
        assert await states(driver) == {job_id: State.QUEUED}


async def test_only_marked_jobs_are_changed(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        await driver.enqueue("pothole.report", *PLACES[:4])
        await show_jobs(driver, 4)
        await driver.press("space", "space")
        assert "2 marked" in driver.text()
        marked = {row.key for row in driver.page.grid.rows[:2]}
        await driver.press("x")
        await driver.opened("ConfirmDialog")
        await driver.type("twice reported")
        await driver.press("enter")
        await driver.sees("2 jobs cancelled")
        found = await states(driver)
        assert {job for job, state in found.items() if state is State.CANCELLED} == marked
        assert "marked" not in driver.text()
        assert any(b"twice reported" in row.detail for row in await driver.audit())


async def test_a_second_space_unmarks_a_job(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        await driver.enqueue("pothole.report", *PLACES[:2])
        await show_jobs(driver, 2)
        await driver.press("space", "up", "space")
        assert "marked" not in driver.text()


async def test_select_all_includes_jobs_beyond_the_page(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(size=(80, 16)) as driver:
        await driver.enqueue("pothole.report", *PLACES)
        await driver.enqueue("crew.notify", {"case_id": "case-1", "kind": "pothole"})
        await driver.press("2", "/")
        await driver.type("type:pothole.report")
        await driver.press("enter")
        await driver.until("a page is shown", lambda: 0 < len(driver.page.grid.rows) < len(PLACES))
        await driver.press("*", "x")
        await driver.opened("ConfirmDialog")
        assert "all that match type:pothole.report" in driver.text()
        await driver.press("enter")
        await driver.sees("30 jobs cancelled")
        left = [job.type for job in await driver.jobs("state:queued")]
        assert left == ["crew.notify"]


async def test_many_jobs_are_discarded_only_after_their_number_was_typed(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(size=(119, 40)) as driver:
        await driver.enqueue("pothole.report", *PLACES[:25])
        await driver.press("2")
        await driver.shows_jobs(25)
        await driver.press("*", "D")
        await driver.opened("ConfirmDialog")
        await driver.type("24")
        await driver.press("enter")
        await driver.sees("24 is not 25")
        assert isinstance(driver.console.screen, ConfirmDialog)
        await driver.put("25")
        await driver.press("enter")
        await driver.sees("25 jobs discarded")
        await driver.shows_jobs(0)
        await undo(driver)
        await driver.sees("25 jobs brought back")
        await driver.shows_jobs(25)


async def test_leaving_a_plan_changes_nothing(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        await driver.enqueue("pothole.report", *PLACES[:2])
        await show_jobs(driver, 2)
        await driver.press("*", "x")
        await driver.opened("ConfirmDialog")
        await driver.press("escape")
        await driver.sees("cancelled, nothing changed")
        assert set((await states(driver)).values()) == {State.QUEUED}
        assert "all matching jobs selected" in driver.text()
        assert await driver.audit() == []


async def test_an_impossible_action_is_reported_and_changes_nothing(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        await driver.enqueue("pothole.report", POTHOLE)
        await show_jobs(driver, 1)
        await driver.press("r")
        await driver.sees("a job that is queued cannot be retried")
        await driver.press("1", "r")
        await driver.sees("needs a")


async def test_a_job_that_changes_between_plan_and_action_is_reported_and_left(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        first, second = await driver.enqueue("pothole.report", *PLACES[:2])
        await show_jobs(driver, 2)
        await driver.press("space", "space", "x")
        await driver.opened("ConfirmDialog")
        actions = (await driver.operations()).actions
        await actions.purge("pothole.report")
        await driver.press("enter")
        await driver.sees("0 jobs cancelled, 2 not")
        assert await states(driver) == {first: State.CANCELLED, second: State.CANCELLED}


async def test_a_row_that_vanished_under_the_cursor_stays_and_cannot_be_acted_on(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        await driver.enqueue("pothole.report", *PLACES[:2])
        await driver.press("2", "/")
        await driver.type("state:queued")
        await driver.press("enter")
        await driver.shows_jobs(2)
        chosen = driver.page.grid.cursor
        assert chosen is not None
        actions = (await driver.operations()).actions
        from hms_svc.ports.control import Act

        await actions.carry_out(await actions.plan(Act.CANCEL, [chosen]))
        grid = driver.page.grid
        await driver.until(
            "the row is shown as gone", lambda: any(row.is_gone for row in grid.rows)
        )
        assert (grid.cursor, grid.chosen) == (chosen, None)
        await driver.press("x")
        await driver.sees("cancel needs a job or a group of failures; none is selected")
        await driver.press("1", "2")
        await driver.until("no row is kept", lambda: not any(row.is_gone for row in grid.rows))


async def test_a_queue_is_paused_resumed_and_purged(open_console: ConsoleMaker) -> None:
    async with open_console() as driver:
        [job_id] = await driver.enqueue("pothole.report", POTHOLE)
        await driver.until("the queue is shown", lambda: driver.grid("queues").cursor)
        await driver.press("p")
        await driver.sees("‖pothole.report")
        await driver.press("p")
        await driver.until("it goes on", lambda: "‖pothole.report" not in driver.text())
        await driver.press(":")
        await driver.type("pause pothole.report the register is moved")
        await driver.press("enter")
        await driver.sees("‖pothole.report")
        assert driver.console.store.snapshot.queues[0].pause_reason == "the register is moved"
        await driver.press(":")
        await driver.type("purge pothole.report wrong city")
        await driver.press("enter")
        await driver.opened("ConfirmDialog")
        await driver.press("enter")
        await driver.sees("1 waiting job of pothole.report cancelled")
        assert await states(driver) == {job_id: State.CANCELLED}


async def test_pausing_a_paused_queue_by_name_does_not_resume_it(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        await driver.enqueue("pothole.report", POTHOLE)
        await driver.until("the queue is shown", lambda: driver.grid("queues").cursor)
        await driver.press("p")
        await driver.sees("‖pothole.report")
        await driver.press(":")
        await driver.type("pause pothole.report for longer")
        await driver.press("enter")
        await driver.until(
            "the reason is shown",
            lambda: driver.console.store.snapshot.queues[0].pause_reason == "for longer",
        )


async def test_held_jobs_are_approved_and_denied_with_a_note(open_console: ConsoleMaker) -> None:
    async with open_console(works=True) as driver:
        sample = await driver.enqueue("pothole.report", *(await held_data(driver, 2)))
        await driver.press("4")
        await driver.shows_jobs(2)
        await driver.press("d")
        await driver.opened("ConfirmDialog")
        await driver.type("no such road")
        await driver.press("enter")
        await driver.sees("1 job denied")
        await driver.until(
            "the other is chosen",
            lambda: [row.is_gone for row in driver.page.grid.rows].count(False) == 1,
        )
        await driver.press("home")
        grid = driver.page.grid
        await driver.press("down" if grid.rows[0].is_gone else "up")
        await driver.press("a")
        await driver.opened("ConfirmDialog")
        await driver.type("the mayor agrees")
        await driver.press("enter")
        await driver.sees("1 job approved")
        await driver.until("it leaves the page", lambda: all(row.is_gone for row in grid.rows))
        found = {job.id: job for job in await driver.jobs("type:pothole.report")}
        assert {found[job_id].state for job_id in sample} >= {State.REJECTED}
        notes = b" ".join(row.detail for row in await driver.audit())
        assert b"no such road" in notes
        assert b"the mayor agrees" in notes


async def undo(driver: ConsoleDriver) -> None:
    """Press a key, and confirm the plan."""
    await driver.press("u")
    await driver.opened("UndoDialog")
    await driver.press("enter")


async def held_data(driver: ConsoleDriver, number: int) -> list[object]:
    from hms_svc.operations.sample_jobs import list_samples

    [sample] = [each for each in list_samples() if each.name == "held"]
    data = sample.draft().value["data"]
    assert isinstance(data, dict)
    return [{**data, "lat": 38.5 + step / 10} for step in range(number)]


async def test_a_bulk_action_in_the_background_runs_to_its_end(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        await driver.enqueue(
            "pothole.report", *({**POTHOLE, "lat": 10 + n / 100} for n in range(600))
        )
        await driver.press("2")
        await driver.until("a page is shown", lambda: driver.page.grid.rows)
        await driver.press("*", "x")
        await driver.opened("ConfirmDialog")
        await driver.press("enter")
        await driver.opened("ProgressDialog")
        await driver.press("b")
        await driver.sees("600 jobs cancelled")
        assert set((await states(driver)).values()) == {State.CANCELLED}
