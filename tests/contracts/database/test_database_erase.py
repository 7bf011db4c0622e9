"""Erasing in the database: archive, cases, reports and outbox of some jobs, and of no others."""

from __future__ import annotations

from msgspec.structs import replace

from hms_svc.domain.case import CaseStatus
from hms_svc.domain.erasure import ERASED
from hms_svc.domain.job import Job
from hms_svc.domain.lifecycle import State, Trigger
from hms_svc.domain.views import AttemptView, JobDetail, Transition
from hms_svc.persistence.database import SqlDatabase
from hms_svc.ports.stores import ReportCount, StoredEffect
from tests.support.database_requests import HOUR, NOON, dead_job, effect

SECRET = "usr-44321"


def told_of(job_id: str, *, finished_at: int) -> JobDetail:
    """Make an archived job with the person's name wherever there is room for it."""
    dead = dead_job(job_id, finished_at=finished_at)
    failed = AttemptView(
        attempt=5, started_at=NOON, ended_at=NOON, worker="w", fence=1, error=SECRET, log=SECRET
    )
    moved = Transition(
        at=NOON, source=State.PROCESSING, target=State.DEAD, trigger=Trigger.FINISHED, detail=SECRET
    )
    view = replace(
        dead.view, data=b'{"user_id":"usr-44321"}', detail=SECRET, failure=SECRET, unique_key=SECRET
    )
    envelope = b'{"id":"a","meta":"usr-44321","desk":"usr-44321","retried_from":"b"}'
    return replace(
        dead, view=view, attempts=(failed,), history=(moved,), envelope=envelope, result=view.data
    )


async def test_every_archived_end_of_a_job_is_blanked(database: SqlDatabase) -> None:
    other = dead_job("c", finished_at=NOON)
    ends = [told_of("a", finished_at=NOON + hours * HOUR) for hours in range(2)]
    await database.archive.keep([*ends, other])
    assert await database.erasure.erase(["a", "none"]) == ["a"]
    archived, _ = await database.archive.page(limit=0, cursor=None)
    assert SECRET not in repr(archived)
    assert [(each.view.id, each.view.reason, each.view.attempt) for each in archived] == [
        (each.view.id, each.view.reason, each.view.attempt) for each in (ends[1], other, ends[0])
    ]
    assert archived[1] == other
    assert archived[0].envelope == b'{"id":"a","retried_from":"b","data":{"erased":true}}'
    assert await database.erasure.erase(["a"]) == ["a"]
    assert (await database.archive.page(limit=0, cursor=None))[0] == archived


async def test_a_case_keeps_kind_status_and_times_and_frees_its_place(
    database: SqlDatabase,
) -> None:
    await database.effects.commit([effect("a"), effect("b", north_m=500)])
    first, second = (await database.cases.page(status=None, kind=None, limit=0, cursor=None))[0][
        ::-1
    ]
    assert await database.erasure.erase(["a"]) == []
    erased = await database.cases.get(first.id)
    assert erased == replace(first, data=ERASED, user_id=None, lat=None, lon=None)
    assert await database.cases.get(second.id) == second
    [again] = await database.effects.commit([effect("c")])
    assert isinstance(again, StoredEffect)
    [same] = await database.effects.commit([effect("a")])
    assert isinstance(same, StoredEffect)
    assert not same.fresh
    closed = await database.cases.set_status(
        first.id, CaseStatus.CLOSED, actor="ada", note="", radius_m=25
    )
    assert closed.status is CaseStatus.CLOSED


async def test_messages_and_reports_are_blanked_and_the_audit_holds(database: SqlDatabase) -> None:
    notice = Job(id="n", type="crew.notify", data=b'{"lat":1}', enqueued_at=NOON, meta=b'{"lat":1}')
    await database.effects.commit(
        [effect("a", follow_ups=(notice,)), effect("b", north_m=500, follow_ups=())]
    )
    reports = [ReportCount("u-1", job_id, NOON, NOON) for job_id in ("a", "b")]
    await database.reports.count(reports)
    head = await database.audit.seal()
    assert head is not None
    await database.erasure.erase(["a", "n"])
    opened, follow_up, others = await database.outbox.waiting(10)
    assert opened.event is not None
    assert follow_up.job is not None
    assert others.event is not None
    assert (opened.event.data, follow_up.job.data, follow_up.job.meta) == (ERASED, ERASED, None)
    assert others.event.data != ERASED
    assert await database.reports.count_others(ReportCount("u-1", "z", NOON, NOON)) == 1
    chain = await database.audit.verify([head[0]])
    assert (chain.faults, chain.digests) == ((), {head[0]: head[1]})
