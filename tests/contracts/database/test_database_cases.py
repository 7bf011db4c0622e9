from __future__ import annotations

import asyncio

import pytest

from hms_svc.domain.case import Case, CaseStatus
from hms_svc.domain.errors import BadInput, DuplicateCase, UnknownId
from hms_svc.domain.ids import case_id
from hms_svc.domain.strict_json import decode
from hms_svc.persistence.database import SqlDatabase
from hms_svc.ports.stores import StoredEffect
from tests.support.database_engines import HandClock, Opener
from tests.support.database_requests import NOON, RADIUS_M, effect

A = case_id("a", "")


async def set_status(database: SqlDatabase, case: str, status: CaseStatus) -> Case:
    return await database.cases.set_status(
        case, status, actor="ada", note="filled", radius_m=RADIUS_M
    )


async def test_an_unknown_case_is_none(database: SqlDatabase) -> None:
    assert await database.cases.get("case-none") is None


async def test_pages_go_from_the_newest_to_the_oldest(database: SqlDatabase) -> None:
    await database.effects.commit([effect(f"job-{n}", north_m=n * 100) for n in range(5)])
    pages, cursor = [], None
    while True:
        page, cursor = await database.cases.page(status=None, kind=None, limit=2, cursor=cursor)
        pages.append([case.job_id for case in page])
        if cursor is None:
            break
    assert pages == [["job-4", "job-3"], ["job-2", "job-1"], ["job-0"]]


async def test_a_limit_of_zero_lists_all_of_more_than_a_page(database: SqlDatabase) -> None:
    await database.effects.commit([effect(f"job-{n}", north_m=n * 100) for n in range(1_005)])
    listed, cursor = await database.cases.page(status=None, kind=None, limit=0, cursor=None)
    assert (len({case.id for case in listed}), cursor) == (1_005, None)


async def test_status_and_kind_narrow_the_list(database: SqlDatabase) -> None:
    await database.effects.commit([effect("a"), effect("s", kind="sign"), effect("b", north_m=100)])
    await set_status(database, A, CaseStatus.CLOSED)
    opened, _ = await database.cases.page(
        status=CaseStatus.OPEN, kind="pothole", limit=9, cursor=None
    )
    closed, _ = await database.cases.page(status=CaseStatus.CLOSED, kind=None, limit=9, cursor=None)
    signs, _ = await database.cases.page(status=None, kind="sign", limit=9, cursor=None)
    assert [[case.job_id for case in found] for found in (opened, closed, signs)] == [
        ["b"],
        ["a"],
        ["s"],
    ]


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1.5", "٣"])
async def test_a_cursor_that_no_page_gave_is_bad_input(database: SqlDatabase, cursor: str) -> None:
    with pytest.raises(BadInput, match="cursor"):
        await database.cases.page(status=None, kind=None, limit=1, cursor=cursor)


async def test_closing_writes_case_audit_event_and_counter(
    database: SqlDatabase, clock: HandClock
) -> None:
    await database.effects.commit([effect("a")])
    clock.now += 5
    closed = await set_status(database, A, CaseStatus.CLOSED)
    assert (closed.status, closed.closed_at) == (CaseStatus.CLOSED, NOON + 5)
    assert await database.cases.get(A) == closed
    record, _ = await database.audit.records(limit=2, cursor=None)
    assert (record.actor, record.action, record.subject) == ("ada", "case.closed", A)
    event = (await database.outbox.waiting(10))[-1].event
    assert event is not None
    assert (event.type, event.subject, event.at) == ("case.closed", "a", NOON + 5)
    assert decode(event.data)["case_id"] == A
    assert (await database.analytics.totals())["cases.closed.pothole"] == 1


async def test_closing_a_closed_case_changes_nothing(
    database: SqlDatabase, clock: HandClock
) -> None:
    await database.effects.commit([effect("a")])
    closed = await set_status(database, A, CaseStatus.CLOSED)
    clock.now += 5
    assert await set_status(database, A, CaseStatus.CLOSED) == closed
    assert len(await database.outbox.waiting(10)) == 2


async def test_two_operators_who_close_at_once_make_one_event(another: Opener) -> None:
    operators = [await another(), await another()]
    await operators[0].effects.commit([effect("a")])
    await asyncio.gather(*(set_status(operators[n % 2], A, CaseStatus.CLOSED) for n in range(6)))
    assert len(await operators[0].outbox.waiting(10)) == 2


async def test_a_closed_case_frees_its_place(database: SqlDatabase) -> None:
    await database.effects.commit([effect("a")])
    await set_status(database, A, CaseStatus.CLOSED)
    (answer,) = await database.effects.commit([effect("b")])
    assert isinstance(answer, StoredEffect)


async def test_reopening_takes_the_place_again(database: SqlDatabase) -> None:
    await database.effects.commit([effect("a")])
    await set_status(database, A, CaseStatus.CLOSED)
    reopened = await set_status(database, A, CaseStatus.OPEN)
    assert (reopened.status, reopened.closed_at) == (CaseStatus.OPEN, None)
    (answer,) = await database.effects.commit([effect("b")])
    assert not isinstance(answer, StoredEffect)


async def test_reopening_where_another_case_stands_is_refused_whole(database: SqlDatabase) -> None:
    await database.effects.commit([effect("a")])
    await set_status(database, A, CaseStatus.CLOSED)
    await database.effects.commit([effect("b", north_m=5)])
    with pytest.raises(DuplicateCase) as refused:
        await set_status(database, A, CaseStatus.OPEN)
    assert refused.value.case_id == case_id("b", "")
    still = await database.cases.get(A)
    assert still is not None
    assert still.status is CaseStatus.CLOSED
    assert len(await database.audit.records(limit=0, cursor=None)) == 3


async def test_every_act_has_an_event_id_of_its_own(database: SqlDatabase) -> None:
    await database.effects.commit([effect("a", placed=False)])
    for status in (CaseStatus.CLOSED, CaseStatus.OPEN) * 2:
        await set_status(database, A, status)
    events = [entry.event for entry in await database.outbox.waiting(10)]
    assert len({event.id for event in events if event}) == 5


async def test_changing_an_unknown_case_names_it(database: SqlDatabase) -> None:
    with pytest.raises(UnknownId, match="case-none"):
        await set_status(database, "case-none", CaseStatus.CLOSED)
