"""Erasing in chunks: what goes with a job, what is told, and what the audit keeps of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from hms_svc.domain.agencies import Receiver
from hms_svc.domain.deliveries import delivery_job
from hms_svc.domain.erasure import ERASED
from hms_svc.domain.event import service_event
from hms_svc.domain.filter import parse_filter
from hms_svc.domain.ids import follow_up_id, name_based_id
from hms_svc.domain.job import Job, make_job
from hms_svc.domain.strict_json import decode
from hms_svc.domain.views import ActOutcome
from hms_svc.operations import erasure
from hms_svc.operations.bulk_pace import Pace
from hms_svc.ports.control import Act
from tests.support.operator_service import OperatorHarness, open_operator

SECRET = "usr-44321"
RECEIVERS = [Receiver(name=name, url="", secret="", types=("*",)) for name in ("one", "two")]


@pytest.fixture
async def operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[OperatorHarness]:
    """A desk that erases two jobs at a time."""
    monkeypatch.setattr(erasure, "ERASED_AT_ONCE", 2)
    async with open_operator(tmp_path) as opened:
        yield opened


async def ended(operator: OperatorHarness, *jobs: Job) -> list[str]:
    await operator.engines.broker.enqueue(jobs)
    actions = operator.operations.actions
    ids = [job.id for job in jobs]
    await actions.carry_out(await actions.plan(Act.CANCEL, ids))
    return ids


def reports(count: int) -> list[Job]:
    return [make_job("x.y", {"user_id": SECRET, "n": n}, now_ms=1) for n in range(count)]


async def test_deliveries_of_events_about_a_job_go_with_it(operator: OperatorHarness) -> None:
    [job_id] = await ended(operator, *reports(1))
    opened, others = (service_event(id, "case.opened", "", SECRET, 1) for id in (job_id, "other"))
    told, waiting = (delivery_job(receiver, opened, "ns", 1) for receiver in RECEIVERS)
    kept = delivery_job(RECEIVERS[0], others, "ns", 1)
    await ended(operator, told, kept)
    await operator.engines.broker.enqueue([waiting])
    actions = operator.operations.actions
    plan = await actions.plan_erase([job_id])
    foreseen = await actions.foresee(plan)
    report = await actions.erase(plan)
    why = "a job that is queued cannot be erased: cancel it first"
    assert (report.done, report.failed) == (1, (ActOutcome(waiting.id, False, why),))
    assert (foreseen.job_ids, foreseen.cannot) == (plan.job_ids, report.failed)
    data = {view.id: view.data for view in await operator.jobs()}
    expected = {job_id: ERASED, told.id: ERASED, waiting.id: waiting.data, kept.id: kept.data}
    assert data == expected


@pytest.mark.parametrize("name", [follow_up_id, lambda *parts: name_based_id(*parts, "")])
async def test_a_follow_up_that_has_not_ended_is_foreseen(
    operator: OperatorHarness, name: Callable[[str, str], str]
) -> None:
    """Also one of an older program, whose ids were made otherwise."""
    [job_id] = await ended(operator, *reports(1))
    follow_up = make_job("x.y", {}, id=name(job_id, "x.y"), now_ms=1)
    await operator.engines.broker.enqueue([follow_up])
    actions = operator.operations.actions
    plan = await actions.plan_erase([job_id])
    foreseen = await actions.foresee(plan)
    report = await actions.erase(plan)
    assert [each.job_id for each in report.failed] == [follow_up.id]
    assert (foreseen.job_ids, foreseen.cannot) == (plan.job_ids, report.failed)


async def test_archived_jobs_are_found_and_the_audit_has_no_filter(
    operator: OperatorHarness,
) -> None:
    ids = await ended(operator, *reports(5))
    gone = await operator.operations.reads.details(ids[:2])
    await operator.database.archive.keep(gone)
    await operator.engines.control.forget(ids[:2])
    actions = operator.operations.actions
    plan = await actions.plan_erase_where(parse_filter(f"data.user_id:{SECRET}"))
    assert sorted(plan.job_ids) == sorted(ids)
    report = await actions.erase(plan, note="request 17")
    assert (report.done, report.failed, report.left) == (5, (), 0)
    assert SECRET not in repr(await operator.jobs())
    assert SECRET not in repr(await operator.database.archive.page(limit=0, cursor=None))
    rows = [decode(row.detail) for row in await operator.audit("job.erase")]
    intents = [row for row in rows if row["phase"] == "intent"]
    assert [(row["count"], row["note"], row["where_sha256"]) for row in intents] == [
        (count, "request 17", plan.where) for count in (2, 2, 1)
    ]
    assert SECRET not in repr(rows)
    assert SECRET not in msgspec.json.encode(plan).decode()


async def test_an_erase_that_is_called_off_tells_what_is_left(operator: OperatorHarness) -> None:
    ids = await ended(operator, *reports(5))
    actions, pace = operator.operations.actions, Pace()
    report = await actions.erase(
        await actions.plan_erase(ids), progressed=lambda _: pace.cancel(), pace=pace
    )
    assert (report.done, report.left) == (2, 3)
    assert [view.data == ERASED for view in await operator.jobs()].count(True) == 2
