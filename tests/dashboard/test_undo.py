"""Undo shows whose action it is, what and when, before it changes anything."""

from __future__ import annotations

from pathlib import Path

from hms_svc.cli.session import Session
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.lifecycle import State
from hms_svc.ports.control import Act
from tests.dashboard.conftest import ConsoleMaker
from tests.support.console import POTHOLE, ConsoleDriver


async def cancel(driver: ConsoleDriver, *job_ids: str, note: str = "") -> None:
    actions = (await driver.operations()).actions
    where = parse_filter(f"id:{','.join(job_ids)}")
    await actions.carry_out(await actions.plan_where(Act.CANCEL, where), note=note)


async def states(driver: ConsoleDriver) -> list[State]:
    return [job.state for job in await driver.jobs()]


async def test_undo_shows_its_plan_and_does_nothing_before_confirmation(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        ids = await driver.enqueue("pothole.report", POTHOLE, {**POTHOLE, "lat": 40})
        await cancel(driver, *ids, note="wrong city")
        [back] = await driver.enqueue("crew.notify", {"case_id": "case-1", "kind": "pothole"})
        await driver.press("u")
        await driver.opened("UndoDialog")
        await driver.reads("by ann (you)")
        await driver.reads("did cancelled 2 jobs of all that match id:")
        await driver.reads("s ago")
        await driver.reads("note wrong city")
        await driver.reads("2 can be brought back")
        await driver.reads("hms-svc jobs undo ")
        await driver.press("escape")
        await driver.sees("cancelled, nothing changed")
        assert sorted(await states(driver)) == [State.CANCELLED, State.CANCELLED, State.QUEUED]
        actions = (await driver.operations()).actions
        await actions.carry_out(await actions.plan(Act.RETRY, [ids[0]]))
        await actions.undo()
        await driver.press("u")
        await driver.opened("UndoDialog")
        await driver.reads("2 can be brought back")
        await driver.press("enter")
        await driver.sees("2 jobs brought back")
        assert set(await states(driver)) == {State.QUEUED}
        assert back


async def test_jobs_that_changed_since_are_counted_before_confirmation(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        ids = await driver.enqueue("pothole.report", POTHOLE, {**POTHOLE, "lat": 40})
        await cancel(driver, *ids)
        actions = (await driver.operations()).actions
        later = await actions.carry_out(await actions.plan(Act.RETRY, [ids[0]]))
        assert later.done == 1
        await driver.press("u")
        await driver.opened("UndoDialog")
        await driver.reads(f"did retried job {ids[0]}")
        await driver.press("escape")
        [first] = [each.name for each in await actions._control.batches(limit=9)][1:]
        await driver.press(":")
        await driver.type(f"undo {first}")
        await driver.press("enter")
        await driver.opened("UndoDialog")
        await driver.reads("1 can be brought back 1 cannot: has moved on: it is queued")


async def test_another_actors_action_is_not_offered_first_and_needs_the_name_typed(
    open_console: ConsoleMaker, tmp_path: Path
) -> None:
    session = Session(
        {"data_dir": str(tmp_path), "actor": "bob"},
        config_path=None,
        read_only=False,
        environ={"HMS_SVC_CONFIG": ""},
    )
    async with open_console(actor="ann") as driver, session.operations() as bob:
        mine, his = await driver.enqueue("pothole.report", POTHOLE, {**POTHOLE, "lat": 40})
        await cancel(driver, mine)
        await bob.actions.carry_out(await bob.actions.plan(Act.CANCEL, [his]))
        await driver.press("u")
        await driver.opened("UndoDialog")
        await driver.reads("by ann (you)")
        await driver.reads(f"bob cancelled job {his}")
        await driver.press("o")
        await driver.reads("by bob, not you")
        await driver.press("enter")
        await driver.sees("nothing is not bob.")
        assert set(await states(driver)) == {State.CANCELLED}
        await driver.type("bob")
        await driver.press("enter")
        await driver.sees("1 job brought back")
        found = {job.id: job.state for job in await driver.jobs()}
        assert found == {mine: State.CANCELLED, his: State.QUEUED}


async def test_an_undo_without_an_action_or_permission_is_reported(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as driver:
        await driver.press("u")
        await driver.sees("there is no action that can still be undone")
    async with open_console(read_only=True) as driver:
        await driver.press("u")
        await driver.sees("job.undo is not allowed: this session is read-only")
