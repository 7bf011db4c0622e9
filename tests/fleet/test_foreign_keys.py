"""Keys that others write to, with every wrong Redis type: the rest of the work goes on, and no event is lost."""

from __future__ import annotations

from itertools import product

import pytest
from msgspec import UNSET

from hms_svc.domain.job import Lane
from hms_svc.domain.lifecycle import State
from hms_svc.operations.answers.service import QueueAnswer
from tests.support.fleet import TYPE, Fleet

OTHER = "crew.notify"
FAR = 4_000_000_000_000
STRAY = {
    "string": ("SET", "hello"),
    "list": ("LPUSH", '{"id":"x"}'),
    "set": ("SADD", "x"),
    "zset": ("ZADD", "1", "x"),
    "hash": ("HSET", "x", "1"),
    "stream": ("XADD", "*", "x", "1"),
}
NAMES = {"list": f"jobs:{TYPE}", "zset": f"jobs:{TYPE}:retry", "hash": f"stats:{TYPE}"}
WRONG = [(name, kind) for (right, name), kind in product(NAMES.items(), STRAY) if kind != right]


def put(fleet: Fleet, name: str, kind: str) -> None:
    command, *words = STRAY[kind]
    fleet.server.cli("DEL", name)
    fleet.server.cli(command, name, *words)


async def run_to(fleet: Fleet, type: str, state: State) -> str:
    """Accept, claim and settle one job; give its id."""
    [job_id] = await fleet.accept(type=type)
    [job] = await fleet.claim(1, type)
    assert await fleet.broker.settle([fleet.settlement(job, state)]) == []
    return job_id


@pytest.mark.parametrize(("name", "kind"), WRONG)
async def test_a_wrong_type_stops_nothing_and_heals_after_it_was_deleted(
    fleet: Fleet, name: str, kind: str
) -> None:
    [later] = await fleet.accept(type=OTHER, not_before=FAR)
    put(fleet, name, kind)
    [mine, other] = [(await fleet.accept(type=type))[0] for type in (TYPE, OTHER)]
    jobs = await fleet.claim(2, TYPE, OTHER)
    ends = {mine: State.RETRYING, other: State.COMPLETED}
    settled = [fleet.settlement(job, ends[job.token.job_id]) for job in jobs]
    assert await fleet.broker.settle(settled) == []
    events = {(event.type, event.subject) for event in await fleet.bus.read(after=0, limit=100)}
    assert {("job.retrying", mine), ("job.completed", other)} <= events
    await fleet.broker.reap(100)
    assert await fleet.broker.promote(100) == 1
    assert await fleet.state(mine) is State.QUEUED
    assert await fleet.state(later) is State.SCHEDULED
    fault = next(view.faults for view in await fleet.inspection.queues() if view.type == TYPE)
    assert [name in words and kind in words and "DEL" in words for words in fault] == [True]
    fleet.server.cli("DEL", name)
    held = await run_to(fleet, TYPE, State.HELD)
    await fleet.broker.reap(100)
    assert (await fleet.counts())["held"] == 1, held
    assert all(not view.faults for view in await fleet.inspection.queues())
    assert int(fleet.server.cli("HGET", f"stats:{TYPE}", "held")) == 1


async def test_the_intake_of_a_type_rests_alone_and_goes_on(fleet: Fleet) -> None:
    put(fleet, f"jobs:{TYPE}", "string")
    fleet.server.cli("LPUSH", f"jobs:{OTHER}", '{"id":"pushed","data":{}}')
    await fleet.accept(type=TYPE)
    await fleet.broker.reap(100)
    assert await fleet.state("pushed") is State.QUEUED
    fleet.server.cli("DEL", f"jobs:{TYPE}")
    fleet.server.cli("LPUSH", f"jobs:{TYPE}", '{"id":"late","data":{}}')
    await fleet.broker.reap(100)
    assert await fleet.state("late") is State.QUEUED


async def test_the_mirror_shows_what_is_retrying_and_is_written_anew(fleet: Fleet) -> None:
    mirror = f"jobs:{TYPE}:retry"
    ids = [await run_to(fleet, TYPE, State.RETRYING) for _ in range(3)]
    await fleet.broker.reap(100)
    before = fleet.server.cli("ZRANGE", mirror, 0, -1, "WITHSCORES")
    assert {member.decode() for member, _ in before} == set(ids)
    detail = await fleet.detail(ids[0])
    assert detail is not None
    at = detail.view.due_at
    assert at is not None
    assert float(fleet.server.cli("ZSCORE", mirror, ids[0])) == pytest.approx(at / 1000, abs=1e-3)
    fleet.server.cli("ZADD", mirror, 1, "stranger")
    await fleet.broker.reap(100)
    assert fleet.server.cli("ZRANGE", mirror, 0, -1, "WITHSCORES") == before
    fleet.server.cli("DEL", mirror)
    await fleet.broker.reap(100)
    assert fleet.server.cli("ZRANGE", mirror, 0, -1, "WITHSCORES") == before
    assert await fleet.broker.promote(100) == 3
    assert fleet.server.cli("EXISTS", mirror) == 0


async def test_what_was_retrying_under_an_earlier_program_is_taken_over(fleet: Fleet) -> None:
    ids = [await run_to(fleet, TYPE, State.RETRYING) for _ in range(3)]
    fleet.server.cli("DEL", f"hms:default:retrying:{TYPE}")
    await fleet.broker.reap(100)
    assert (await fleet.counts())["retrying"] == 3
    assert await fleet.broker.promote(100) == 3
    jobs = await fleet.claim(3, TYPE, lane=Lane.NORMAL)
    assert {job.token.job_id for job in jobs} == set(ids)


async def test_the_answer_about_a_queue_has_its_faults(fleet: Fleet) -> None:
    await fleet.accept(type=TYPE)
    [view] = await fleet.inspection.queues()
    assert QueueAnswer.of(view, 0).faults is UNSET
    put(fleet, f"jobs:{TYPE}:retry", "list")
    [view] = await fleet.inspection.queues()
    assert QueueAnswer.of(view, 0).faults == view.faults
    assert view.faults[0].startswith(f"jobs:{TYPE}:retry is a list, not a sorted set")
