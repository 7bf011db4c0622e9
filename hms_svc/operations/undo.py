"""Undo: shows who did what and when, and how many of the jobs can still be restored."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec

from hms_svc.domain.audit_query import AuditQuery
from hms_svc.domain.errors import UnknownId
from hms_svc.domain.plain_text import plural
from hms_svc.domain.strict_json import decode
from hms_svc.domain.views import ActOutcome, AuditRecord
from hms_svc.operations import bulk
from hms_svc.operations.action_table import ACTIONS, AUDITED
from hms_svc.operations.bulk import BatchReport, BulkActs, Progressed
from hms_svc.operations.bulk_pace import Pace
from hms_svc.ports.control import ActBatch
from hms_svc.ports.database import Database
from hms_svc.ports.stores import AuditStore

MOST_BATCHES: Final = 50
"""Batches among which an operator's own is searched for."""
_PAGE: Final = 200
_MOVED_ON: Final = "has moved on: it is "
_SINCE: Final = {
    "completed": "ran since and completed",
    "dead": "ran since, now dead",
    "rejected": "ran since, now rejected",
    "retrying": "ran since and failed, now retrying",
    "processing": "running now",
    "held": "ran since, now held",
}
"""What became of a job after the action, by its current state."""
_UNDO: Final = AUDITED["undo"]
_DONE: Final = {action.name: action.done for action in ACTIONS if action.done}


class PastAct(msgspec.Struct, frozen=True, kw_only=True):
    """An action that can still be undone, with its audit record.

    `at` is when (Unix ms) the newest of its `jobs` was changed. `act` is a verb (`retry`, `purge`), `where`
    the filter that chose the jobs, `subject` its only subject if it had one: a job's id
    or `queue:TYPE`. `actor` and the rest are empty if the audit log does not know the batch.
    """

    batch: str
    at: int
    jobs: int
    actor: str = ""
    act: str = ""
    note: str = ""
    where: str = ""
    subject: str = ""

    @property
    def who(self) -> str:
        """The operator."""
        return self.actor or "an unknown operator"

    @property
    def text(self) -> str:
        """What was done: `cancelled 40 jobs that match state:queued`."""
        done = _DONE.get(self.act, "changed")
        kind, _, type = self.subject.partition(":")
        if kind == "queue":
            return f"{done} {type}: {plural(self.jobs, 'waiting job')}"
        if self.subject:
            return f"{done} job {self.subject}"
        return f"{done} {plural(self.jobs, 'job')}" + (
            f" of all that match {self.where}" if self.where else ""
        )


class UndoPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What undoing an action would do to each of its jobs.

    `is_own`: it is an action of the requester. `newer` is another operator's action that came after it.
    """

    act: PastAct
    is_own: bool
    outcomes: tuple[ActOutcome, ...]
    newer: PastAct | None = None

    @property
    def back(self) -> int:
        """How many of its jobs would be restored."""
        return sum(outcome.done for outcome in self.outcomes)

    @property
    def whys(self) -> list[tuple[str, int]]:
        """Why the others would not be, with their numbers, the most frequent first."""
        return Counter(each.why for each in self.outcomes if not each.done).most_common()


def not_restored_text(whys: Sequence[tuple[str, int]]) -> str:
    """Return how many jobs an undo leaves as they are, and why: `12 not: 9 ran since and completed, 3 running now`.

    `whys` are the reasons with their numbers.
    """
    text = ", ".join(f"{number:,} {since_text(why)}" for why, number in whys)
    return f"{sum(number for _, number in whys):,} not: {text}"


def since_text(why: str) -> str:
    """Return why a job cannot be restored, as a phrase about what it did since the action."""
    return _SINCE.get(why.removeprefix(_MOVED_ON), why) if why.startswith(_MOVED_ON) else why


class UndoActs(BulkActs):
    """Actions on jobs, and their undoing."""

    async def plan_undo(
        self, batch: str | None = None, *, progressed: Progressed | None = None
    ) -> UndoPlan:
        """Return what undoing a batch would do; nothing is done yet.

        By default the batch is the requester's newest action of which a job can be restored or, if
        there is none, anybody's. `progressed` is called with how many more jobs were examined.
        UnknownId if no batch can be undone.
        """
        database = self._journal.check_allowed(_UNDO)
        others: list[UndoPlan] = []
        spent: UndoPlan | None = None
        for each in await self._control.batches(limit=MOST_BATCHES, name=batch or ""):
            act = await self._past_act(database, each)
            is_own = act.actor == self._journal.actor
            if others and not is_own and batch is None:
                continue
            plan = UndoPlan(act=act, is_own=is_own, outcomes=await self._outcomes(each, progressed))
            if batch is not None:
                return plan
            if plan.back and is_own:
                newer = others[0].act if others else None
                return msgspec.structs.replace(plan, newer=newer)
            if plan.back:
                others.append(plan)
            elif is_own and spent is None and plan.outcomes:
                spent = plan
        if others:
            return others[0]
        raise _unknown(batch, spent)

    async def _outcomes(
        self, batch: ActBatch, progressed: Progressed | None
    ) -> tuple[ActOutcome, ...]:
        """Return for each job of a batch whether it would be restored."""
        outcomes: list[ActOutcome] = []
        while True:
            after = outcomes[-1].job_id if outcomes else ""
            found = await self._control.undo(batch.name, after=after, limit=bulk.CHUNK, dry=True)
            outcomes += found
            if progressed is not None:
                progressed(len(found))
            if len(found) < bulk.CHUNK:
                return tuple(outcomes)

    async def _past_act(self, database: Database, batch: ActBatch) -> PastAct:
        """Find the audit row of a batch: its subject is the batch, its only job, or its queue."""
        known = await self._reads.known_details([batch.job_id])
        subjects = [f"batch:{batch.name}", batch.job_id]
        subjects += [f"queue:{detail.view.type}" for detail in known]
        act = PastAct(batch=batch.name, at=batch.at, jobs=batch.jobs)
        for subject in subjects:
            found = await _intent(database.audit, subject, batch.name)
            if found is not None:
                record, detail = found
                return msgspec.structs.replace(
                    act,
                    actor=record.actor,
                    act=record.action.partition(".")[2],
                    note=str(detail.get("note", "")),
                    where=str(detail.get("where", "")),
                    subject="" if subject.startswith("batch:") else subject,
                )
        return act

    async def undo(
        self,
        batch: str | None = None,
        *,
        progressed: Progressed | None = None,
        pace: Pace | None = None,
    ) -> BatchReport:
        """Undo one batch of actions, the newest by default, a few hundred jobs at a time.

        UnknownId if no batch can be undone. `progressed` is called with how many
        more were reached; with its `pace` a front end pauses it, or cancels it.
        """
        self._journal.check_allowed(_UNDO)
        batch = batch or await self._control.last_batch()
        if batch is None:
            raise _unknown(batch)
        outcomes: list[ActOutcome] = []
        pace = pace or Pace()
        async for chunk in self._undone(batch, pace):
            outcomes += chunk
            if progressed is not None:
                progressed(len(chunk))
        left = 0
        if pace.cancelled:
            after = outcomes[-1].job_id if outcomes else ""
            left = await self._control.undoable(batch, after=after)
        elif not outcomes:
            raise _unknown(batch)
        failed = tuple(outcome for outcome in outcomes if not outcome.done)
        return BatchReport(batch=batch, done=len(outcomes) - len(failed), failed=failed, left=left)

    async def _undone(self, batch: str, pace: Pace) -> AsyncIterator[Sequence[ActOutcome]]:
        began: float | None = None
        after, outcomes = "", []
        while await pace.goes_on(since=began):
            began = asyncio.get_running_loop().time()
            intent = {"batch": batch, "after": after, "most": bulk.CHUNK}
            await self._journal.intend(_UNDO, f"batch:{batch}", intent)
            outcomes = await self._control.undo(batch, after=after, limit=bulk.CHUNK)
            if outcomes:
                await self._conclude(_UNDO, f"batch:{batch}", batch, outcomes)
                yield outcomes
            if len(outcomes) < bulk.CHUNK:
                return
            after = outcomes[-1].job_id


def _unknown(batch: str | None, spent: UndoPlan | None = None) -> UnknownId:
    """Return the error; `spent` is the requester's newest action, of which no job can be restored."""
    if batch is None:
        spent_text = (
            "" if spent is None else f": you {spent.act.text}; {not_restored_text(spent.whys)}"
        )
        return UnknownId(f"there is no action that can still be undone{spent_text}")
    return UnknownId(f"no batch {batch!r} can still be undone")


async def _intent(
    audit: AuditStore, subject: str, batch: str
) -> tuple[AuditRecord, dict[str, Any]] | None:
    """Return the newest row that names a batch under a subject, except for its undo, and its detail."""
    cursor: str | None = None
    while True:
        records = await audit.records(AuditQuery(subject=subject), limit=_PAGE, cursor=cursor)
        for record in records:
            detail = decode(record.detail)
            if record.action == _UNDO or not isinstance(detail, dict):
                continue
            if detail.get("batch") == batch and detail.get("phase") == "intent":
                return record, detail
        if len(records) < _PAGE or not subject.startswith("batch:"):
            return None
        cursor = str(records[-1].number)
