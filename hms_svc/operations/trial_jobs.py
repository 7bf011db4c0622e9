"""Test jobs that an operator submits: validated first, and each batch is recorded before it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import Final

import msgspec

from hms_svc.domain.errors import BadInput, IdConflict
from hms_svc.domain.ids import new_job_id
from hms_svc.domain.job import Job
from hms_svc.operations.action_table import AUDITED
from hms_svc.operations.bulk_pace import Pace
from hms_svc.operations.intake import Draft, SubmissionOptions, make_jobs
from hms_svc.operations.journal import Journal
from hms_svc.ports.broker import Acceptance, Broker, Enqueued
from hms_svc.sdk.job_defaults import Completer
from hms_svc.sdk.registry import Registry

MOST_COPIES: Final = 10_000
CHUNK: Final = 500
ACTION: Final = AUDITED["enqueue"]


class TrialReport(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs that were submitted, with their states; `left` were not, because it was cancelled."""

    batch: str
    type: str
    answers: tuple[Enqueued, ...]
    left: int = 0


class TrialBatch(msgspec.Struct, frozen=True):
    """Some test jobs, and how they are submitted; the ids of raw bytes are not known in advance."""

    size: int
    job_ids: tuple[str, ...]
    send: Callable[[], Awaitable[Sequence[Enqueued]]]


class TrialJobs:
    """Submits 1 to 10,000 test jobs of one type."""

    def __init__(self, journal: Journal, *, type: str, count: int, note: str) -> None:
        self._journal = journal
        self._type = type
        self._count = count
        self._note = note
        self._batch = new_job_id()

    async def run(
        self, batches: Iterable[TrialBatch], pace: Pace, progressed: Callable[[int], None] | None
    ) -> TrialReport:
        """Submit batch after batch; raises IdConflict if an id is another job's."""
        answers: list[Enqueued] = []
        began: float | None = None
        for batch in batches:
            if not await pace.goes_on(since=began):
                break
            began = asyncio.get_running_loop().time()
            answers += await self._send(batch)
            if progressed is not None:
                progressed(batch.size)
        left = self._count - len(answers)
        return TrialReport(batch=self._batch, type=self._type, answers=tuple(answers), left=left)

    async def _send(self, batch: TrialBatch) -> Sequence[Enqueued]:
        alone = self._count == 1 and batch.job_ids
        subject = batch.job_ids[0] if alone else f"batch:{self._batch}"
        intent: dict[str, object] = {
            "batch": self._batch,
            "type": self._type,
            "jobs": batch.job_ids,
            "count": batch.size,
            "note": self._note,
        }
        await self._journal.intend(ACTION, subject, intent)
        answers = await batch.send()
        await self._journal.conclude(
            ACTION, [(each.job_id, self._described(each)) for each in answers]
        )
        for answer in answers:
            if answer.acceptance is Acceptance.CONFLICT:
                raise IdConflict(
                    f"id {answer.job_id!r} belongs to another job, with another type or other data"
                )
        return answers

    def _described(self, answer: Enqueued) -> dict[str, object]:
        done = answer.acceptance is Acceptance.ACCEPTED
        return {"batch": self._batch, "done": done, "why": answer.acceptance, "state": answer.state}


def make_copies(
    draft: Draft, count: int, registry: Registry | None, now_ms: int
) -> tuple[str, Iterator[Job]]:
    """Return the type and the copies of a draft, completed like the first, which is validated.

    Raises MalformedJob.
    """
    _check_count(count)
    copies = make_jobs(draft, SubmissionOptions(count=count), now_ms)
    completer = Completer(registry)
    first = completer.complete(next(copies))
    return first.type, chain([first], map(completer.complete, copies))


def batches_of_jobs(broker: Broker, jobs: Iterator[Job]) -> Iterator[TrialBatch]:
    """Split jobs into batches."""
    while batch := list(islice(jobs, CHUNK)):
        yield TrialBatch(len(batch), tuple(job.id for job in batch), partial(broker.enqueue, batch))


def batches_of_bytes(broker: Broker, type: str, item: bytes, count: int) -> Iterator[TrialBatch]:
    """Split copies of bytes, which are not parsed before the broker does, into batches."""
    _check_count(count)
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        yield TrialBatch(size, (), partial(broker.enqueue_raw, type, [item] * size))


def _check_count(count: int) -> None:
    if not 1 <= count <= MOST_COPIES:
        raise BadInput(
            f"count {count} is not a valid number of test jobs: expected 1 to {MOST_COPIES:,}"
        )
