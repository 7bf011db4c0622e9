"""Test jobs, the acts on workers, and what the audit log says of every act."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hms_svc.domain.batches import NewBatch
from hms_svc.domain.case import CaseStatus
from hms_svc.domain.errors import (
    BadInput,
    IdConflict,
    MalformedJob,
    Refused,
    UnknownId,
)
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.job import Lane, make_job
from hms_svc.domain.lifecycle import State
from hms_svc.domain.strict_json import JsonValue, decode
from hms_svc.domain.views import WorkerState
from hms_svc.operations import trial_jobs
from hms_svc.operations.action_table import AUDITED
from hms_svc.operations.bulk_pace import Pace
from hms_svc.operations.intake import Draft
from hms_svc.operations.plan import Claim, Plan
from hms_svc.operations.service import Operations
from hms_svc.operations.tokens import Scope
from hms_svc.ports.broker import WorkerRegistration
from hms_svc.ports.clock import SystemClock
from hms_svc.ports.control import Act
from hms_svc.ports.schedules import DueRuns
from hms_svc.sdk.dao import Dao
from hms_svc.sdk.registry import Registry
from hms_svc.services import builtin_registry
from tests.support.broken_submissions import leave_open
from tests.support.operator_service import OperatorHarness, open_operator

DAILY = "0 4 * * *"
POTHOLE: dict[str, JsonValue] = {"user_id": "usr-1", "lat": 38.9, "lon": -77.0}


@pytest.fixture
async def operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[OperatorHarness]:
    """A desk that enqueues three test jobs at a time."""
    monkeypatch.setattr(trial_jobs, "CHUNK", 3)
    async with open_operator(tmp_path, builtin_registry()) as opened:
        yield opened


async def register(operator: OperatorHarness, name: str, **fields: Any) -> None:
    """Let a worker stand in the register."""
    given: dict[str, Any] = {"host": "w", "pid": 1, "slots": 4, "busy": 0, "types": ("x.y",)}
    worker = WorkerRegistration(id=name, started_at=1, **{**given, **fields})
    lease_keeper = operator.engines.broker.lease_keeper()
    await asyncio.to_thread(lease_keeper.register, worker)
    await asyncio.to_thread(lease_keeper.close)


async def test_copies_of_a_draft_are_handed_in_batch_by_batch_and_on_record(
    operator: OperatorHarness,
) -> None:
    draft = Draft("form", {"type": "pothole.report", "data": POTHOLE})
    report = await operator.operations.actions.enqueue_test(draft, count=7, note="drill")
    assert (report.type, report.left) == ("pothole.report", 0)
    assert [answer.state for answer in report.answers] == [State.QUEUED] * 7
    assert {view.id for view in await operator.jobs()} == {each.job_id for each in report.answers}
    rows = [decode(row.detail) for row in await operator.audit("job.enqueue")]
    intents = [row for row in rows if row["phase"] == "intent"]
    assert [(row["count"], row["note"]) for row in intents] == [
        (3, "drill"),
        (3, "drill"),
        (1, "drill"),
    ]
    assert sum(row["phase"] == "outcome" and row["done"] for row in rows) == 7


async def test_a_hand_in_that_is_called_off_tells_what_is_left(operator: OperatorHarness) -> None:
    pace = Pace()
    report = await operator.operations.actions.enqueue_test(
        Draft("form", {"type": "x.y", "data": 1}),
        count=7,
        progressed=lambda _: pace.cancel(),
        pace=pace,
    )
    assert (len(report.answers), report.left, len(await operator.jobs())) == (3, 4, 3)


async def test_a_draft_at_fault_is_not_handed_in_unless_asked_to(operator: OperatorHarness) -> None:
    actions = operator.operations.actions
    draft = Draft("form", {"type": "pothole.report", "data": {**POTHOLE, "lat": 123}})
    with pytest.raises(MalformedJob, match=r"data\.lat"):
        await actions.enqueue_test(draft)
    with pytest.raises(MalformedJob, match="data"):
        await actions.enqueue_test(Draft("form", {"type": "x.y"}))
    with pytest.raises(MalformedJob, match="share an id"):
        await actions.enqueue_test(Draft("form", {"id": "a", "type": "x.y", "data": 1}), count=2)
    for count in (0, 10_001):
        with pytest.raises(BadInput, match="1 to 10,000"):
            await actions.enqueue_test(draft, count=count)
        with pytest.raises(BadInput, match="1 to 10,000"):
            await actions.enqueue_raw_test("x.y", b"", count=count)
    assert (await operator.jobs(), await operator.audit("job.enqueue")) == ([], [])
    report = await actions.enqueue_test(draft, check=False)
    assert [view.id for view in await operator.jobs()] == [report.answers[0].job_id]


async def test_an_id_that_is_taken_is_told_and_on_record(operator: OperatorHarness) -> None:
    actions = operator.operations.actions
    await actions.enqueue_test(Draft("form", {"id": "a", "type": "x.y", "data": 1}))
    with pytest.raises(IdConflict, match="'a'"):
        await actions.enqueue_test(Draft("form", {"id": "a", "type": "x.y", "data": 2}))
    last = decode((await operator.audit("job.enqueue"))[-1].detail)
    assert (last["done"], last["why"]) == (False, "conflict")


async def test_bytes_are_handed_over_unread(operator: OperatorHarness) -> None:
    report = await operator.operations.actions.enqueue_raw_test(
        "pothole.report", b"no job", count=4
    )
    assert [answer.state for answer in report.answers] == [State.DEAD] * 4
    assert len(await operator.jobs("reason:malformed")) == 4


@pytest.mark.parametrize("raw", [False, True])
async def test_a_delivery_is_retried_and_never_edited(operator: OperatorHarness, raw: bool) -> None:
    broker, actions = operator.engines.broker, operator.operations.actions
    if raw:
        [answer] = await broker.enqueue_raw("event.deliver", [b'{"data":{}}'])
    else:
        [answer] = await broker.enqueue([make_job("event.deliver", {}, now_ms=1)])
        await actions.carry_out(await actions.plan(Act.CANCEL, [answer.job_id]))
    right = "discard" if raw else "retry"
    with pytest.raises(
        Refused,
        match=f"was created by hms-svc itself and cannot be edited: {right} it",
    ):
        await actions.draft_edit(answer.job_id, {"receiver": "act"})


async def test_no_test_job_is_one_of_ours(operator: OperatorHarness) -> None:
    actions = operator.operations.actions
    for value in ({"type": "event.deliver"}, {"type": "x.y", "id": "hms:1"}):
        with pytest.raises(MalformedJob, match="itself"):
            await actions.enqueue_test(Draft("form", {**value, "data": {}}))
    report = await actions.enqueue_raw_test("event.deliver", b'{"data":{}}')
    assert [answer.state for answer in report.answers] == [State.DEAD]


async def every_act(
    operator: OperatorHarness, operations: Operations
) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Return one way to do each act, in an order in which all of them can be done."""
    actions, folder = operations.actions, operator.settings.data_dir
    ids = await operator.enqueue(3)
    stores = operator.database
    dao = Dao(
        cases=stores.cases,
        reports=stores.reports,
        effects=stores.effects,
        clock=SystemClock(),
        radius_m=25.0,
        actor="tests",
    )
    case = await dao.insert_case(POTHOLE, "c", kind="pothole")
    await register(operator, "w-7-a", schedules=(("x.z", DAILY),))
    await operator.engines.broker.decide_runs([DueRuns(type="x.z", cron=DAILY)])

    members = tuple(make_job("x.y", n, now_ms=1) for n in range(2))
    await leave_open(operator.engines.broker, NewBatch(id="wards", members=members))

    async def act(verb: str, job_ids: Sequence[str]) -> None:
        claims = {job_id: Claim(0, ended=True) for job_id in job_ids}
        plan = Plan(act=Act(verb), job_ids=tuple(job_ids), groups=(), cannot=(), claims=claims)
        await actions.carry_out(plan)

    async def edit() -> None:
        await actions.enqueue_edit(await actions.draft_edit(ids[0], {"n": 9}))

    async def erase() -> None:
        await actions.erase(await actions.plan_erase(ids[:1]))

    async def revoke() -> None:
        token, _ = await operations.tokens.create("portal", [Scope.VIEW])
        await operations.tokens.revoke(token.id)

    draft = Draft("form", {"type": "x.y", "data": 1})
    return {
        "cancel": lambda: act("cancel", ids[:2]),
        "edit": edit,
        "erase": erase,
        "retry": lambda: act("retry", ids[1:2]),
        "approve": lambda: act("approve", ids[:1]),
        "deny": lambda: act("deny", ids[:1]),
        "discard": lambda: act("discard", ids[2:]),
        "undo": actions.undo,
        "enqueue": lambda: actions.enqueue_test(draft),
        "run-now": lambda: operations.schedules.run("x.z"),
        "pause-schedule": lambda: operations.schedules.pause("x.z"),
        "resume-schedule": lambda: operations.schedules.resume("x.z"),
        "close-batch": lambda: actions.close_batch("wards", note="its producer is gone"),
        "pause": lambda: actions.pause("x.y"),
        "resume": lambda: actions.resume("x.y"),
        "purge": lambda: actions.purge("x.y"),
        "close-case": lambda: actions.set_case_status(case, CaseStatus.CLOSED),
        "reopen-case": lambda: actions.set_case_status(case, CaseStatus.OPEN),
        "quiet": lambda: actions.ask_worker("w-7-a", WorkerState.QUIET, reason="bad disk"),
        "resume-worker": lambda: actions.ask_worker("w-7-a", WorkerState.WORKING),
        "stop": lambda: actions.ask_worker("w-7-a", WorkerState.STOPPING),
        "accept": lambda: operations.audit.accept(note="compared with the copy of Monday"),
        "create-token": lambda: operations.tokens.create("portal", [Scope.VIEW]),
        "revoke-token": revoke,
        "backup": lambda: actions.backup(str(folder / "q"), str(folder / "c")),
    }


