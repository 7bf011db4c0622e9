"""Everything that an operator can do. Each action: check permission → record the intent → act → record the outcome.

Every action raises Refused in read-only mode and without a database, and
DatabaseUnavailable, before anything is done, if the intent cannot be recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from hms_svc.domain.case import Case, CaseStatus
from hms_svc.domain.errors import MalformedJob, Refused, UnknownId
from hms_svc.domain.ids import check_job_type, new_job_id
from hms_svc.domain.job import INTERNAL_TYPES, Job, make_job, read_job
from hms_svc.domain.lifecycle import TERMINAL
from hms_svc.domain.strict_json import JsonValue, check_strict, decode
from hms_svc.domain.utf8 import writable
from hms_svc.domain.views import JobDetail
from hms_svc.operations.action_table import AUDITED, ON_CASES
from hms_svc.operations.batch_actions import BatchActs
from hms_svc.operations.bulk import BatchReport, Progressed
from hms_svc.operations.bulk_pace import Pace
from hms_svc.operations.erasure import EraseActs
from hms_svc.operations.intake import Draft
from hms_svc.operations.journal import Journal
from hms_svc.operations.plan import Claim
from hms_svc.operations.reads import Reads
from hms_svc.operations.trial_jobs import (
    TrialJobs,
    TrialReport,
    batches_of_bytes,
    batches_of_jobs,
    make_copies,
)
from hms_svc.operations.undo import UndoActs
from hms_svc.operations.worker_actions import WorkerActs
from hms_svc.ports.broker import Broker, Enqueued
from hms_svc.ports.control import Act, ActRequest, Control
from hms_svc.ports.stores import id_in_record
from hms_svc.sdk.job_defaults import complete_edited
from hms_svc.sdk.registry import Registry

PURGE_CHUNK = 500
ENVELOPE_OF_ONE_RUN = ("id", "enqueued_at", "not_before", "expires_at")


class Actions(UndoActs, EraseActs, WorkerActs, BatchActs):
    """The writing half of the operator service. Payloads are validated against the models of `registry`."""

    def __init__(
        self,
        *,
        reads: Reads,
        broker: Broker,
        control: Control,
        journal: Journal,
        radius_m: float,
        registry: Registry | None = None,
    ) -> None:
        super().__init__(reads=reads, control=control, journal=journal)
        self._broker = broker
        self._radius_m = radius_m
        self._registry = registry

    async def enqueue_test(
        self,
        draft: Draft,
        *,
        count: int = 1,
        note: str = "",
        check: bool = True,
        progressed: Progressed | None = None,
        pace: Pace | None = None,
    ) -> TrialReport:
        """Enqueue 1 to 10,000 copies of a draft, as `job.enqueue`; none if it is at fault.

        Raises MalformedJob if the draft is not a job or, unless `check` is
        False, its payload does not match the model of its type; IdConflict if
        its id is another job's; BadInput for any other count.
        """
        self._journal.check_allowed(AUDITED["enqueue"])
        registry = self._registry if check else None
        type, jobs = make_copies(draft, count, registry, self._journal.now_ms())
        trial = TrialJobs(self._journal, type=type, count=count, note=note)
        return await trial.run(batches_of_jobs(self._broker, jobs), pace or Pace(), progressed)

    async def enqueue_raw_test(
        self,
        type: str,
        item: bytes,
        *,
        count: int = 1,
        note: str = "",
        progressed: Progressed | None = None,
        pace: Pace | None = None,
    ) -> TrialReport:
        """Submit bytes unparsed, as a foreign push does, 1 to 10,000 times."""
        self._journal.check_allowed(AUDITED["enqueue"])
        check_job_type(type)
        trial = TrialJobs(self._journal, type=type, count=count, note=note)
        batches = batches_of_bytes(self._broker, type, item, count)
        return await trial.run(batches, pace or Pace(), progressed)

    async def draft_edit(self, job_id: str, data: JsonValue) -> Job:
        """Return the job that would run a finished one again with other data; nothing is enqueued.

        Raises Refused if the original is not finished, has a case, or is of an internal type.
        A unique key that its type computed for the original is computed anew from the new data;
        MalformedJob if that fails.
        """
        detail, _ = await self._reads.detail(job_id)
        if detail.view.type in INTERNAL_TYPES:
            right = "retry" if detail.raw is None else "discard"
            message = f"job {job_id} was created by hms-svc itself and cannot be edited: {right} it"
            raise Refused(message)
        if detail.view.state not in TERMINAL:
            raise Refused(f"job {job_id} is {detail.view.state}: cancel it before editing it")
        if case_id := await self._case_of(detail):
            raise Refused(
                f"job {job_id} has committed {case_id}: an edited copy would do it a second time"
            )
        check_strict(data)
        job = _edited(detail, data, self._journal.now_ms())
        if self._registry is None:
            return job
        return complete_edited(job, detail.view.data, self._registry)

    async def enqueue_edit(self, job: Job, *, note: str = "") -> Enqueued:
        """Enqueue a job that `draft_edit` returned."""
        origin = job.retried_from or ""
        await self._journal.intend(AUDITED["edit"], origin, {"new_job": job.id, "note": note})
        (answer,) = await self._broker.enqueue([job])
        await self._journal.conclude(
            AUDITED["edit"], [(origin, {"new_job": job.id, "done": True, "state": answer.state})]
        )
        return answer

    async def _case_of(self, detail: JobDetail) -> str | None:
        if detail.view.case_id:
            return detail.view.case_id
        database = self._journal.check_allowed(AUDITED["edit"])
        (effects,) = await database.effects.recall([(detail.view.id, detail.view.fence + 1)])
        return id_in_record(effects)

    async def purge(
        self,
        type: str,
        *,
        note: str = "",
        progressed: Progressed | None = None,
        pace: Pace | None = None,
    ) -> BatchReport:
        """Cancel the jobs of a queue that wait now, some hundreds at a time. UnknownId for an unknown queue.

        Jobs that arrive in the meantime do not prolong it. With its `pace` a front end pauses it between chunks, or cancels it.
        """
        pace = pace or Pace()
        self._journal.check_allowed(AUDITED["purge"])
        most = await self._waiting(type)
        batch, total = new_job_id(), 0
        began: float | None = None
        while await pace.goes_on(since=began):
            began = asyncio.get_running_loop().time()
            taken = await self._purge_some(
                type, note, batch, min(PURGE_CHUNK, max(1, most - total))
            )
            if not taken:
                break
            total += taken
            if progressed is not None:
                progressed(taken)
            if total >= most:
                break
        left = await self._waiting(type) if pace.cancelled else 0
        return BatchReport(batch=batch, done=total, left=left)

    async def _purge_some(self, type: str, note: str, batch: str, most: int) -> int:
        intent = {"batch": batch, "most": most, "note": note}
        await self._journal.intend(AUDITED["purge"], f"queue:{type}", intent)
        waiting = await self._control.waiting(type, limit=most)
        claims = {job_id: Claim(fence, ended=True) for job_id, fence in waiting}
        request = ActRequest(
            act=Act.CANCEL,
            job_ids=tuple(claims),
            by=self._journal.actor,
            note=note or "purged",
            batch=batch,
        )
        taken = sum(outcome.done for outcome in await self._act_on(request, claims))
        outcome = {"batch": batch, "cancelled": taken}
        await self._journal.conclude(AUDITED["purge"], [(f"queue:{type}", outcome)])
        return taken

    async def pause(self, type: str, *, reason: str = "", intake: bool = False) -> None:
        """Stop claims of a type, known or not; with `intake`, the HTTP servers reject its jobs as well."""
        await self._on_queue(
            AUDITED["pause"],
            type,
            {"note": reason, "intake": True} if intake else {"note": reason},
            lambda: self._control.pause(type, by=self._journal.actor, reason=reason, intake=intake),
        )

    async def resume(self, type: str) -> None:
        """Resume claims of a paused type, and accept its jobs at the HTTP servers again."""
        await self._on_queue(
            AUDITED["resume"], type, {"note": ""}, lambda: self._control.resume(type)
        )

    async def _on_queue(
        self,
        action: str,
        type: str,
        intent: dict[str, JsonValue],
        act: Callable[[], Awaitable[None]],
    ) -> None:
        check_job_type(type)
        await self._journal.intend(action, f"queue:{type}", intent)
        await act()
        await self._journal.conclude(action, [(f"queue:{type}", {"done": True})])

    async def _waiting(self, type: str) -> int:
        for queue in await self._reads.queues([type]):
            return queue.counts.scheduled + queue.counts.queued + queue.counts.retrying
        raise UnknownId(f"no queue {type!r}")

    async def set_case_status(self, case_id: str, status: CaseStatus, *, note: str = "") -> Case:
        """Close or reopen a case. Its audit record and event commit with it."""
        database = self._journal.check_allowed(ON_CASES[status].audit)
        return await database.cases.set_status(
            case_id, status, actor=self._journal.actor, note=note, radius_m=self._radius_m
        )

    async def backup(self, queue_path: str, cases_path: str) -> None:
        """Write consistent copies of the embedded broker and database to new files."""
        database = self._journal.check_allowed(AUDITED["backup"])
        paths = {"queue": writable(queue_path), "cases": writable(cases_path)}
        await self._journal.intend(AUDITED["backup"], "database", paths)
        await self._control.backup(queue_path)
        await database.backup(cases_path)
        await self._journal.conclude(AUDITED["backup"], [("database", {**paths, "done": True})])


def _edited(detail: JobDetail, data: JsonValue, now: int) -> Job:
    original = detail.view
    if detail.raw is not None:
        return make_job(original.type, data, now_ms=now, retried_from=original.id)
    try:
        envelope = decode(detail.envelope)
    except msgspec.DecodeError as error:
        raise MalformedJob(f"the record of job {original.id} cannot be parsed") from error
    kept = {key: value for key, value in envelope.items() if key not in ENVELOPE_OF_ONE_RUN}
    kept |= {"priority": original.priority, "data": data, "retried_from": original.id}
    return read_job(kept, now_ms=now, any_names=True)
