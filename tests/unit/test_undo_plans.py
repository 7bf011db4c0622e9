"""Before an act is undone: whose it is, what was done, and what of it can come back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hms_svc.domain.errors import Refused, UnknownId
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.job import make_job
from hms_svc.operations import bulk
from hms_svc.operations.actions import Actions
from hms_svc.operations.journal import Journal
from hms_svc.operations.undo import PastAct, not_restored_text
from hms_svc.ports.broker import ClaimRequest, ServedType
from hms_svc.ports.clock import SystemClock
from hms_svc.ports.control import Act
from tests.support.operator_service import OperatorHarness, open_operator


@pytest.fixture
async def operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[OperatorHarness]:
    """A desk whose acts take three jobs at a time."""
    monkeypatch.setattr(bulk, "CHUNK", 3)
    async with open_operator(tmp_path) as opened:
        yield opened


def actions_of(operator: OperatorHarness, actor: str, *, read_only: bool = False) -> Actions:
    engines, operations = operator.engines, operator.operations
    journal = Journal(operator.database, SystemClock(), actor=actor, read_only=read_only)
    return Actions(
        reads=operations.reads,
        broker=engines.broker,
        control=engines.control,
        journal=journal,
        radius_m=10,
    )


async def enqueue(operator: OperatorHarness, count: int, type: str = "x.y") -> list[str]:
    jobs = [make_job(type, {"n": n}, now_ms=1) for n in range(count)]
    await operator.engines.broker.enqueue(jobs)
    return [job.id for job in jobs]


async def cancel(actions: Actions, where: str, note: str = "") -> str:
    plan = await actions.plan_where(Act.CANCEL, parse_filter(where))
    return (await actions.carry_out(plan, note=note)).batch


async def test_a_bulk_act_is_told_by_its_filter_and_counted_whole(
    operator: OperatorHarness,
) -> None:
    await enqueue(operator, 7)
    ann = actions_of(operator, "ann")
    batch = await cancel(ann, "state:queued", note="by mistake")
    counted: list[int] = []
    plan = await ann.plan_undo(progressed=counted.append)
    assert (plan.act.batch, plan.act.who, plan.act.note) == (batch, "ann", "by mistake")
    assert plan.act.text == "cancelled 7 jobs of all that match state:queued"
    assert (plan.is_own, plan.back, plan.whys, plan.newer) == (True, 7, [], None)
    assert counted == [3, 3, 1]
    assert {view.state for view in await operator.jobs()} == {"cancelled"}


async def test_one_job_and_a_purge_are_told_too(operator: OperatorHarness) -> None:
    [job_id] = await enqueue(operator, 1)
    ann = actions_of(operator, "ann")
    await ann.carry_out(await ann.plan(Act.DISCARD, [job_id]))
    assert (await ann.plan_undo()).act.text == f"discarded job {job_id}"
    await enqueue(operator, 2, "queue.one")
    report = await ann.purge("queue.one", note="moved")
    plan = await ann.plan_undo(report.batch)
    assert (plan.act.text, plan.act.note) == ("purged queue.one: 2 waiting jobs", "moved")


async def test_what_has_moved_on_is_told_with_why(operator: OperatorHarness) -> None:
    ids = await enqueue(operator, 4)
    ann = actions_of(operator, "ann")
    batch = await cancel(ann, "state:queued")
    await ann.carry_out(await ann.plan(Act.RETRY, ids[:1]))
    plan = await ann.plan_undo(batch)
    assert (plan.back, plan.whys) == (3, [("has moved on: it is queued", 1)])


async def test_by_default_ones_own_is_chosen_and_a_newer_one_of_another_named(
    operator: OperatorHarness,
) -> None:
    await enqueue(operator, 2, "a.b")
    await enqueue(operator, 3, "c.d")
    ann, bob = actions_of(operator, "ann"), actions_of(operator, "bob")
    own = await cancel(ann, "type:a.b")
    other = await cancel(bob, "type:c.d")
    plan = await ann.plan_undo()
    assert (plan.act.batch, plan.is_own) == (own, True)
    newer = plan.newer
    assert isinstance(newer, PastAct)
    assert (newer.batch, newer.who, newer.jobs) == (other, "bob", 3)
    plan = await bob.plan_undo()
    assert (plan.act.batch, plan.newer) == (other, None)
    plan = await actions_of(operator, "eve").plan_undo()
    assert (plan.act.batch, plan.is_own, plan.newer) == (other, False, None)


async def test_an_act_of_which_nothing_can_come_back_is_passed_over(
    operator: OperatorHarness,
) -> None:
    ids = await enqueue(operator, 2)
    ann = actions_of(operator, "ann")
    first = await cancel(ann, f"id:{ids[0]}")
    second = await cancel(ann, f"id:{ids[1]}")
    await ann.carry_out(await ann.plan(Act.RETRY, ids[1:]))
    await ann.undo()
    await actions_of(operator, "bob").carry_out(await ann.plan(Act.RETRY, ids[1:]))
    assert (await ann.plan_undo()).act.batch == first
    assert (await ann.plan_undo(second)).back == 0


async def test_nothing_to_undo_and_read_only_are_refused(operator: OperatorHarness) -> None:
    with pytest.raises(UnknownId, match="no action that can still be undone"):
        await actions_of(operator, "ann").plan_undo()
    with pytest.raises(UnknownId, match="no batch 'b9' can"):
        await actions_of(operator, "ann").plan_undo("b9")
    with pytest.raises(Refused, match="read-only"):
        await actions_of(operator, "ann", read_only=True).plan_undo()


async def test_where_all_jobs_have_run_since_it_is_said_what_became_of_them(
    operator: OperatorHarness,
) -> None:
    ids = await enqueue(operator, 2)
    ann = actions_of(operator, "ann")
    await cancel(ann, "state:queued")
    await ann.carry_out(await ann.plan(Act.RETRY, ids))
    await operator.engines.broker.claim(ClaimRequest("crew-1", (ServedType("x.y", 9),), 9, 30_000))
    with pytest.raises(UnknownId) as raised:
        await ann.plan_undo()
    assert str(raised.value) == (
        "there is no action that can still be undone: you retried 2 jobs; 2 not: 2 running now"
    )


def test_what_moved_on_is_told_by_what_it_did_since() -> None:
    whys = [("has moved on: it is completed", 9), ("has moved on: it is processing", 3)]
    assert not_restored_text(whys) == "12 not: 9 ran since and completed, 3 running now"
    assert not_restored_text([("is no longer known", 1)]) == "1 not: 1 is no longer known"