async def test_every_act_is_in_the_audit_log_under_its_name(operator: OperatorHarness) -> None:
    acts = await every_act(operator, operator.operations)
    assert set(acts) == set(AUDITED)
    for verb, act in acts.items():
        before = len(await operator.audit(AUDITED[verb]))
        await act()
        assert len(await operator.audit(AUDITED[verb])) > before, verb


async def test_a_plan_for_a_worker_tells_what_nobody_else_serves(operator: OperatorHarness) -> None:
    actions = operator.operations.actions
    await operator.enqueue(3)
    await register(operator, "w-7-a", types=("x.y", "x.z"))
    plan = await actions.plan_worker("w-7-a", WorkerState.STOPPING)
    assert plan.unserved == (("x.y", 3), ("x.z", 0))
    assert plan.lines == [
        "w-7-a claims no more jobs; it runs no jobs",
        "no other live worker serves x.y (3 waiting), x.z",
        "it is the last worker of its service, which exits too, with its HTTP API",
    ]
    await register(operator, "w-7-b")
    quiet = await actions.plan_worker("w-7-a", WorkerState.QUIET)
    assert quiet.lines[1:] == ["no other live worker serves x.z"]
    await register(operator, "w-7-b", types=("x.y", "x.z"))
    stop = await actions.plan_worker("w-7-a", WorkerState.STOPPING)
    assert stop.lines[1:] == [
        "other live workers serve all its types",
        "then it exits, and its service does not replace it",
    ]


