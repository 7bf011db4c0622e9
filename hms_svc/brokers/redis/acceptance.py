"""Accepts jobs, and foreign bytes that may not be jobs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import msgspec

from hms_svc.brokers.chunks import MOST_JOBS, chunks
from hms_svc.brokers.codes import CODE_OF, STATE_OF
from hms_svc.brokers.intake import Item, KeptBytes, keep_bytes, read_item
from hms_svc.brokers.redis import job_calls
from hms_svc.brokers.redis.calls import binary
from hms_svc.brokers.redis.job_calls import BatchRow, DraftRow, RefusedRow
from hms_svc.brokers.redis.link import Link
from hms_svc.brokers.redis.record import Record, RecordDraft, RecordOutcome, draft_of, refused_draft
from hms_svc.domain.batches import NewBatch
from hms_svc.domain.errors import BadInput, BrokerUnavailable
from hms_svc.domain.ids import new_job_id
from hms_svc.domain.job import Job
from hms_svc.domain.lifecycle import REASON_ID_CONFLICT, REASON_MALFORMED, REASON_UNIQUE, State
from hms_svc.domain.strict_json import encode, is_same_json
from hms_svc.domain.unique_keys import held_by
from hms_svc.ports.broker import Acceptance, Enqueued, EnqueuedBatch
from hms_svc.ports.side_thread import aside


class RefusedItem(msgspec.Struct, frozen=True, gc=False):
    """The record of a job that can never run, and the data of its event."""

    job: Job
    state: State
    at: int
    record: bytes
    event_data: bytes

    def row(self) -> RefusedRow:
        """Return the job as the script `refuse` takes it."""
        code, named = CODE_OF[self.state], self.job.priority is not None
        return (
            self.job.type,
            code,
            self.job.id,
            binary(self.record),
            named,
            self.at,
            binary(self.event_data),
        )

    def answer(self, held_by: str | None = None) -> Enqueued:
        """Return the answer for the producer: accepted, and already ended."""
        return Enqueued(self.job.id, Acceptance.ACCEPTED, self.state, held_by)


def _refused(
    job: Job, state: State, at: int, outcome: RecordOutcome, item: Item | None
) -> RefusedItem:
    kept = keep_bytes(item) if item is not None else None
    draft = refused_draft(job, state, at, outcome, kept)
    event_data = {
        "type": job.type,
        "reason": outcome.reason,
        "by": outcome.by,
        "detail": outcome.detail,
    }
    return RefusedItem(job, state, at, draft.at(at), encode(event_data))


def refused_for_key(job: Job, holder: str, at: int) -> RefusedItem:
    """Return the record of a job whose unique key another job holds."""
    outcome = RecordOutcome(
        reason=REASON_UNIQUE, by="enqueue", detail=held_by(job.unique_key, holder)
    )
    return _refused(job, State.REJECTED, at, outcome, None)


def refused_bytes(type: str, item: Item, at: int, reason: str, detail: str) -> RefusedItem:
    """Return the dead letter of an item, with its bytes."""
    job = Job(id=new_job_id(), type=type, data=b"null", enqueued_at=at)
    outcome = RecordOutcome(reason=reason, by="intake", detail=detail)
    return _refused(job, State.DEAD, at, outcome, item)


def read_or_refuse(type: str, item: Item, at: int) -> Job | RefusedItem:
    """Return the job in one item of a queue, or its dead letter."""
    try:
        return read_item(type, item, at)
    except BadInput as error:
        return refused_bytes(type, item, at, REASON_MALFORMED, str(error))


async def read_all(type: str, items: Sequence[Item], at: int) -> list[Job | RefusedItem]:
    """Return the job or dead letter of each item; large items are parsed on the side thread."""
    size = sum(len(item) for item in items if not isinstance(item, KeptBytes))
    return await aside(size, lambda: [read_or_refuse(type, item, at) for item in items])


def refused_for_id(job: Job, item: Item, at: int) -> RefusedItem:
    """Return the dead letter of an item whose id another job has."""
    detail = f"id {job.id} is taken by another job"
    return refused_bytes(job.type, item, at, REASON_ID_CONFLICT, detail)


def is_same(job: Job, known: Record) -> bool:
    """Return whether the record of an id is the same job, by type and data."""
    return known.type == job.type and is_same_json(known.data, job.data)


class Acceptor:
    """Enqueues jobs over one link, in scripts of bounded size."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def enqueue(self, jobs: Sequence[Job]) -> list[Enqueued]:
        """Accept jobs in scripts of bounded size; each accepts all of its jobs or none."""
        answers: list[Enqueued] = []
        for first in range(0, len(jobs), MOST_JOBS):
            now = self._link.clock.now_ms()
            drafts = [(job, draft_of(job, now)) for job in jobs[first : first + MOST_JOBS]]
            for some in chunks(drafts, _size_of):
                answers += await self._enqueue(some, now)
        return answers

    async def enqueue_batch(self, batch: NewBatch) -> EnqueuedBatch:
        """Accept a batch in scripts of bounded size; each accepts all of its members or none."""
        follow_ups = [batch_row(job) for job in batch.follow_ups]
        pieces = list(chunks(batch.members, lambda job: len(job.data))) or [()]
        was_repeated = False
        for number, jobs in enumerate(pieces, 1):
            members = [batch_row(job) for job in jobs]
            call = job_calls.enqueue_batch(
                batch,
                members,
                follow_ups,
                is_first=number == 1,
                is_last=number == len(pieces),
            )
            found, repeated = await self._link.run_reported(call)
            if found is None:
                raise BrokerUnavailable(
                    f"{self._link.address}: batch {batch.id} is gone while it was submitted"
                )
            answer, was_repeated = found, was_repeated or repeated
            if answer.acceptance is not Acceptance.ACCEPTED:
                break
        if answer.acceptance is Acceptance.EXISTS and was_repeated and not answer.left_out:
            return EnqueuedBatch(Acceptance.ACCEPTED)
        return answer

    async def _enqueue(self, some: Sequence[tuple[Job, RecordDraft]], now: int) -> list[Enqueued]:
        """Accept jobs; those refused for their unique key are recorded in a second step."""
        jobs = [job for job, _ in some]
        faults, repeated = await self._link.run_reported(job_calls.enqueue(_runs(some)))
        answers = [
            Enqueued(job.id, Acceptance.ACCEPTED, STATE_OF[draft.state]) for job, draft in some
        ]
        if not faults:
            return answers
        held = []
        for fault in faults:
            job = jobs[fault.place]
            if fault.into:
                answers[fault.place] = Enqueued(
                    job.id, Acceptance.ACCEPTED, State(fault.into), replaced=fault.holder
                )
            elif fault.holder:
                refused = refused_for_key(job, fault.holder, now)
                answers[fault.place] = refused.answer(fault.holder)
                held.append((fault.place, refused))
            else:
                answers[fault.place] = await self._known(job, fault.record, repeated)
        for number, known in (await self.refuse([refused for _, refused in held])).items():
            index, refused = held[number]
            answers[index] = _known(refused.job, known, repeated)
        return answers

    async def _known(self, job: Job, detail: bytes, repeated: bool) -> Enqueued:
        """Return the answer for a known id; a record too large for the script is read here."""
        record = detail or await self._link.ask("GET", self._link.keys.ours("job", job.id))
        if record is None:
            [answer] = await self.enqueue([job])
            return answer
        return _known(job, Record(job.id, record), repeated)

    async def enqueue_raw(self, type: str, items: Sequence[bytes]) -> list[Enqueued]:
        """Accept foreign bytes; those that are not jobs become dead letters."""
        now = self._link.clock.now_ms()
        read = await read_all(type, items, now)
        jobs = [job for job in read if isinstance(job, Job)]
        accepted = iter(await self.enqueue(jobs))
        answers, refused = [], []
        for item, found in zip(items, read, strict=True):
            answer = next(accepted) if isinstance(found, Job) else None
            if answer is None or answer.acceptance is Acceptance.CONFLICT:
                bad = refused_for_id(found, item, now) if isinstance(found, Job) else found
                refused.append(bad)
                answer = bad.answer()
            answers.append(answer)
        await self.refuse(refused)
        return answers

    async def refuse(self, refused: Sequence[RefusedItem]) -> dict[int, Record]:
        """Record jobs that can never run; return, by index, the records of ids that were known."""
        known: dict[int, Record] = {}
        first = 0
        for some in chunks(refused, lambda one: len(one.record) + len(one.event_data)):
            found = await self._refuse(some)
            known |= {first + number: record for number, record in found.items()}
            first += len(some)
        return known

    async def _refuse(self, refused: Sequence[RefusedItem]) -> dict[int, Record]:
        texts, repeated = await self._link.run_reported(
            job_calls.refuse([one.row() for one in refused])
        )
        found = {n: Record(refused[n].job.id, text) for n, text in texts.items()}
        if not repeated:
            return found
        return {n: known for n, known in found.items() if not is_same(refused[n].job, known)}


