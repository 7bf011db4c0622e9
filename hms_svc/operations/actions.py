"""Everything that an operator may do. Each action: allowed? → intent on record → act → outcome.

Every action raises Refused in read-only mode and without a database, and
DatabaseUnavailable before anything is done where the intent cannot be recorded.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import msgspec

from hms_svc.domain.case import Case, CaseStatus
from hms_svc.domain.errors import MalformedJob, Refused, UnknownId
from hms_svc.domain.filter import Filter
from hms_svc.domain.ids import check_job_type, new_job_id
from hms_svc.domain.job import Job, make_job, read_job
from hms_svc.domain.lifecycle import TERMINAL, State
from hms_svc.domain.strict_json import JsonValue, check_strict, decode
from hms_svc.domain.views import ActOutcome, JobDetail
from hms_svc.operations.journal import Journal
from hms_svc.operations.plan import Plan, PlanBuilder
from hms_svc.operations.reads import Reads
from hms_svc.ports.broker import Broker, Enqueued
from hms_svc.ports.control import Act, ActRequest, Control
from hms_svc.ports.stores import Approval

CHUNK = 250
PURGE_CHUNK = 500
ENVELOPE_OF_ONE_RUN = ("id", "enqueued_at", "not_before", "expires_at")


class BulkReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a bulk act. `batch` names it for undo; `failed` are those it was not done to."""

    act: Act
    batch: str
    done: int
    failed: tuple[ActOutcome, ...]


