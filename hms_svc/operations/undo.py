"""Undoing: whose act, what and when is told first, and how many of its jobs can still come back."""

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
from hms_svc.operations.action_table import AUDITED
from hms_svc.operations.bulk import BatchReport, BulkActs, Progressed
from hms_svc.operations.bulk_pace import Pace
from hms_svc.operations.plan import past
from hms_svc.ports.control import Act, Batch
from hms_svc.ports.stores import Database

MOST_BATCHES: Final = 50
"""Batches among which one's own is looked for."""
_PAGE: Final = 200
_MOVED_ON: Final = "has moved on: it is "
_SINCE: Final = {
    "completed": "ran since and completed", "dead": "ran since and died",
    "rejected": "ran since and rejected", "retrying": "ran since and failed, to be tried again",
    "processing": "running now", "held": "ran since and held for approval",
}  # fmt: skip
"""What became of a job after the act, by the state that it is in now."""
_UNDO: Final = AUDITED["undo"]
_DONE: Final = {act.value: past(act) for act in Act} | {"purge": "purged"}


class PastAct(msgspec.Struct, frozen=True, kw_only=True):
    """An act that can still be undone, with what the audit has of it.

    `at` is when (Unix ms) the newest of its `jobs` was changed. `act` is a verb (`retry`, `purge`), `where`
    the filter that chose the jobs, `subject` what it was done to where that is one thing: a job's id
    or `queue:TYPE`. `actor` and the rest are empty where the audit does not know the batch.
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
        """Who did it."""
        return self.actor or "somebody unknown"

    @property
    def words(self) -> str:
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
    """What undoing an act would do to each of its jobs.

    `is_own`: it is an act of whoever asks. `newer` is somebody else's that was done after it.
    """

    act: PastAct
    is_own: bool
    outcomes: tuple[ActOutcome, ...]
    newer: PastAct | None = None

    @property
    def back(self) -> int:
        """How many of its jobs would come back."""
        return sum(outcome.done for outcome in self.outcomes)

    @property
    def whys(self) -> list[tuple[str, int]]:
        """Why the others would not, and how many each, the most first."""
        return Counter(each.why for each in self.outcomes if not each.done).most_common()


def undone_not_words(whys: Sequence[tuple[str, int]]) -> str:
    """Return how many jobs an undo leaves as they are, and why: `12 not: 9 ran since and completed, 3 running now`.

    `whys` are the reasons with their numbers.
    """
    words = ", ".join(f"{number:,} {since_words(why)}" for why, number in whys)
    return f"{sum(number for _, number in whys):,} not: {words}"


def since_words(why: str) -> str:
    """Return why a job does not come back, in words that tell what it did since the act."""
    return _SINCE.get(why.removeprefix(_MOVED_ON), why) if why.startswith(_MOVED_ON) else why


class Undoing(BulkActs):
    """Acts on jobs, and the taking back of them."""

    async def plan_undo(
        self, batch: str | None = None, *, progressed: Progressed | None = None
    ) -> UndoPlan:
        """Work out what the undoing of a batch would do; nothing is done yet.

        By default that of the newest act of one's own of which anything can come back, or, where
        there is none, of anybody's. `progressed` is called with how many more jobs were looked at.
        UnknownId where none can be undone any more.
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
        self, batch: Batch, progressed: Progressed | None
    ) -> tuple[ActOutcome, ...]:
        """Describe each job of a batch whether it would come back."""
        outcomes: list[ActOutcome] = []
        while True:
            after = outcomes[-1].job_id if outcomes else ""
            found = await self._control.undo(batch.name, after=after, limit=bulk.CHUNK, dry=True)
            outcomes += found
            if progressed is not None:
                progressed(len(found))
            if len(found) < bulk.CHUNK:
                return tuple(outcomes)

    async def _past_act(self, database: Database, batch: Batch) -> PastAct:
        """Find the audit row of a batch: it stands under the batch, its only job, or its queue."""
        known = await self._reads.known_details([batch.job_id])
        subjects = [f"batch:{batch.name}", batch.job_id]
        subjects += [f"queue:{detail.view.type}" for detail in known]
        told = PastAct(batch=batch.name, at=batch.at, jobs=batch.jobs)
        for subject in subjects:
            found = await _intent(database, subject, batch.name)
            if found is not None:
                record, detail = found
                return msgspec.structs.replace(
                    told,
                    actor=record.actor,
                    act=record.action.partition(".")[2],
                    note=str(detail.get("note", "")),
                    where=str(detail.get("where", "")),
                    subject="" if subject.startswith("batch:") else subject,
                )
        return told

    async def undo(
        self,
        batch: str | None = None,
        *,
        progressed: Progressed | None = None,
        pace: Pace | None = None,
    ) -> BatchReport:
        """Undo one batch of acts, the newest by default, a few hundred jobs at a time.

        UnknownId where none can be undone any more. `progressed` is called with how many
        more were come to; by its `pace` a front end pauses it, or calls it off.
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
    """Return the error; `spent` is the newest act of one's own, of which nothing comes back."""
    if batch is None:
        told = "" if spent is None else f": you {spent.act.words}; {undone_not_words(spent.whys)}"
        return UnknownId(f"there is no action that can still be undone{told}")
    return UnknownId(f"no batch {batch!r} can still be undone")


async def _intent(
    database: Database, subject: str, batch: str
) -> tuple[AuditRecord, dict[str, Any]] | None:
    """Return the newest row that names a batch under a subject, but for its undoing, and its detail."""
    cursor: str | None = None
    while True:
        records = await database.audit_records(
            AuditQuery(subject=subject), limit=_PAGE, cursor=cursor
        )
        for record in records:
            detail = decode(record.detail)
            if record.action == _UNDO or not isinstance(detail, dict):
                continue
            if detail.get("batch") == batch and detail.get("phase") == "intent":
                return record, detail
        if len(records) < _PAGE or not subject.startswith("batch:"):
            return None
        cursor = str(records[-1].number)