def _size_of(drafted: tuple[Job, RecordDraft]) -> int:
    return len(drafted[1].rest)


def draft_row(job: Job, draft: RecordDraft) -> DraftRow:
    """Return a draft as the scripts take it."""
    row = job.id, binary(draft.rest)
    if draft.rule:
        return *row, draft.position, draft.unique or False, draft.names_priority, draft.rule
    if draft.position == 0 and not draft.unique and not draft.names_priority:
        return row
    return *row, draft.position, draft.unique or False, draft.names_priority


def batch_row(job: Job) -> BatchRow:
    """Return a member or a follow-up as the script takes it."""
    draft = draft_of(job, 0)
    held = held_by(job.unique_key, "") if job.unique_key else ""
    row = job.id, binary(draft.rest), draft.unique, int(draft.names_priority), held
    if not draft.rule:
        return row
    return *row, *draft.rule


def _runs(some: Sequence[tuple[Job, RecordDraft]]) -> list[tuple[str, int, list[DraftRow]]]:
    """Return the jobs as runs of one type and state."""
    runs = groupby(some, lambda pair: (pair[0].type, pair[1].state))
    return [(type, state, [draft_row(*pair) for pair in run]) for (type, state), run in runs]


def _known(job: Job, known: Record, repeated: bool) -> Enqueued:
    """Return the answer for a known id: after a lost reply, this call may have accepted it itself."""
    state = known.state or State.CANCELLED
    if not is_same(job, known):
        return Enqueued(job.id, Acceptance.CONFLICT, state)
    is_own = repeated and known.enqueued_at == job.enqueued_at
    acceptance = Acceptance.ACCEPTED if is_own else Acceptance.EXISTS
    return Enqueued(job.id, acceptance, state, known.held_by)
