"""Undo shows whose action it is, what and when, before it changes anything."""

from __future__ import annotations

from pathlib import Path

from hms_svc.cli.session import Session
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.lifecycle import State
from hms_svc.ports.control import Act
from tests.dashboard.conftest import ConsoleMaker
from tests.support.console import POTHOLE, ConsoleDriver


async def cancel(one: ConsoleDriver, *job_ids: str, note: str = "") -> None:
    actions = (await one.operations()).actions
    where = parse_filter(f"id:{','.join(job_ids)}")
    await actions.carry_out(await actions.plan_where(Act.CANCEL, where), note=note)


async def states(one: ConsoleDriver) -> list[State]:
    return [job.state for job in await one.jobs()]


async def test_undo_shows_its_plan_and_does_nothing_before_confirmation(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as one:
        ids = await one.enqueue("pothole.report", POTHOLE, {**POTHOLE, "lat": 40})
        await cancel(one, *ids, note="wrong city")
        [back] = await one.enqueue("crew.notify", {"case_id": "case-1", "kind": "pothole"})
        await one.press("u")
        await one.opened("UndoDialog")
        await one.reads("by ann (you)")
        await one.reads("did cancelled 2 jobs of all that match id:")
        await one.reads("s ago")
        await one.reads("note wrong city")
        await one.reads("2 can be brought back")
        await one.reads("hms-svc jobs undo ")
        await one.press("escape")
        await one.sees("cancelled, nothing changed")
        assert sorted(await states(one)) == [State.CANCELLED, State.CANCELLED, State.QUEUED]
        actions = (await one.operations()).actions
        await actions.carry_out(await actions.plan(Act.RETRY, [ids[0]]))
        await actions.undo()
        await one.press("u")
        await one.opened("UndoDialog")
        await one.reads("2 can be brought back")
        await one.press("enter")
        await one.sees("2 jobs brought back")
        assert set(await states(one)) == {State.QUEUED}
        assert back


async def test_jobs_that_changed_since_are_counted_before_confirmation(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as one:
        ids = await one.enqueue("pothole.report", POTHOLE, {**POTHOLE, "lat": 40})
        await cancel(one, *ids)
        actions = (await one.operations()).actions
        later = await actions.carry_out(await actions.plan(Act.RETRY, [ids[0]]))
        assert later.done == 1
        await one.press("u")
        await one.opened("UndoDialog")
        await one.reads(f"did retried job {ids[0]}")
        await one.press("escape")
        [first] = [each.name for each in await actions._control.batches(limit=9)][1:]
        await one.press(":")
        await one.type(f"undo {first}")
        await one.press("enter")
        await one.opened("UndoDialog")
        await one.reads("1 can be brought back 1 cannot: has moved on: it is queued")


async def test_another_actors_action_is_not_offered_first_and_needs_the_name_typed(
    open_console: ConsoleMaker, tmp_path: Path
) -> None:
    session = Session(
        {"data_dir": str(tmp_path), "actor": "bob"}, config_path=None, read_only=False,
        environ={"HMS_SVC_CONFIG": ""},
    )  # fmt: skip
    async with open_console(actor="ann") as one, session.operations() as bob:
        mine, his = await one.enqueue("pothole.report", POTHOLE, {**POTHOLE, "lat": 40})
        await cancel(one, mine)
        await bob.actions.carry_out(await bob.actions.plan(Act.CANCEL, [his]))
        await one.press("u")
        await one.opened("UndoDialog")
        await one.reads("by ann (you)")
        await one.reads(f"bob cancelled job {his}")
        await one.press("o")
        await one.reads("by bob, not you")
        await one.press("enter")
        await one.sees("nothing is not bob.")
        assert set(await states(one)) == {State.CANCELLED}
        await one.type("bob")
        await one.press("enter")
        await one.sees("1 job brought back")
        found = {job.id: job.state for job in await one.jobs()}
        assert found == {mine: State.CANCELLED, his: State.QUEUED}


async def test_an_undo_without_an_action_or_permission_is_reported(
    open_console: ConsoleMaker,
) -> None:
    async with open_console() as one:
        await one.press("u")
        await one.sees("there is no action that can still be undone")
    async with open_console(read_only=True) as one:
        await one.press("u")
        await one.sees("job.undo is not allowed: this session is read-only")
