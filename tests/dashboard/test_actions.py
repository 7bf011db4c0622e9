"""Actions of an operator in the console, on the real operator service."""

from __future__ import annotations

from hms_svc.domain.lifecycle import State
from hms_svc.tui.dialogs.plan import ConfirmDialog
from tests.dashboard.conftest import ConsoleMaker
from tests.support.console import POTHOLE, ConsoleDriver

PLACES = [{**POTHOLE, "lat": 38.0 + number / 100} for number in range(30)]
HELD = {
    **POTHOLE, "category": "road_closure", "severity": 5, "description": "close the road",
}  # fmt: skip


async def states(one: ConsoleDriver) -> dict[str, State]:
    return {job.id: job.state for job in await one.jobs()}


async def show_jobs(one: ConsoleDriver, number: int) -> None:
    await one.press("2")
    await one.shows_jobs(number)


async def test_a_job_is_cancelled_and_brought_back_by_undo(open_console: ConsoleMaker) -> None:
    async with open_console() as one:
        [job_id] = await one.enqueue("pothole.report", POTHOLE)
        await show_jobs(one, 1)
        await one.press("x")
        await one.sees("1 job cancelled")
        assert await states(one) == {job_id: State.CANCELLED}
        await undo(one)
        await one.sees("1 job brought back")
        assert await states(one) == {job_id: State.QUEUED}


async def test_only_marked_jobs_are_changed(open_console: ConsoleMaker) -> None:
    async with open_console() as one:
        await one.enqueue("pothole.report", *PLACES[:4])
        await show_jobs(one, 4)
        await one.press("space", "space")
        assert "2 marked" in one.text()
        marked = {row.key for row in one.page.grid.rows[:2]}
        await one.press("x")
        await one.opened("ConfirmDialog")
        await one.type("twice reported")
        await one.press("enter")
        await one.sees("2 jobs cancelled")
        found = await states(one)
        assert {job for job, state in found.items() if state is State.CANCELLED} == marked
        assert "marked" not in one.text()
        assert any(b"twice reported" in row.detail for row in await one.audit())


async def test_a_second_space_unmarks_a_job(open_console: ConsoleMaker) -> None:
    async with open_console() as one:
        await one.enqueue("pothole.report", *PLACES[:2])
        await show_jobs(one, 2)
        await one.press("space", "up", "space")
        assert "marked" not in one.text()


