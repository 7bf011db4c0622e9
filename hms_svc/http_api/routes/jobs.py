"""Jobs: submitting, reading and changing them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.responses import Response

from hms_svc.domain.errors import BadInput, HoldChanged
from hms_svc.domain.filter import parse_filter
from hms_svc.http_api.action_routes import Operator, action_route
from hms_svc.http_api.problems import Problem
from hms_svc.http_api.proxies import prefix_of
from hms_svc.http_api.request_body import read_whole
from hms_svc.http_api.requests import Admitted, Body, Note, admitted, answer, check_json, read_body
from hms_svc.http_api.route_description import decides, describes, intake
from hms_svc.http_api.tracing import traced
from hms_svc.operations.action_table import ACTS_ROUTE, DECISIONS
from hms_svc.operations.answers.acts import OutcomeAnswer, PlanAnswer
from hms_svc.operations.answers.jobs import (
    Accepted,
    Explanation,
    JobDetailAnswer,
    JobPageAnswer,
)
from hms_svc.operations.bulk import BulkReport
from hms_svc.operations.plan import Plan
from hms_svc.operations.tokens import Scope
from hms_svc.ports.control import MOVED_ON, Act

router: Final = APIRouter(tags=["jobs"])
_admit_producer: Final = admitted(Scope.PRODUCE)
Viewer = Annotated[Admitted, Depends(admitted(Scope.VIEW))]
Limit = Annotated[int, Query(ge=1, le=1000, description="Rows per page.")]
Cursor = Annotated[str | None, Query(max_length=1000, description="`cursor` of the previous page.")]
RECORDS_EXAMINED_BY_PAGE: Final = 20_000
"""Records that one page reads at most if no index serves its filter."""
PLANNED_WORK: Final = 5_000_000_000
"""Characters that the filter of one action may examine: 50 pages of the heaviest filter, or a million usual jobs."""
_HOLD_NAMED: Final = (
    "`If-Match` is the `id` of the hold that is answered: 428 if it is missing, 412 if the job waits for "
    "something else by now."
)
_HOLD: Final = re.compile(r'"([\x21\x23-\x7e]{1,64})"')
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


class Acts(Note):
    """An action on jobs: those with these ids, or all that match a filter.

    To approve or deny, `seen` must be what the dry run answered, so that no other hold is decided.
    """

    act: Literal["retry", "cancel", "discard", "approve", "deny"]
    ids: list[str] | None = Field(default=None, min_length=1, max_length=10_000)
    where: str | None = Field(default=None, max_length=10_000)
    dry_run: bool = False
    seen: str | None = Field(default=None, max_length=64)


class Undo(Body):
    """The batch to undo; by default the newest."""

    batch: str | None = Field(default=None, max_length=128)


class Edit(Note):
    """The data of the new job."""

    data: Any


@router.post("/jobs", **intake())
async def enqueue_jobs(request: Request) -> Response:
    """Submit a job, or an array of jobs. They are durable once this answers; either all or none are accepted."""
    caller = await _admit_producer(request)  # a dependency would double what FastAPI adds to a call
    check_json(request)
    with traced(caller.api, request, "/jobs") as trace:
        posted = await caller.api.submission.post(
            await read_whole(request),
            sender=caller.principal.key,
            key=_key_of(caller),
            adopt=trace.adopt,
        )
        headers = {"location": _place_of(posted.job_id, request)} if posted.job_id else {}
        if posted.replayed:
            headers["idempotency-replayed"] = "true"
        return trace.answered(Response(posted.answer, 202, headers, "application/json"))


@router.get("/jobs", **describes("JobPage", problems=(422,)))
async def list_jobs(
    caller: Viewer,
    where: Annotated[str, Query(max_length=10_000, description="The filter language.")] = "",
    limit: Limit = 100,
    cursor: Cursor = None,
    archive: Annotated[
        bool, Query(description="Search the archive: jobs that the broker no longer keeps.")
    ] = False,
) -> Response:
    """List jobs, by state and then by their last transition, newest first. A page can be short and still have a cursor."""
    filter, reads = parse_filter(where), caller.api.reads
    if archive:
        page = await reads.archived_jobs(
            filter, limit=limit, cursor=cursor, examine=RECORDS_EXAMINED_BY_PAGE
        )
    else:
        page = await reads.jobs(
            filter, limit=limit, cursor=cursor, examine=RECORDS_EXAMINED_BY_PAGE
        )
    return answer(JobPageAnswer.of(page))


@router.post(
    ACTS_ROUTE,
    **describes(("Outcome", "Plan"), body="Acts", required=True, problems=(404, 409, 412, 428)),
)
async def act_on_jobs(caller: Operator) -> Response:
    """Retry, cancel, discard, approve or deny many jobs: by ids, or all that match. `dry_run` only shows what it would do."""
    body = await read_body(caller.request, Acts)
    if (body.ids is None) == (body.where is None):
        raise BadInput("use either ids or where")
    actions, act = caller.operations.actions, Act(body.act)
    if body.ids is not None:
        plan = await actions.plan(act, body.ids)
    else:
        where = parse_filter(body.where or "")
        plan = await actions.plan_where(act, where, most_work=PLANNED_WORK)
    if body.dry_run:
        return answer(PlanAnswer.of(body.act, plan, seen=plan.digest))
    if act in DECISIONS:
        _check_seen(body.seen, plan)
    return _reported(await actions.carry_out(plan, note=body.note))


@action_route(
    router,
    "undo",
    operation="undo_act",
    **describes("Outcome", body="Undo", problems=(404, 409)),
)
async def _undo(caller: Operator) -> Response:
    body = await read_body(caller.request, Undo)
    report = await caller.operations.actions.undo(body.batch)
    return answer(OutcomeAnswer.of("undo", report))


@router.get("/jobs/{job_id}", **describes("JobDetail", problems=(404,)))
async def get_job(job_id: str, caller: Viewer) -> Response:
    """Return everything that is known about a job."""
    detail, archived = await caller.api.reads.detail(job_id)
    return answer(JobDetailAnswer.of_detail(detail, archived=archived))


@router.get("/jobs/{job_id}/why", **describes("Explanation", problems=(404,)))
async def explain_job(job_id: str, caller: Viewer) -> Response:
    """Explain in one sentence why a job is waiting, was rejected, or is dead."""
    return answer(Explanation(id=job_id, why=await caller.api.reads.why(job_id)))


@action_route(
    router,
    "edit",
    operation="edit_job",
    **describes(
        "Accepted", 202, body="Edit", required=True, headers=("Location",), problems=(404, 409)
    ),
)
async def _edit(job_id: str, caller: Operator) -> Response:
    body = await read_body(caller.request, Edit)
    actions = caller.operations.actions
    job = await actions.draft_edit(job_id, body.data)
    made = await actions.enqueue_edit(job, note=body.note)
    accepted = Accepted.of(job.type, made)
    return answer(accepted, 202, {"location": _place_of(job.id, caller.request)})


def _add_route(act: Act) -> None:
    """Add the route of an action on one job."""
    answers_hold = act in DECISIONS
    described = (
        decides() if answers_hold else describes("Outcome", body="Note", problems=(404, 409))
    )

    @action_route(
        router,
        act.value,
        operation=f"{act.value}_job",
        detail=_HOLD_NAMED if answers_hold else "409 if the state of the job does not allow it.",
        **described,
    )
    async def act_on_job(job_id: str, caller: Operator) -> Response:
        return await _act_on(act, job_id, caller)


for _act in Act:
    _add_route(_act)


async def _act_on(act: Act, job_id: str, caller: Admitted) -> Response:
    body = await read_body(caller.request, Note)
    actions = caller.operations.actions
    if act in DECISIONS:
        plan = await actions.plan_answer(act, job_id, _hold_of(caller, job_id))
    else:
        plan = await actions.plan(act, [job_id])
    report = await actions.carry_out(plan, note=body.note)
    if report.failed:
        why = report.failed[0].why
        status = 412 if why == MOVED_ON else 409
        raise Problem(status, "refused", f"job {job_id}: {why}")
    return _reported(report)


def _hold_of(caller: Admitted, job_id: str) -> str:
    given = caller.request.headers.getlist("if-match")
    if not given:
        raise Problem(
            428,
            "precondition-required",
            f'If-Match is missing: expected the id of the hold that is answered, "hold"."id" of '
            f"GET /jobs/{job_id}, in double quotes",
        )
    found = _HOLD.fullmatch(given[0]) if len(given) == 1 else None
    if found is None:
        raise BadInput(
            f"If-Match {', '.join(given)!r:.80}: expected one hold's id in double quotes"
        )
    return found[1]


def _check_seen(seen: str | None, plan: Plan) -> None:
    if seen is None:
        raise Problem(
            428,
            "precondition-required",
            "seen is missing: send the request with dry_run first, and pass on the seen of its answer",
        )
    if seen != plan.digest:
        raise HoldChanged(
            "the matching jobs, or their holds, have changed: send the request with dry_run again"
        )


def _key_of(caller: Admitted) -> str:
    given = caller.request.headers.getlist("idempotency-key")
    if not given:
        return ""
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        raise BadInput("Idempotency-Key: expected one, of 1 to 255 printable ASCII characters")
    return given[0]


def _place_of(job_id: str, request: Request) -> str:
    return f"{prefix_of(request)}/jobs/{job_id}"


def _reported(report: BulkReport) -> Response:
    return answer(OutcomeAnswer.of(report.act.value, report))
