"""Cases: find by place, list, show, close, reopen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, bindparam, select, update

from hms_svc.domain.case import Case, CaseStatus
from hms_svc.domain.errors import DuplicateCase, UnknownId
from hms_svc.domain.event import service_event
from hms_svc.domain.strict_json import encode_sorted
from hms_svc.domain.views import AuditRecord
from hms_svc.persistence import analytics, audit, outbox
from hms_svc.persistence.engine import Engine, Lock
from hms_svc.persistence.nearby_cases import near, read_nearby
from hms_svc.persistence.pages import read_cursor, read_pages
from hms_svc.persistence.places import cell_of, cells_within
from hms_svc.persistence.statements import AnyRow, write_together
from hms_svc.persistence.tables import cases
from hms_svc.ports.clock import Clock
from hms_svc.ports.stores import NearCase, PlaceQuery

_ACTS: Final = {CaseStatus.CLOSED: "closed", CaseStatus.OPEN: "reopened"}
_CASES = select(
    cases.c.number,
    cases.c.id,
    cases.c.job_id,
    cases.c.key,
    cases.c.kind,
    cases.c.lat,
    cases.c.lon,
    cases.c.user_id,
    cases.c.urgency,
    cases.c.status,
    cases.c.opened_at,
    cases.c.closed_at,
    cases.c.data,
)
_ONE = _CASES.where(cases.c.id == bindparam("case_id"))
_PAGE = _CASES.where(cases.c.number < bindparam("below"))
_NEWEST = cases.c.number.desc()
_SET_STATUS = (
    update(cases)
    .where(cases.c.number == bindparam("which"))
    .values(
        status=bindparam("new_status"),
        closed_at=bindparam("new_closed_at"),
        open_cell=bindparam("new_open_cell"),
    )
)


class SqlCases:
    """Implements ports.stores.CaseStore."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def near(self, queries: Sequence[PlaceQuery]) -> list[NearCase | None]:
        return await self._engine.read(lambda on: near(on, queries)) if queries else []

    async def page(
        self, *, status: CaseStatus | None, kind: str | None, limit: int, cursor: str | None
    ) -> tuple[list[Case], str | None]:
        async def page(size: int, after: str | None) -> tuple[list[Case], str | None]:
            return await self._engine.read(
                lambda on: _page(on, status=status, kind=kind, limit=size, cursor=after)
            )

        return await read_pages(page, limit, cursor)

    async def get(self, case_id: str) -> Case | None:
        return await self._engine.read(lambda on: _one(on, case_id))

    async def set_status(
        self, case_id: str, status: CaseStatus, *, actor: str, note: str, radius_m: float
    ) -> Case:
        change = _Change(case_id, status, actor, note, radius_m, self._clock.now_ms())
        return await self._engine.write(lambda on: _set_status(on, change, self._engine.lock))


def _page(
    connection: Connection,
    *,
    status: CaseStatus | None,
    kind: str | None,
    limit: int,
    cursor: str | None,
) -> tuple[list[Case], str | None]:
    statement, values = _PAGE, {"below": 2**63 - 1, "limit": limit}
    if cursor is not None:
        (values["below"],) = read_cursor(cursor, 1)
    if status is not None:
        statement = statement.where(cases.c.status == status.value)
    if kind is not None:
        statement = statement.where(cases.c.kind == kind)
    statement = statement.order_by(_NEWEST).limit(bindparam("limit"))
    rows = connection.execute(statement, values).all()
    more = str(rows[-1].number) if rows and len(rows) == limit else None
    return [_case(row) for row in rows], more


def _one(connection: Connection, case_id: str) -> Case | None:
    row = connection.execute(_ONE, {"case_id": case_id}).first()
    return _case(row) if row else None


class _Change(msgspec.Struct, frozen=True):
    """An operator's change of a case, and its time (Unix ms)."""

    case_id: str
    status: CaseStatus
    actor: str
    note: str
    radius_m: float
    at: int


def _set_status(connection: Connection, change: _Change, lock: Lock) -> Case:
    row = connection.execute(_ONE.with_for_update(), {"case_id": change.case_id}).first()
    if row is None:
        raise UnknownId(f"no case has the id {change.case_id}")
    case = _case(row)
    if case.status is change.status:
        return case
    reopened = change.status is CaseStatus.OPEN
    closed_at = None if reopened else change.at
    connection.execute(
        _SET_STATUS,
        {
            "which": row.number,
            "new_status": change.status.value,
            "new_closed_at": closed_at,
            "new_open_cell": _take_place(connection, case, change, lock) if reopened else None,
        },
    )
    changed = msgspec.structs.replace(case, status=change.status, closed_at=closed_at)
    _record(connection, changed, change)
    return changed


def _take_place(connection: Connection, case: Case, change: _Change, lock: Lock) -> int | None:
    if case.lat is None or case.lon is None:
        return None
    place = PlaceQuery(case.kind, case.lat, case.lon, change.radius_m, case.job_id)
    cells = cells_within(place.lat, place.lon, place.radius_m)
    lock(connection, cells)
    found = read_nearby(connection, {place.kind: set(cells)}).nearest(place, cells)
    if found is not None:
        raise DuplicateCase(
            f"open case {found.case_id} of kind {place.kind} is "
            f"{found.distance_m:.1f} m away (within {place.radius_m:g} m)",
            case_id=found.case_id,
        )
    return cell_of(case.lat, case.lon)


def _record(connection: Connection, case: Case, change: _Change) -> None:
    act = _ACTS[case.status]
    record = AuditRecord(
        at=change.at,
        actor=change.actor,
        action=f"case.{act}",
        subject=case.id,
        detail=encode_sorted({"job_id": case.job_id, "note": change.note}),
    )
    number = audit.append_one(connection, record)
    announcement = {
        "case_id": case.id,
        "kind": case.kind,
        "lat": case.lat,
        "lon": case.lon,
        "by": change.actor,
        "note": change.note,
    }
    key = f"audit:{number}"
    event = service_event(case.job_id, f"case.{act}", key, announcement, change.at)
    counts = Counter(analytics.of_case(f"cases.{act}", case.kind, change.at))
    write_together(connection, [outbox.insertion([event]), analytics.increments(counts)])


def _case(row: AnyRow) -> Case:
    return Case(
        id=row.id,
        job_id=row.job_id,
        key=row.key,
        kind=row.kind,
        lat=row.lat,
        lon=row.lon,
        user_id=row.user_id,
        urgency=row.urgency,
        status=CaseStatus(row.status),
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        data=row.data,
    )
