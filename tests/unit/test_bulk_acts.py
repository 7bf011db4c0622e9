"""Acts on many jobs: in chunks, at a pace, called off midway, and undone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hms_svc.domain.errors import (
    BrokerUnavailable,
    Refused,
    UnknownId,
)
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.lifecycle import State
from hms_svc.domain.strict_json import decode
from hms_svc.domain.views import ActOutcome
from hms_svc.operations import bulk
from hms_svc.operations.bulk_pace import Pace
from hms_svc.operations.plan import Plan
from hms_svc.ports.control import Act, ActRequest, Control
from hms_svc.services import builtin_registry
from tests.support.operator_service import OperatorHarness, open_operator

WAITING = parse_filter("state:queued")


@pytest.fixture
async def operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[OperatorHarness]:
    """A desk whose bulk acts take three jobs at a time."""
    monkeypatch.setattr(bulk, "CHUNK", 3)
    async with open_operator(tmp_path, builtin_registry()) as opened:
        yield opened


async def cancelling(operator: OperatorHarness) -> Plan:
    return await operator.operations.actions.plan_where(Act.CANCEL, WAITING)


async def test_a_plan_tells_how_far_it_is_and_groups_what_it_found(
    operator: OperatorHarness,
) -> None:
    await operator.enqueue(7)
    pages: list[int] = []
    plan = await operator.operations.actions.plan_where(
        Act.CANCEL, WAITING, progressed=pages.append, pace=Pace()
    )
    assert (sum(pages), max(pages)) == (7, 3)
    assert [(group.type, group.state, group.count) for group in plan.groups] == [
        ("x.y", State.QUEUED, 7)
    ]


async def test_a_plan_that_is_called_off_does_nothing(operator: OperatorHarness) -> None:
    await operator.enqueue(7)
    pace = Pace()
    with pytest.raises(Refused, match="cancelled after 3 jobs"):
        await operator.operations.actions.plan_where(
            Act.CANCEL, WAITING, progressed=lambda _: pace.cancel(), pace=pace
        )


async def test_a_bulk_act_called_off_ends_after_the_chunk_in_hand(
    operator: OperatorHarness,
) -> None:
    await operator.enqueue(8)
    pace = Pace()
    report = await operator.operations.actions.carry_out(
        await cancelling(operator), progressed=lambda _: pace.cancel(), pace=pace
    )
    assert (report.done, report.left, report.failed) == (3, 5, ())
    states = [view.state for view in await operator.jobs()]
    assert (states.count(State.CANCELLED), states.count(State.QUEUED)) == (3, 5)
    intents = [decode(row.detail)["phase"] for row in await operator.audit("job.cancel")]
    assert intents == ["intent", "outcome", "outcome", "outcome", "outcome"]
    [of_the_batch] = [
        decode(row.detail)
        for row in await operator.audit("job.cancel")
        if row.subject == f"batch:{report.batch}" and b'"outcome"' in row.detail
    ]
    assert (of_the_batch["done"], of_the_batch["not_done"]) == (3, 0)


async def test_a_paused_act_goes_on_where_it_stood(operator: OperatorHarness) -> None:
    await operator.enqueue(7)
    pace, first = Pace(), asyncio.Event()

    def after_the_first(_: int) -> None:
        if not first.is_set():
            pace.pause()
            first.set()

    plan = await cancelling(operator)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        acting = group.create_task(
            operator.operations.actions.carry_out(plan, progressed=after_the_first, pace=pace),
            name="bulk act",
        )
        await first.wait()
        assert len(await operator.jobs("state:cancelled")) == 3
        assert (pace.paused, acting.done()) == (True, False)
        pace.resume()
    assert (acting.result().done, acting.result().left) == (7, 0)


async def test_a_pace_that_is_cancelled_does_not_stay_paused() -> None:
    pace = Pace()
    pace.pause()
    pace.cancel()
    pace.pause()
    assert not pace.paused
    assert await pace.goes_on(since=0.0) is False


class Dying:
    """A control whose broker goes away at its second chunk, before or after it was done."""

    def __init__(self, control: Control, *, done: bool) -> None:
        self._control = control
        self._done = done
        self._calls = 0

    async def act(self, request: ActRequest) -> list[ActOutcome]:
        self._calls += 1
        if self._calls < 2 or self._done:
            outcomes = await self._control.act(request)
        if self._calls == 2:
            raise BrokerUnavailable("gone")
        return outcomes


@pytest.mark.parametrize(("done", "cancelled"), [(False, 3), (True, 6)])
async def test_an_end_midway_neither_loses_nor_doubles(
    operator: OperatorHarness, done: bool, cancelled: int
) -> None:
    ids = await operator.enqueue(8)
    plan = await cancelling(operator)
    dying = operator.serve(control=Dying(operator.engines.control, done=done))
    with pytest.raises(BrokerUnavailable):
        await dying.actions.carry_out(plan)
    assert len(await operator.jobs("state:cancelled")) == cancelled
    rows = [decode(row.detail) for row in await operator.audit("job.cancel")]
    intended = [job for row in rows if row["phase"] == "intent" for job in row["jobs"]]
    assert len(intended) == 6
    report = await operator.operations.actions.carry_out(plan)
    assert (report.done, len(report.failed)) == (8 - cancelled, cancelled)
    assert {view.id for view in await operator.jobs("state:cancelled")} == set(ids)


async def test_a_batch_is_undone_in_chunks_that_are_each_on_record_first(
    operator: OperatorHarness,
) -> None:
    ids = await operator.enqueue(8)
    done = await operator.operations.actions.carry_out(await cancelling(operator))
    steps: list[int] = []
    report = await operator.operations.actions.undo(progressed=steps.append)
    assert (report.batch, report.done, report.left, steps) == (done.batch, 8, 0, [3, 3, 2])
    assert {view.id for view in await operator.jobs("state:queued")} == set(ids)
    rows = [decode(row.detail) for row in await operator.audit("job.undo")]
    assert "".join(row["phase"][0] for row in rows) == "iooooiooooiooo"


async def test_an_undo_that_is_called_off_tells_what_is_left_and_goes_on(
    operator: OperatorHarness,
) -> None:
    await operator.enqueue(8)
    await operator.operations.actions.carry_out(await cancelling(operator))
    pace = Pace()
    report = await operator.operations.actions.undo(progressed=lambda _: pace.cancel(), pace=pace)
    assert (report.done, report.left) == (3, 5)
    assert (await operator.operations.actions.undo()).done == 5


async def test_a_job_that_has_moved_on_does_not_stand_before_earlier_acts(
    operator: OperatorHarness,
) -> None:
    await operator.enqueue(5)
    actions = operator.operations.actions
    earlier = await actions.carry_out(await cancelling(operator))
    [moved] = await operator.enqueue(1)
    await actions.carry_out(await actions.plan(Act.CANCEL, [moved]))
    await operator.engines.control.act(ActRequest(act=Act.RETRY, job_ids=(moved,), by="elsewhere"))
    assert [each.job_id for each in (await actions.undo()).failed] == [moved]
    report = await actions.undo()
    assert (report.batch, report.done) == (earlier.batch, 5)
    with pytest.raises(UnknownId):
        await actions.undo()


async def test_a_purge_has_each_chunk_on_record_and_tells_its_batch(
    operator: OperatorHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hms_svc.operations.actions.PURGE_CHUNK", 3)
    await operator.enqueue(7)
    pace = Pace()
    actions = operator.operations.actions
    report = await actions.purge("x.y", progressed=lambda _: pace.cancel(), pace=pace)
    assert (report.done, report.left) == (3, 4)
    rows = [decode(row.detail) for row in await operator.audit("queue.purge")]
    assert [(row["phase"], row["batch"]) for row in rows] == [
        ("intent", report.batch),
        ("outcome", report.batch),
    ]
    assert (await actions.undo(report.batch)).done == 3
    assert (await actions.purge("x.y")).done == 7


async def test_a_purge_ends_though_jobs_come_all_the_while(
    operator: OperatorHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hms_svc.operations.actions.PURGE_CHUNK", 3)
    await operator.enqueue(7)

    class Busy(Pace):
        async def goes_on(self, *, since: float | None = None) -> bool:
            await operator.enqueue(3)
            return await super().goes_on(since=since)

    assert (await operator.operations.actions.purge("x.y", pace=Busy())).done == 7


async def test_a_marked_job_that_is_gone_is_told_beside_the_others(
    operator: OperatorHarness,
) -> None:
    ids = await operator.enqueue(2)
    plan = await operator.operations.actions.plan(Act.CANCEL, [*ids, "gone"])
    assert set(plan.job_ids) == set(ids)
    assert plan.cannot == (ActOutcome("gone", False, "is no longer known"),)
    with pytest.raises(UnknownId, match="'gone'"):
        await operator.operations.actions.plan(Act.CANCEL, ["gone"])
