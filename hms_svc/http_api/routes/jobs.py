"""Jobs: submitted, looked at, acted on."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.responses import Response

from hms_svc.domain.errors import BadInput, HoldChanged
from hms_svc.domain.filter import parse_filter
from hms_svc.http_api.problems import Problem
from hms_svc.http_api.proxies import prefix_of
from hms_svc.http_api.requests import Admitted, Body, Note, admitted, answer, check_json, read_body
from hms_svc.http_api.route_description import decides, describes, intake
from hms_svc.http_api.tracing import traced
from hms_svc.operations.bulk import BatchReport
from hms_svc.operations.plan import DECISIONS, Plan
from hms_svc.operations.shapes import job_detail_shape, job_shape
from hms_svc.operations.tokens import Scope
from hms_svc.ports.control import MOVED_ON, Act

router: Final = APIRouter(tags=["jobs"])
Producer = Annotated[Admitted, Depends(admitted(Scope.PRODUCE))]
Viewer = Annotated[Admitted, Depends(admitted(Scope.VIEW))]
Operator = Annotated[Admitted, Depends(admitted(Scope.OPERATE))]
Limit = Annotated[int, Query(ge=1, le=1000, description="Rows of a page.")]
Cursor = Annotated[str | None, Query(max_length=1000, description="As the page before gave it.")]
MOST_EXAMINED: Final = 20_000
"""Records that one page reads at most where no index serves its filter."""
PLANNED_WORK: Final = 5_000_000_000
"""Characters that the filter of one act looks at: 50 pages of the heaviest filter, or a million usual jobs."""
SHOWN_FAILURES: Final = 100
_HOLD: Final = re.compile(r'"([\x21\x23-\x7e]{1,64})"')
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


class Acts(Note):
    """One act on jobs: those named, or all that match.

    To approve or deny, `seen` is what the dry run answered: another hold is not answered then.
    """

    act: Literal["retry", "cancel", "discard", "approve", "deny"]
    ids: list[str] | None = Field(default=None, min_length=1, max_length=10_000)
    where: str | None = Field(default=None, max_length=10_000)
    dry_run: bool = False
    seen: str | None = Field(default=None, max_length=64)


class Undo(Body):
    """Which batch to take back; the newest where none is named."""

    batch: str | None = Field(default=None, max_length=128)


class Edit(Note):
    """The data of the new job that is made of a finished one."""

    data: Any


@router.post("/jobs", **intake())
async def enqueue_jobs(asked: Producer) -> Response:
    """Submit a job, or an array of jobs: durable when this answers, all of them or none."""
    request = asked.request
    check_json(request)
    with traced(asked.api, request, "/jobs") as trace:
        posted = await asked.api.submission.post(
            await request.body(),
            sender=asked.principal.key,
            key=_key_of(asked),
            adopt=trace.adopt,
        )
        headers = {"location": _place_of(posted.job_id, request)} if posted.job_id else {}
        if posted.replayed:
            headers["idempotency-replayed"] = "true"
        return trace.answered(Response(posted.answer, 202, headers, "application/json"))


@router.get("/jobs", **describes("JobPage", problems=(422,)))
async def list_jobs(
    asked: Viewer,
    where: Annotated[str, Query(max_length=10_000, description="The filter language.")] = "",
    limit: Limit = 100,
    cursor: Cursor = None,
    archive: Annotated[bool, Query(description="Those that left the broker.")] = False,
) -> Response:
    """List jobs, newest move first within a state; a page may be short and still have a cursor."""
    wanted, reads = parse_filter(where), asked.api.reads
    if archive:
        page = await reads.archived_jobs(wanted, limit=limit, cursor=cursor, examine=MOST_EXAMINED)
    else:
        page = await reads.jobs(wanted, limit=limit, cursor=cursor, examine=MOST_EXAMINED)
    return answer({"jobs": [job_shape(job) for job in page.jobs], "cursor": page.cursor})


@router.post(
    "/jobs/acts",
    **describes(("Outcome", "Plan"), body="Acts", required=True, problems=(404, 409, 412, 428)),
)
async def act_on_jobs(asked: Operator) -> Response:
    """Do one act to jobs by their ids, or to all that match; with `dry_run` tell what it would do."""
    body = await read_body(asked.request, Acts)
    if (body.ids is None) == (body.where is None):
        raise BadInput("give ids or where, one of the two")
    actions, act = asked.operations.actions, Act(body.act)
    if body.ids is not None:
        plan = await actions.plan(act, body.ids)
    else:
        where = parse_filter(body.where or "")
        plan = await actions.plan_where(act, where, most_work=PLANNED_WORK)
    if body.dry_run:
        return answer(_plan_shape(plan))
    if act in DECISIONS:
        _check_seen(body.seen, plan)
    return answer(_report_shape(await actions.carry_out(plan, note=body.note)))


@router.post("/jobs/undo", **describes("Outcome", body="Undo", problems=(404, 409)))
async def undo_act(asked: Operator) -> Response:
    """Take back a retry, discard, cancel, deny or purge of the last ten minutes."""
    body = await read_body(asked.request, Undo)
    return answer(_report_shape(await asked.operations.actions.undo(body.batch)))


@router.get("/jobs/{job_id}", **describes("JobDetail", problems=(404,)))
async def get_job(job_id: str, asked: Viewer) -> Response:
    """Return all that is known of a job."""
    detail, archived = await asked.api.reads.detail(job_id)
    return answer({**job_detail_shape(detail), "archived": archived})


@router.get("/jobs/{job_id}/why", **describes("Explanation", problems=(404,)))
async def explain_job(job_id: str, asked: Viewer) -> Response:
    """Return, in one sentence why a job waits, was refused, or died."""
    return answer({"id": job_id, "why": await asked.api.reads.why(job_id)})


@router.post(
    "/jobs/{job_id}/edit",
    **describes(
        "Accepted", 202, body="Edit", required=True, headers=("Location",), problems=(404, 409)
    ),
)
async def edit_job(job_id: str, asked: Operator) -> Response:
    """Make a new job of a finished one, with other data; the original stays as it is."""
    body = await read_body(asked.request, Edit)
    actions = asked.operations.actions
    job = await actions.draft_edit(job_id, body.data)
    made = await actions.enqueue_edit(job, note=body.note)
    shape = {"id": job.id, "type": job.type, "state": made.state.value, "exists": False}
    return answer(shape, 202, {"location": _place_of(job.id, asked.request)})


@router.post("/jobs/{job_id}/retry", **describes("Outcome", body="Note", problems=(404, 409)))
async def retry_job(job_id: str, asked: Operator) -> Response:
    """Run a job again that has ended, with the same id; 409 where its state does not allow it."""
    return await _act_on(Act.RETRY, job_id, asked)


@router.post("/jobs/{job_id}/cancel", **describes("Outcome", body="Note", problems=(404, 409)))
async def cancel_job(job_id: str, asked: Operator) -> Response:
    """Call a job off; 409 where its state does not allow it."""
    return await _act_on(Act.CANCEL, job_id, asked)


@router.post("/jobs/{job_id}/discard", **describes("Outcome", body="Note", problems=(404, 409)))
async def discard_job(job_id: str, asked: Operator) -> Response:
    """Throw a job away that has ended; 409 where its state does not allow it."""
    return await _act_on(Act.DISCARD, job_id, asked)


@router.post("/jobs/{job_id}/approve", **decides())
async def approve_job(job_id: str, asked: Operator) -> Response:
    """Allow what a held job waits for.

    `If-Match` has the `id` of the job's hold that was seen: 428 without it, 412 where the job
    waits for something else now.
    """
    return await _act_on(Act.APPROVE, job_id, asked)


@router.post("/jobs/{job_id}/deny", **decides())
async def deny_job(job_id: str, asked: Operator) -> Response:
    """Refuse what a held job waits for; `If-Match` as for approve."""
    return await _act_on(Act.DENY, job_id, asked)


async def _act_on(act: Act, job_id: str, asked: Admitted) -> Response:
    body = await read_body(asked.request, Note)
    actions = asked.operations.actions
    if act in DECISIONS:
        plan = await actions.plan_answer(act, job_id, _hold_of(asked, job_id))
    else:
        plan = await actions.plan(act, [job_id])
    report = await actions.carry_out(plan, note=body.note)
    if report.failed:
        why = report.failed[0].why
        status = 412 if why == MOVED_ON else 409
        raise Problem(status, "refused", f"job {job_id}: {why}")
    return answer(_report_shape(report))


def _hold_of(asked: Admitted, job_id: str) -> str:
    given = asked.request.headers.getlist("if-match")
    if not given:
        raise Problem(
            428,
            "precondition-required",
            f'If-Match is missing: want the id of the hold that was seen, "hold"."id" of '
            f"GET /jobs/{job_id}, in double quotes",
        )
    found = _HOLD.fullmatch(given[0]) if len(given) == 1 else None
    if found is None:
        raise BadInput(f"If-Match {', '.join(given)!r:.80}: want one hold's id in double quotes")
    return found[1]


def _check_seen(seen: str | None, plan: Plan) -> None:
    if seen is None:
        raise Problem(
            428,
            "precondition-required",
            "seen is missing: ask with dry_run first, and give what its answer has as seen",
        )
    if seen != plan.digest:
        raise HoldChanged(
            "the jobs that match, or their holds, are others now: ask with dry_run again"
        )


def _key_of(asked: Admitted) -> str:
    given = asked.request.headers.getlist("idempotency-key")
    if not given:
        return ""
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        raise BadInput("Idempotency-Key: want one, of 1 to 255 printable ASCII characters")
    return given[0]


def _plan_shape(plan: Plan) -> dict[str, Any]:
    return {
        "would": plan.act.value,
        "jobs": len(plan.job_ids),
        "groups": [
            {
                "type": g.type,
                "state": g.state.value,
                "reason": g.reason,
                "rule": g.rule,
                "cause": g.cause,
                "count": g.count,
            }
            for g in plan.groups
        ],
        "cannot": len(plan.cannot),
        "seen": plan.digest,
    }


def _place_of(job_id: str, request: Request) -> str:
    return f"{prefix_of(request)}/jobs/{job_id}"


def _report_shape(report: BatchReport) -> dict[str, Any]:
    return {
        "batch": report.batch,
        "done": report.done,
        "failed": len(report.failed),
        "failures": [
            {"id": each.job_id, "why": each.why} for each in report.failed[:SHOWN_FAILURES]
        ],
        "left": report.left,
    }
