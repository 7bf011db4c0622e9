"""Actions on many jobs: planned first, then done chunk by chunk, with a rest after each.

The intent of each chunk is recorded before anything is done to it, so that an
interruption neither loses a job nor does anything twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final

import msgspec

from hms_svc.domain import failpoints
from hms_svc.domain.audit_query import IN_BATCH
from hms_svc.domain.errors import FilterTooCostly, HoldChanged, Refused
from hms_svc.domain.filter import Filter
from hms_svc.domain.ids import new_job_id
from hms_svc.domain.views import ActOutcome
from hms_svc.operations.action_table import AUDITED, DECISIONS
from hms_svc.operations.bulk_pace import Pace
from hms_svc.operations.job_facts import look_up
from hms_svc.operations.journal import Journal
from hms_svc.operations.plan import Claim, Plan, PlanBuilder, claim_of
from hms_svc.operations.reads import Reads
from hms_svc.ports.control import MOVED_ON, Act, ActRequest, Control

CHUNK: Final = 250
RECORDS_EXAMINED_AT_ONCE: Final = 5_000
"""Records that are examined between two rests while an action is planned."""
CHECKS: Final = 5
"""How often a cancellation reads a job again that is claimed or requeued in the meantime."""
Progressed = Callable[[int], None]


class BatchReport(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a batch, or of its undo: `failed` are the jobs that were not changed.

    `batch` is its id for undo; `left` is how many were not reached because it was cancelled.
    """

    batch: str
    done: int
    failed: tuple[ActOutcome, ...] = ()
    left: int = 0

    @property
    def whys(self) -> list[tuple[str, int]]:
        """The reasons why some jobs were not changed, with their numbers, the most frequent first."""
        return Counter(each.why for each in self.failed).most_common()


class BulkReport(BatchReport, frozen=True, kw_only=True):
    """The result of a bulk action."""

    act: Act