async def test_select_all_includes_jobs_beyond_the_page(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(size=(80, 16)) as one:
        await one.enqueue("pothole.report", *PLACES)
        await one.enqueue("crew.notify", {"case_id": "case-1", "kind": "pothole"})
        await one.press("2", "/")
        await one.type("type:pothole.report")
        await one.press("enter")
        await one.until("a page is shown", lambda: 0 < len(one.page.grid.rows) < len(PLACES))
        await one.press("*", "x")
        await one.opened("ConfirmDialog")
        assert "all that match type:pothole.report" in one.text()
        await one.press("enter")
        await one.sees("30 jobs cancelled")
        left = [job.type for job in await one.jobs("state:queued")]
        assert left == ["crew.notify"]


async def test_many_jobs_are_discarded_only_after_their_number_was_typed(
    open_console: ConsoleMaker,
) -> None:
    async with open_console(size=(119, 40)) as one:
        await one.enqueue("pothole.report", *PLACES[:25])
        await one.press("2")
        await one.shows_jobs(25)
        await one.press("*", "D")
        await one.opened("ConfirmDialog")
        await one.type("24")
        await one.press("enter")
        await one.sees("24 is not 25")
        assert isinstance(one.console.screen, ConfirmDialog)
        await one.put("25")
        await one.press("enter")
        await one.sees("25 jobs discarded")
        await one.shows_jobs(0)
        await undo(one)
        await one.sees("25 jobs brought back")
        await one.shows_jobs(25)


async def test_leaving_a_plan_changes_nothing(open_console: ConsoleMaker) -> None:
    async with open_console() as one:
        await one.enqueue("pothole.report", *PLACES[:2])
        await show_jobs(one, 2)
        await one.press("*", "x")
        await one.opened("ConfirmDialog")
        await one.press("escape")
        await one.sees("cancelled, nothing changed")
        assert set((await states(one)).values()) == {State.QUEUED}
        assert "all matching jobs selected" in one.text()
        assert await one.audit() == []


async def test_an_impossible_action_is_reported_and_changes_nothing(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as one:
        await one.enqueue("pothole.report", POTHOLE)
        await show_jobs(one, 1)
        await one.press("r")
        await one.sees("a job that is queued cannot be retried")
        await one.press("1", "r")
        await one.sees("needs a")


async def test_a_job_that_changes_between_plan_and_action_is_reported_and_left(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as one:
        first, second = await one.enqueue("pothole.report", *PLACES[:2])
        await show_jobs(one, 2)
        await one.press("space", "space", "x")
        await one.opened("ConfirmDialog")
        actions = (await one.operations()).actions
        await actions.purge("pothole.report")
        await one.press("enter")
        await one.sees("0 jobs cancelled, 2 not")
        assert await states(one) == {first: State.CANCELLED, second: State.CANCELLED}


async def test_a_row_that_vanished_under_the_cursor_stays_and_cannot_be_acted_on(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as one:
        await one.enqueue("pothole.report", *PLACES[:2])
        await one.press("2", "/")
        await one.type("state:queued")
        await one.press("enter")
        await one.shows_jobs(2)
        chosen = one.page.grid.cursor
        assert chosen is not None
        actions = (await one.operations()).actions
        from hms_svc.ports.control import Act

        await actions.carry_out(await actions.plan(Act.CANCEL, [chosen]))
        grid = one.page.grid
        await one.until("the row is shown as gone", lambda: any(row.is_gone for row in grid.rows))
        assert (grid.cursor, grid.chosen) == (chosen, None)
        await one.press("x")
        await one.sees("cancel needs a job or a group of failures; none is selected")
        await one.press("1", "2")
        await one.until("no row is kept", lambda: not any(row.is_gone for row in grid.rows))


async def test_a_queue_is_paused_resumed_and_purged(open_console: ConsoleMaker) -> None:
    async with open_console() as one:
        [job_id] = await one.enqueue("pothole.report", POTHOLE)
        await one.until("the queue is shown", lambda: one.grid("queues").cursor)
        await one.press("p")
        await one.sees("‖pothole.report")
        await one.press("p")
        await one.until("it goes on", lambda: "‖pothole.report" not in one.text())
        await one.press(":")
        await one.type("pause pothole.report the register is moved")
        await one.press("enter")
        await one.sees("‖pothole.report")
        assert one.console.store.snapshot.queues[0].pause_reason == "the register is moved"
        await one.press(":")
        await one.type("purge pothole.report wrong city")
        await one.press("enter")
        await one.opened("ConfirmDialog")
        await one.press("enter")
        await one.sees("1 waiting job of pothole.report cancelled")
        assert await states(one) == {job_id: State.CANCELLED}


async def test_pausing_a_paused_queue_by_name_does_not_resume_it(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as one:
        await one.enqueue("pothole.report", POTHOLE)
        await one.until("the queue is shown", lambda: one.grid("queues").cursor)
        await one.press("p")
        await one.sees("‖pothole.report")
        await one.press(":")
        await one.type("pause pothole.report for longer")
        await one.press("enter")
        await one.until(
            "the reason is shown",
            lambda: one.console.store.snapshot.queues[0].pause_reason == "for longer",
        )


async def test_held_jobs_are_approved_and_denied_with_a_note(open_console: ConsoleMaker) -> None:
    async with open_console(works=True) as one:
        sample = await one.enqueue("pothole.report", *(await held_data(one, 2)))
        await one.press("4")
        await one.shows_jobs(2)
        await one.press("d")
        await one.opened("ConfirmDialog")
        await one.type("no such road")
        await one.press("enter")
        await one.sees("1 job denied")
        await one.until(
            "the other is chosen",
            lambda: [row.is_gone for row in one.page.grid.rows].count(False) == 1,
        )
        await one.press("home")
        grid = one.page.grid
        await one.press("down" if grid.rows[0].is_gone else "up")
        await one.press("a")
        await one.opened("ConfirmDialog")
        await one.type("the mayor agrees")
        await one.press("enter")
        await one.sees("1 job approved")
        await one.until("it leaves the page", lambda: all(row.is_gone for row in grid.rows))
        found = {job.id: job for job in await one.jobs("type:pothole.report")}
        assert {found[job_id].state for job_id in sample} >= {State.REJECTED}
        notes = b" ".join(row.detail for row in await one.audit())
        assert b"no such road" in notes
        assert b"the mayor agrees" in notes


async def undo(one: ConsoleDriver) -> None:
    """Press a key, and confirm the plan."""
    await one.press("u")
    await one.opened("UndoDialog")
    await one.press("enter")


async def held_data(one: ConsoleDriver, number: int) -> list[object]:
    from hms_svc.operations.sample_jobs import list_samples

    [sample] = [each for each in list_samples() if each.name == "held"]
    data = sample.draft().value["data"]
    assert isinstance(data, dict)
    return [{**data, "lat": 38.5 + step / 10} for step in range(number)]


async def test_a_bulk_action_in_the_background_runs_to_its_end(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as one:
        await one.enqueue("pothole.report", *({**POTHOLE, "lat": 10 + n / 100} for n in range(600)))
        await one.press("2")
        await one.until("a page is shown", lambda: one.page.grid.rows)
        await one.press("*", "x")
        await one.opened("ConfirmDialog")
        await one.press("enter")
        await one.opened("ProgressDialog")
        await one.press("b")
        await one.sees("600 jobs cancelled")
        assert set((await states(one)).values()) == {State.CANCELLED}
