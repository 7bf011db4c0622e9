"""Undo shows whose act it is, what and when, before it takes anything back."""

from __future__ import annotations

import asyncio

from hms_svc.domain.filter import parse_filter
from hms_svc.domain.lifecycle import State
from hms_svc.ports.control import Act
from tests.dashboard.conftest import SeatMaker
from tests.dashboard.seat import POTHOLE, Seat


async def cancel(one: Seat, *job_ids: str, note: str = "") -> None:
    actions = (await one.operations()).actions
    where = parse_filter(f"id:{','.join(job_ids)}")
    await actions.carry_out(await actions.plan_where(Act.CANCEL, where), note=note)


async def states(one: Seat) -> list[State]:
    return [job.state for job in await one.jobs()]


async def test_undo_shows_its_plan_and_does_nothing_until_the_yes(take_seat: SeatMaker) -> None:
    async with take_seat() as one:
        ids = await one.enqueue("pothole.report", POTHOLE, {**POTHOLE, "lat": 40})
        await cancel(one, *ids, note="wrong city")
        [back] = await one.enqueue("crew.notify", {"case_id": "case-1", "kind": "pothole"})
        await one.press("u")
        await one.opened("UndoDialog")
        text = " ".join(one.text().split())
        assert "by ann (you)" in text
        assert "did cancelled 2 jobs of all that match id:" in text
        assert "s ago" in text
        assert "note wrong city" in text
        assert "2 can come back" in text
        assert "hms-svc jobs undo " in text
        await one.press("escape")
        await one.sees("cancelled, nothing changed")
        assert sorted(await states(one)) == [State.CANCELLED, State.CANCELLED, State.QUEUED]
        actions = (await one.operations()).actions
        await actions.carry_out(await actions.plan(Act.RETRY, [ids[0]]))
        await actions.undo()
        await one.press("u")
        await one.opened("UndoDialog")
        assert "2 can come back" in " ".join(one.text().split())
        await one.press("enter")
        await one.sees("2 jobs brought back")
        assert set(await states(one)) == {State.QUEUED}
        assert back


async def test_what_has_moved_since_is_counted_before_the_yes(take_seat: SeatMaker) -> None:
    async with take_seat() as one:
        ids = await one.enqueue("pothole.report", POTHOLE, {**POTHOLE, "lat": 40})
        await cancel(one, *ids)
        actions = (await one.operations()).actions
        later = await actions.carry_out(await actions.plan(Act.RETRY, [ids[0]]))
        await one.press(":")
        await one.type("undo ")
        batch = next(
            each.batch for each in [(await actions.plan_undo()).act] if each.batch == later.batch
        )
        assert batch
        await one.press("escape", "u")
        await one.opened("UndoDialog")
        assert f"did   retried job {ids[0]}" in one.text()
        await one.press("enter")
        await one.sees("1 job brought back")


async def test_another_actors_act_is_not_offered_first_and_takes_its_name(
    take_seat: SeatMaker,
) -> None:
    async with take_seat(actor="ann") as ann, take_seat(actor="bob") as bob:
        mine, his = await ann.enqueue("pothole.report", POTHOLE, {**POTHOLE, "lat": 40})
        await cancel(ann, mine)
        await asyncio.sleep(0.002)  # the order of batches is that of milliseconds
        await cancel(bob, his)
        await ann.press("u")
        await ann.opened("UndoDialog")
        assert "by    ann (you)" in ann.text()
        assert f"bob cancelled job {his}" in " ".join(ann.text().replace("│", " ").split())
        await ann.press("o")
        await ann.sees("by    bob, not you")
        await ann.press("enter")
        await ann.sees("nothing is not bob.")
        assert set(await states(ann)) == {State.CANCELLED}
        await ann.type("bob")
        await ann.press("enter")
        await ann.sees("1 job brought back")
        assert {job.id: job.state for job in await ann.jobs()} == {
            mine: State.CANCELLED,
            his: State.QUEUED,
        }


async def test_where_there_is_no_act_or_none_may_be_done_it_is_said(take_seat: SeatMaker) -> None:
    async with take_seat() as one:
        await one.press("u")
        await one.sees("there is no act that can still be undone")
    async with take_seat(read_only=True) as one:
        await one.press("u")
        await one.sees("job.undo is refused: this session is read-only")