async def test_only_workers_that_work_and_shall_go_on_count_as_others(
    operator: OperatorHarness,
) -> None:
    actions = operator.operations.actions
    for name in ("w-7-a", "w-7-b"):
        await register(operator, name)
    await register(operator, "w-7-lane", lane=Lane.SUSPECT)
    await actions.ask_worker("w-7-b", WorkerState.QUIET)
    plan = await actions.plan_worker("w-7-a", WorkerState.STOPPING)
    assert plan.lines[1:] == [
        "no other live worker serves x.y",
        "then it exits, and its service does not replace it",
    ]
    await actions.ask_worker("w-7-b", WorkerState.STOPPING)
    plan = await actions.plan_worker("w-7-a", WorkerState.STOPPING)
    assert (plan.unserved, plan.ends_service) == ((("x.y", 0),), True)


async def test_what_a_worker_has_not_taken_up_can_be_taken_back(operator: OperatorHarness) -> None:
    actions = operator.operations.actions
    await register(operator, "w-7-a")
    await actions.ask_worker("w-7-a", WorkerState.STOPPING)
    plan = await actions.plan_worker("w-7-a", WorkerState.WORKING)
    assert plan.lines == ["w-7-a continues to claim jobs"]
    await actions.ask_worker("w-7-a", WorkerState.WORKING)
    signals = await operator.engines.broker.signals("w-7-a", ["x.y"])
    assert signals.wanted is WorkerState.WORKING


async def test_a_worker_that_stops_and_a_suspect_lane_are_asked_for_nothing(
    operator: OperatorHarness,
) -> None:
    actions = operator.operations.actions
    await register(operator, "w-7-a", state=WorkerState.STOPPING)
    await register(operator, "w-7-lane", lane=Lane.SUSPECT)
    with pytest.raises(Refused, match="w-7-a is already stopping"):
        await actions.ask_worker("w-7-a", WorkerState.WORKING)
    with pytest.raises(Refused, match="suspect lane"):
        await actions.ask_worker("w-7-lane", WorkerState.QUIET)
    with pytest.raises(UnknownId, match="no worker 'nobody'"):
        await actions.ask_worker("nobody", WorkerState.QUIET)


async def test_a_read_only_service_refuses_every_act(operator: OperatorHarness) -> None:
    acts = await every_act(operator, operator.serve(read_only=True))
    actions = operator.operations.actions
    waiting = await actions.plan_where(Act.CANCEL, parse_filter("state:queued"))
    await actions.carry_out(waiting)
    before = await operator.jobs(), await operator.database.audit.records(limit=0, cursor=None)
    for act in acts.values():
        with pytest.raises(Refused, match="read-only"):
            await act()
    assert (
        await operator.jobs(),
        await operator.database.audit.records(limit=0, cursor=None),
    ) == before


async def test_test_jobs_have_what_their_type_declares(tmp_path: Path) -> None:
    registry = Registry()
    registry.job("sync.ward", unique=lambda data: f"ward-{data['ward']}", priority=50)(print)
    async with open_operator(tmp_path, registry) as operator:
        draft = Draft("form", {"type": "sync.ward", "data": {"ward": 7}})
        report = await operator.operations.actions.enqueue_test(draft, count=2)
        assert [answer.state for answer in report.answers] == [State.QUEUED, State.REJECTED]
        found = {(job.unique_key, job.priority) for job in await operator.jobs()}
        assert found == {("ward-7", 50)}
        bad = Draft("form", {"type": "sync.ward", "data": {}})
        with pytest.raises(MalformedJob, match=r"unique key of sync\.ward: .* raised KeyError"):
            await operator.operations.actions.enqueue_test(bad)