class BulkActs:
    """Actions on jobs, one or a hundred thousand."""

    def __init__(self, *, reads: Reads, control: Control, journal: Journal) -> None:
        self._reads = reads
        self._control = control
        self._journal = journal

    async def plan(self, act: Act, job_ids: Sequence[str], *, unnamed: bool = False) -> Plan:
        """Return what an action on these ids would do.

        Among several ids, an unknown one is reported as a job that cannot be changed.
        For a single one, raises UnknownId, and Refused if the action is not possible.
        For `unnamed` see PlanBuilder.
        """
        builder = PlanBuilder(act, unnamed=unnamed)
        if len(job_ids) == 1:
            await self._reads.details(job_ids)
        for start in range(0, len(job_ids), CHUNK):
            chunk = job_ids[start : start + CHUNK]
            views = [detail.view for detail in await self._reads.known_details(chunk)]
            builder.add(views)
            known = {view.id for view in views}
            builder.add_unknown(job_id for job_id in chunk if job_id not in known)
        plan = builder.build()
        if len(job_ids) == 1 and plan.cannot:
            raise Refused(f"job {job_ids[0]}: {plan.cannot[0].why}")
        return plan

    async def plan_answer(self, act: Act, job_id: str, hold: str) -> Plan:
        """Return a plan to approve or deny the hold of this id, and no other.

        Raises UnknownId, Refused for a job that is not held, and HoldChanged if it
        is held for a different reason now.
        """
        plan = await self.plan(act, [job_id])
        present = str(plan.claims[job_id].fence)
        if hold != present:
            raise HoldChanged(
                f"job {job_id}: hold {hold!r:.40} is not the one that it waits for now, which is {present}: "
                "check it again"
            )
        return plan

    async def plan_where(
        self,
        act: Act,
        where: Filter,
        *,
        unnamed: bool = False,
        progressed: Progressed | None = None,
        pace: Pace | None = None,
        most_work: int = 0,
    ) -> Plan:
        """Return what an action on all matching jobs would do; nothing is done yet.

        `progressed` is called with how many more were found. A `pace` makes it rest
        between pages; cancelling it raises Refused. For `unnamed` see
        PlanBuilder. Raises FilterTooCostly if the filter has to examine more than
        `most_work` characters (0: any number).
        """
        builder = PlanBuilder(act, where.text, unnamed=unnamed)
        cursor: str | None = None
        found = work = 0
        while True:
            began = asyncio.get_running_loop().time()
            page = await self._reads.jobs(
                where, limit=CHUNK, cursor=cursor, examine=RECORDS_EXAMINED_AT_ONCE
            )
            builder.add(page.jobs)
            found += len(page.jobs)
            work += page.work
            if most_work and work > most_work:
                raise FilterTooCostly(
                    f"the filter examined {work:,} characters of jobs, and is not finished: one request may take at most "
                    f"{most_work:,}; narrow it by states, types, causes or ids"
                )
            if progressed is not None:
                progressed(len(page.jobs))
            cursor = page.cursor
            if cursor is None:
                return builder.build()
            if pace is not None and not await pace.goes_on(since=began):
                raise Refused(f"planning was cancelled after {found:,} jobs: nothing was done")

    async def carry_out(
        self,
        plan: Plan,
        *,
        note: str = "",
        progressed: Progressed | None = None,
        pace: Pace | None = None,
    ) -> BulkReport:
        """Carry out a plan, a few hundred jobs at a time; `progressed` is called with how many more.

        A job that has moved on since the plan was made is reported, not forced.
        With its `pace` a front end pauses the action between chunks, or cancels it.
        """
        pace = pace or Pace()
        batch = new_job_id()
        done, left = 0, len(plan.job_ids)
        failed = list(plan.cannot)
        async for outcomes in self._chunks(plan, note, batch, pace):
            done += sum(outcome.done for outcome in outcomes)
            left -= len(outcomes)
            failed += [outcome for outcome in outcomes if not outcome.done]
            if progressed is not None:
                progressed(len(outcomes))
        return BulkReport(act=plan.act, batch=batch, done=done, failed=tuple(failed), left=left)

    async def _chunks(
        self, plan: Plan, note: str, batch: str, pace: Pace
    ) -> AsyncIterator[Sequence[ActOutcome]]:
        self._journal.check_allowed(AUDITED[plan.act])
        began: float | None = None
        for start in range(0, len(plan.job_ids), CHUNK):
            if not await pace.goes_on(since=began):
                return
            began = asyncio.get_running_loop().time()
            yield await self._do(plan, plan.job_ids[start : start + CHUNK], note, batch)

    async def _do(
        self, plan: Plan, job_ids: tuple[str, ...], note: str, batch: str
    ) -> Sequence[ActOutcome]:
        action = AUDITED[plan.act]
        subject = job_ids[0] if len(plan.job_ids) == 1 else f"batch:{batch}"
        claims = {job_id: plan.claims[job_id] for job_id in job_ids}
        intent: dict[str, object] = {
            "batch": batch,
            "jobs": job_ids,
            "where": plan.where,
            "note": note,
        }
        if plan.act in DECISIONS:
            intent["holds"] = {job_id: str(claim.fence) for job_id, claim in claims.items()}
        await self._journal.intend(action, subject, intent)
        request = ActRequest(
            act=plan.act, job_ids=job_ids, by=self._journal.actor, note=note, batch=batch
        )
        if failpoints.armed is not None:
            failpoints.reached("act.intended")
        outcomes = await self.act(request, claims)
        if failpoints.armed is not None:
            failpoints.reached("act.done")
        await self._conclude(action, subject, batch, outcomes)
        return outcomes

    async def act(self, request: ActRequest, claims: Mapping[str, Claim]) -> Sequence[ActOutcome]:
        """Apply an action to jobs whose last claims are known; a cancellation follows those that move on."""
        done: dict[str, ActOutcome] = {}
        for _ in range(CHECKS):
            outcomes = await self._act_on(request, claims)
            done |= {outcome.job_id: outcome for outcome in outcomes}
            moved = [outcome.job_id for outcome in outcomes if outcome.why == MOVED_ON]
            if request.act is not Act.CANCEL or not moved:
                break
            known = await self._reads.known_details(moved)
            claims = {detail.view.id: claim_of(detail.view) for detail in known}
        return [done[job_id] for job_id in request.job_ids]

    async def _act_on(
        self, request: ActRequest, claims: Mapping[str, Claim]
    ) -> Sequence[ActOutcome]:
        database = self._journal.check_allowed(AUDITED[request.act])
        seen = await look_up(request.act, claims, self._reads.known_details, database.effects)
        return await self._control.act(
            msgspec.structs.replace(request, job_ids=tuple(claims), seen=seen)
        )

    async def _conclude(
        self, action: str, subject: str, batch: str, outcomes: Sequence[ActOutcome]
    ) -> None:
        """Record the outcome for each job; of a batch first how many jobs were changed, and how many not."""
        rows: list[tuple[str, dict[str, object]]] = [
            (each.job_id, {"batch": batch, "done": each.done, "why": each.why}) for each in outcomes
        ]
        if subject.startswith("batch:"):
            for _, detail in rows:
                detail[IN_BATCH] = True
            done = sum(each.done for each in outcomes)
            counts = {"batch": batch, "done": done, "not_done": len(outcomes) - done}
            rows.insert(0, (subject, counts))
        await self._journal.conclude(action, rows)
