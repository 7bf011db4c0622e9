"""Erasure of one person's data: jobs are chosen first, then blanked chunk by chunk in broker and database.

The audit record has the number of jobs and their ids; of the filter it keeps only the SHA-256.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import starmap
from typing import Final

import msgspec

from hms_svc.domain import failpoints
from hms_svc.domain.deliveries import DELIVER
from hms_svc.domain.errors import Refused, UnknownId
from hms_svc.domain.filter import Filter, parse_filter
from hms_svc.domain.ids import follow_up_id, name_based_id, new_job_id
from hms_svc.domain.lifecycle import TERMINAL
from hms_svc.domain.views import ActOutcome, JobView
from hms_svc.operations.action_table import AUDITED
from hms_svc.operations.bulk import BatchReport, BulkActs, Progressed
from hms_svc.operations.bulk_pace import Pace
from hms_svc.operations.plan import Choice, Chooser
from hms_svc.ports.control import NOT_KNOWN, must_end_first

ACTION: Final = AUDITED["erase"]
ERASED_AT_ONCE: Final = 100
_MOST_READ_AT_ONCE: Final = 500


class _DeliveredEvent(msgspec.Struct, frozen=True):
    subject: str = ""


class _Delivery(msgspec.Struct, frozen=True):
    event: _DeliveredEvent = _DeliveredEvent()


class EraseActs(BulkActs):
    """Actions on jobs, and the erasure of their content."""

    async def plan_erase(self, job_ids: Sequence[str]) -> Choice:
        """Choose those of the ids that can be erased; nothing is done yet.

        Ids that are not listed are included: they may be discarded, or archived.
        Raises Refused for a single job that is not finished.
        """
        chooser = Chooser(TERMINAL, must_end_first)
        for first in range(0, len(job_ids), ERASED_AT_ONCE):
            known = await self._reads.known_details(job_ids[first : first + ERASED_AT_ONCE])
            chooser.add(detail.view for detail in known)
        found = chooser.choose()
        if len(job_ids) == 1 and found.cannot:
            raise Refused(f"job {job_ids[0]}: {found.cannot[0].why}")
        cannot = {outcome.job_id for outcome in found.cannot}
        ids = tuple(job_id for job_id in dict.fromkeys(job_ids) if job_id not in cannot)
        return Choice(job_ids=ids, groups=found.groups, cannot=found.cannot)

    async def plan_erase_where(self, where: Filter) -> Choice:
        """Choose all matching jobs of the broker and of the archive; nothing is done yet.

        `where` of the answer is the SHA-256 of the filter's text.
        """
        chooser = Chooser(TERMINAL, must_end_first)
        async for page in self._everywhere(where):
            chooser.add(page)
        return chooser.choose(hashlib.sha256(where.text.encode()).hexdigest())

    async def foresee(self, choice: Choice) -> Choice:
        """Return the choice with the jobs that an erasure would refuse in addition: follow-ups and deliveries.

        It reads all deliveries, so only a dry run does it.
        """
        companions = Chooser(TERMINAL, must_end_first)
        for first in range(0, len(choice.job_ids), ERASED_AT_ONCE):
            candidates = await self._possible_follow_ups(
                choice.job_ids[first : first + ERASED_AT_ONCE]
            )
            known = await self._reads.known_details(candidates)
            companions.add(detail.view for detail in known)
        erased = {*choice.job_ids, *companions.choose().job_ids}
        companions.add([view async for view in self._deliveries_of(erased)])
        refused = {each.job_id: each for each in (*choice.cannot, *companions.choose().cannot)}
        return msgspec.structs.replace(choice, cannot=tuple(refused.values()))

    async def erase(
        self,
        choice: Choice,
        *,
        note: str = "",
        progressed: Progressed | None = None,
        pace: Pace | None = None,
    ) -> BatchReport:
        """Blank the personal data of the chosen jobs, a hundred at a time.

        Their follow-ups, and at the end the deliveries of events about any of
        them, are blanked too; unfinished ones are among the failed. It
        cannot be undone; repeating it changes nothing. With its `pace` a front end cancels it
        between chunks. Raises UnknownId if a single job is not known.
        """
        self._journal.check_allowed(ACTION)
        pace, batch = pace or Pace(), new_job_id()
        done, left, failed = 0, len(choice.job_ids), list(choice.cannot)
        erased: set[str] = set()
        began: float | None = None
        for first in range(0, len(choice.job_ids), ERASED_AT_ONCE):
            if not await pace.goes_on(since=began):
                break
            began = asyncio.get_running_loop().time()
            job_ids = choice.job_ids[first : first + ERASED_AT_ONCE]
            outcomes = await self._erase_chunk(job_ids, choice, batch, note)
            done += sum(outcomes[job_id].done for job_id in job_ids)
            erased |= {outcome.job_id for outcome in outcomes.values() if outcome.done}
            left -= len(job_ids)
            failed += [outcome for outcome in outcomes.values() if not outcome.done]
            if progressed is not None:
                progressed(len(job_ids))
        if len(choice.job_ids) == 1 and failed and failed[0].why == NOT_KNOWN:
            raise UnknownId(f"no job with id {choice.job_ids[0]!r}")
        if erased and not left:
            failed += await self._erase_deliveries(erased, batch, note)
        return BatchReport(batch=batch, done=done, failed=tuple(failed), left=left)

    async def _erase_deliveries(
        self, erased: AbstractSet[str], batch: str, note: str
    ) -> list[ActOutcome]:
        """Blank, last, the notifications of receivers about these jobs: by now the bus creates no more of them."""
        ids = [view.id async for view in self._deliveries_of(erased)]
        found = Choice(job_ids=tuple(dict.fromkeys(ids)), groups=(), cannot=())
        failed: list[ActOutcome] = []
        for first in range(0, len(found.job_ids), ERASED_AT_ONCE):
            job_ids = found.job_ids[first : first + ERASED_AT_ONCE]
            outcomes = await self._erase_chunk(job_ids, found, batch, note)
            failed += [outcome for outcome in outcomes.values() if not outcome.done]
        return failed

    async def _deliveries_of(self, job_ids: AbstractSet[str]) -> AsyncIterator[JobView]:
        async for page in self._everywhere(parse_filter(f"type:{DELIVER}")):
            for view in page:
                if _subject_of(view) in job_ids:
                    yield view

    async def _everywhere(self, where: Filter) -> AsyncIterator[Sequence[JobView]]:
        for pages in (self._reads.jobs, self._reads.archived_jobs):
            cursor: str | None = None
            while True:
                page = await pages(where, limit=_MOST_READ_AT_ONCE, cursor=cursor)
                yield page.jobs
                if (cursor := page.cursor) is None:
                    break

    async def _erase_chunk(
        self, job_ids: Sequence[str], choice: Choice, batch: str, note: str
    ) -> Mapping[str, ActOutcome]:
        subject = job_ids[0] if len(choice.job_ids) == 1 else f"batch:{batch}"
        intent = {"batch": batch, "jobs": job_ids, "count": len(job_ids), "note": note}
        if choice.where:
            intent["where_sha256"] = choice.where
        await self._journal.intend(ACTION, subject, intent)
        outcomes = await self._blank(job_ids)
        await self._conclude(ACTION, subject, batch, list(outcomes.values()))
        return outcomes

    async def _blank(self, job_ids: Sequence[str]) -> dict[str, ActOutcome]:
        """Blank the database first, so that the outbox publishes nothing more of it, then the broker.

        The database is blanked again afterwards: a job may have moved from the broker to the archive in between.
        """
        database = self._journal.check_allowed(ACTION)
        candidates = await self._possible_follow_ups(job_ids)
        archived = set(await database.erasure.erase([*job_ids, *candidates]))
        known = {detail.view.id for detail in await self._reads.known_details(candidates)}
        wanted = [*job_ids, *sorted(known | archived.intersection(candidates))]
        if failpoints.armed is not None:
            failpoints.reached("erase.halfway")
        outcomes = await self._control.erase(wanted)
        archived |= set(await database.erasure.erase(wanted))
        return {
            outcome.job_id: ActOutcome(outcome.job_id, True)
            if outcome.why == NOT_KNOWN and outcome.job_id in archived
            else outcome
            for outcome in outcomes
        }

    async def _possible_follow_ups(self, job_ids: Sequence[str]) -> list[str]:
        """Return the ids that follow-ups of these jobs have by convention, whether or not they exist.

        Those of an older program were `name_based_id(job id, type, "")`.
        """
        types = await self._reads.types()
        pairs = [(job_id, type) for job_id in job_ids for type in types]
        return [*starmap(follow_up_id, pairs), *(name_based_id(*pair, "") for pair in pairs)]


def _subject_of(view: JobView) -> str:
    """Return the job that a delivery is about, empty if its data has none, or is erased."""
    try:
        return msgspec.json.decode(view.data, type=_Delivery).event.subject
    except msgspec.MsgspecError:
        return ""
