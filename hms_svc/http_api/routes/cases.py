"""Cases, and who did what."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from hms_svc.domain.audit_query import AuditQuery
from hms_svc.domain.case import CaseStatus
from hms_svc.http_api.requests import Admitted, Note, admitted, answer, read_body
from hms_svc.http_api.route_description import describes
from hms_svc.http_api.routes.jobs import Cursor, Limit
from hms_svc.operations.shapes import audit_shape
from hms_svc.operations.tokens import Scope

router: Final = APIRouter(tags=["cases"])
Viewer = Annotated[Admitted, Depends(admitted(Scope.VIEW))]
Operator = Annotated[Admitted, Depends(admitted(Scope.OPERATE))]


@router.get("/cases", **describes("CasePage"))
async def list_cases(
    asked: Viewer,
    status: CaseStatus | None = None,
    kind: Annotated[str | None, Query(max_length=128)] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List cases, newest first."""
    found, more = await asked.api.reads.cases(status=status, kind=kind, limit=limit, cursor=cursor)
    return answer({"cases": [case.to_json() for case in found], "cursor": more})


@router.get("/cases/{case_id}", **describes("Case", problems=(404,)))
async def get_case(case_id: str, asked: Viewer) -> Response:
    """Return one case."""
    return answer((await asked.api.reads.case(case_id)).to_json())


@router.post("/cases/{case_id}/close", **describes("Case", body="Note", problems=(404, 409)))
async def close_case(case_id: str, asked: Operator) -> Response:
    """Close a case: what it was opened for can be reported again."""
    return await _set(case_id, CaseStatus.CLOSED, asked)


@router.post("/cases/{case_id}/reopen", **describes("Case", body="Note", problems=(404, 409)))
async def reopen_case(case_id: str, asked: Operator) -> Response:
    """Open a closed case again; 409 where another one stands at its place."""
    return await _set(case_id, CaseStatus.OPEN, asked)


@router.get("/audit", **describes("AuditPage"))
async def list_audit(
    asked: Operator,
    subject: Annotated[str, Query(max_length=256)] = "",
    actor: Annotated[str, Query(max_length=256)] = "",
    action: Annotated[str, Query(max_length=256)] = "",
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List who did what, newest first.

    `actor` and `action` may end with `*`, and begin with `-`, which leaves out what they name; a page looks at
    20,000 rows for them, so that it may be short, or empty, while its cursor goes on.
    """
    query = AuditQuery(subject=subject, actor=actor, action=action)
    page = await asked.api.reads.database.audit_page(query, limit=limit, cursor=cursor)
    return answer({"audit": [audit_shape(row) for row in page.records], "cursor": page.cursor})


async def _set(case_id: str, status: CaseStatus, asked: Admitted) -> Response:
    body = await read_body(asked.request, Note)
    case = await asked.operations.actions.set_case_status(case_id, status, note=body.note)
    return answer(case.to_json())
