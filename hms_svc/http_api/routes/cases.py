"""Cases and the audit log."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from hms_svc.domain.audit_query import AuditQuery
from hms_svc.domain.case import CaseStatus
from hms_svc.http_api.action_routes import Operator, action_route
from hms_svc.http_api.requests import Admitted, Note, admitted, answer, read_body
from hms_svc.http_api.route_description import describes
from hms_svc.http_api.routes.jobs import Cursor, Limit
from hms_svc.operations.action_table import ON_CASES
from hms_svc.operations.answers.records import AuditPageAnswer, CaseAnswer, CasePageAnswer
from hms_svc.operations.tokens import Scope

router: Final = APIRouter(tags=["cases"])
Viewer = Annotated[Admitted, Depends(admitted(Scope.VIEW))]


@router.get("/cases", **describes("CasePage"))
async def list_cases(
    caller: Viewer,
    status: CaseStatus | None = None,
    kind: Annotated[str | None, Query(max_length=128)] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List cases, newest first."""
    found, more = await caller.api.reads.database.cases.page(
        status=status, kind=kind, limit=limit, cursor=cursor
    )
    return answer(CasePageAnswer(tuple(map(CaseAnswer.of, found)), more))


@router.get("/cases/{case_id}", **describes("Case", problems=(404,)))
async def get_case(case_id: str, caller: Viewer) -> Response:
    """Return a case."""
    return answer(CaseAnswer.of(await caller.api.reads.case(case_id)))


def _add_route(status: CaseStatus) -> None:
    """Add the route that closes or reopens a case."""
    action = ON_CASES[status]

    @action_route(
        router,
        action.name,
        operation=f"{action.verb}_case",
        detail="409 if that is not possible.",
        **describes("Case", body="Note", problems=(404, 409)),
    )
    async def set_status(case_id: str, caller: Operator) -> Response:
        body = await read_body(caller.request, Note)
        case = await caller.operations.actions.set_case_status(case_id, status, note=body.note)
        return answer(CaseAnswer.of(case))


for _status in CaseStatus:
    _add_route(_status)


@router.get("/audit", **describes("AuditPage"))
async def list_audit(
    caller: Operator,
    subject: Annotated[str, Query(max_length=256)] = "",
    actor: Annotated[str, Query(max_length=256)] = "",
    action: Annotated[str, Query(max_length=256)] = "",
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List who did what, newest first.

    `actor` and `action` can end with `*`. A leading `-` excludes what follows. A page examines at most
    20,000 rows, so it can be short or empty and still have a cursor.
    """
    query = AuditQuery(subject=subject, actor=actor, action=action)
    page = await caller.api.reads.database.audit.page(query, limit=limit, cursor=cursor)
    return answer(AuditPageAnswer.of(page))