class Actions:
    """The acting half of the operator service."""

    def __init__(
        self, *, reads: Reads, broker: Broker, control: Control, journal: Journal, radius_m: float
    ) -> None:
        self._reads = reads
        self._broker = broker
        self._control = control
        self._journal = journal
        self._radius_m = radius_m

    async def plan(self, act: Act, job_ids: Sequence[str]) -> Plan:
        """Work out what an act on these ids would do.

        Raises UnknownId; and Refused where the act cannot be done to the only one.
        """
        builder = PlanBuilder(act)
        for start in range(0, len(job_ids), CHUNK):
            details = await self._reads.details(job_ids[start : start + CHUNK])
            builder.add(detail.view for detail in details)
        plan = builder.build()
        if len(job_ids) == 1 and plan.cannot:
            raise Refused(f"job {job_ids[0]}: {plan.cannot[0].why}")
        return plan

    async def plan_where(self, act: Act, where: Filter) -> Plan:
        """Work out what an act on all jobs that match would do."""
        builder = PlanBuilder(act, where.text)
        cursor: str | None = None
        while True:
            page = await self._reads.jobs(where, limit=CHUNK, cursor=cursor)
            builder.add(page.jobs)
            cursor = page.cursor
            if cursor is None:
                return builder.build()

    async def carry_out(
        self, plan: Plan, *, note: str = "", progressed: Callable[[int], None] | None = None
    ) -> BulkReport:
        """Do what was planned, a few hundred jobs at a time; `progressed` is told how many more.

        A job that has moved on since the plan was made is reported, not forced.
        """
        batch = new_job_id()
        done = 0
        failed = list(plan.cannot)
        async for outcomes in self._chunks(plan, note, batch):
            done += sum(outcome.done for outcome in outcomes)
            failed += [outcome for outcome in outcomes if not outcome.done]
            if progressed is not None:
                progressed(len(outcomes))
        return BulkReport(act=plan.act, batch=batch, done=done, failed=tuple(failed))

    async def _chunks(
        self, plan: Plan, note: str, batch: str
    ) -> AsyncIterator[Sequence[ActOutcome]]:
        action = f"job.{plan.act.value}"
        self._journal.check_allowed(action)
        for start in range(0, len(plan.job_ids), CHUNK):
            job_ids = plan.job_ids[start : start + CHUNK]
            subject = job_ids[0] if len(plan.job_ids) == 1 else f"batch:{batch}"
            intent = {"batch": batch, "jobs": job_ids, "where": plan.where, "note": note}
            await self._journal.intend(action, subject, intent)
            if plan.act is Act.APPROVE:
                await self._approve(job_ids, note)
            outcomes = await self._control.act(
                ActRequest(
                    act=plan.act, job_ids=job_ids, by=self._journal.actor, note=note, batch=batch
                )
            )
            await self._journal.conclude(
                action,
                [(o.job_id, {"batch": batch, "done": o.done, "why": o.why}) for o in outcomes],
            )
            yield outcomes

    async def _approve(self, job_ids: Sequence[str], note: str) -> None:
        database = self._journal.check_allowed("job.approve")
        for detail in await self._reads.details(job_ids):
            if detail.view.state is State.HELD and detail.hold is not None:
                action, rule, digest = detail.hold
                await database.approve(
                    Approval(
                        job_id=detail.view.id,
                        action=action,
                        rule=rule,
                        digest=digest,
                        by=self._journal.actor,
                        note=note,
                        at=self._journal.now_ms(),
                    )
                )

    async def undo(self, batch: str | None = None) -> BulkReport:
        """Bring back what one discard took, the newest by default. UnknownId where there is none."""
        self._journal.check_allowed("job.undo")
        batch = batch or await self._control.last_discard()
        if batch is None:
            raise UnknownId("there is no discard that can still be undone")
        await self._journal.intend("job.undo", f"batch:{batch}", {"batch": batch})
        outcomes = await self._control.undo(batch)
        if not outcomes:
            raise UnknownId(f"no discard {batch!r} can still be undone")
        await self._journal.conclude(
            "job.undo",
            [(o.job_id, {"batch": batch, "done": o.done, "why": o.why}) for o in outcomes],
        )
        done = sum(outcome.done for outcome in outcomes)
        failed = tuple(outcome for outcome in outcomes if not outcome.done)
        return BulkReport(act=Act.DISCARD, batch=batch, done=done, failed=failed)

    async def draft_edit(self, job_id: str, data: JsonValue) -> Job:
        """Make the job that would run a finished one again with other data; nothing is enqueued.

        Refused where the original is not finished, or has a case.
        """
        detail, _ = await self._reads.detail(job_id)
        if detail.view.state not in TERMINAL:
            raise Refused(f"job {job_id} is {detail.view.state}: cancel it before editing it")
        if case_id := await self._case_of(detail):
            raise Refused(f"job {job_id} has made {case_id}: a second one would be made of it")
        check_strict(data)
        return _edited(detail, data, self._journal.now_ms())

    async def enqueue_edit(self, job: Job, *, note: str = "") -> Enqueued:
        """Enqueue a job that `draft_edit` made."""
        origin = job.retried_from or ""
        await self._journal.intend("job.edit", origin, {"new_job": job.id, "note": note})
        (answer,) = await self._broker.enqueue([job])
        await self._journal.conclude(
            "job.edit", [(origin, {"new_job": job.id, "done": True, "state": answer.state})]
        )
        return answer

    async def _case_of(self, detail: JobDetail) -> str | None:
        if detail.view.case_id:
            return detail.view.case_id
        database = self._journal.check_allowed("job.edit")
        (effects,) = await database.recall([(detail.view.id, detail.view.fence)])
        return effects[0].case_id if effects else None

    async def purge(
        self, type: str, *, note: str = "", progressed: Callable[[int], None] | None = None
    ) -> int:
        """Cancel all waiting jobs of a queue; gives their number. UnknownId for an unknown queue."""
        self._journal.check_allowed("queue.purge")
        await self._known_queue(type)
        await self._journal.intend("queue.purge", f"queue:{type}", {"note": note})
        total = 0
        while taken := await self._control.purge(
            type, by=self._journal.actor, note=note, limit=PURGE_CHUNK
        ):
            total += taken
            if progressed is not None:
                progressed(taken)
        await self._journal.conclude("queue.purge", [(f"queue:{type}", {"cancelled": total})])
        return total

    async def pause(self, type: str, *, reason: str = "") -> None:
        """Stop claiming of a type, known or not."""
        await self._on_queue(
            "queue.pause",
            type,
            reason,
            lambda: self._control.pause(type, by=self._journal.actor, reason=reason),
        )

    async def resume(self, type: str) -> None:
        """Claim a paused type again."""
        await self._on_queue("queue.resume", type, "", lambda: self._control.resume(type))

    async def _on_queue(
        self, action: str, type: str, note: str, act: Callable[[], Awaitable[None]]
    ) -> None:
        check_job_type(type)
        await self._journal.intend(action, f"queue:{type}", {"note": note})
        await act()
        await self._journal.conclude(action, [(f"queue:{type}", {"done": True})])

    async def _known_queue(self, type: str) -> None:
        queues = await self._reads.queues()
        if all(queue.type != type for queue in queues):
            raise UnknownId(f"no queue {type!r}")

    async def set_case_status(self, case_id: str, status: CaseStatus, *, note: str = "") -> Case:
        """Close or reopen a case. Its audit record and event commit with it."""
        verb = "case.close" if status is CaseStatus.CLOSED else "case.reopen"
        database = self._journal.check_allowed(verb)
        return await database.set_case_status(
            case_id, status, actor=self._journal.actor, note=note, radius_m=self._radius_m
        )

    async def backup(self, queue_path: str, cases_path: str) -> None:
        """Write consistent copies of the embedded broker and database to new files."""
        database = self._journal.check_allowed("db.backup")
        paths = {"queue": queue_path, "cases": cases_path}
        await self._journal.intend("db.backup", "database", paths)
        await self._control.backup(queue_path)
        await database.backup(cases_path)
        await self._journal.conclude("db.backup", [("database", {**paths, "done": True})])


def _edited(detail: JobDetail, data: JsonValue, now: int) -> Job:
    original = detail.view
    if detail.raw is not None:
        return make_job(original.type, data, now_ms=now, retried_from=original.id)
    try:
        envelope = decode(detail.envelope)
    except msgspec.DecodeError as error:
        raise MalformedJob(f"the record of job {original.id} cannot be read") from error
    kept = {key: value for key, value in envelope.items() if key not in ENVELOPE_OF_ONE_RUN}
    return read_job({**kept, "data": data, "retried_from": original.id}, now_ms=now)
